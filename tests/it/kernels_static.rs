//! The compiled kernels, held to what they promise, without a GPU: every file of `cuda/` for every architecture.

use std::fs;
use std::path::Path;
use std::process::Command;

use lowbit::cuda::kernels::KERNELS;

use crate::built;
use crate::kernel_text;
use crate::kernel_text::Entry;
use crate::promises::PROMISES;
use crate::promises::Promise;

#[allow(dead_code)]
#[path = "../../build/source.rs"]
mod source;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/cuda"))
}

fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_file_names_its_architectures_and_is_compiled_for_them() {
    for source in source::all(folder(), &[]).unwrap() {
        // A toolkit may know fewer, LOWBIT_CUDA_ARCHS may ask for fewer; CI's knows all.
        for arch in source.archs.iter().chain(&source.test_archs).filter(|_| built::REQUIRED && built::present()) {
            let is_there = built::PTX.iter().any(|(stem, a, _)| *stem == source.stem && a == arch);
            assert!(is_there, "cuda/{}.cu is not compiled for {arch}", source.stem);
        }
    }
}

#[test]
fn compilers_do_not_complain() {
    if !built::present() {
        return;
    }
    let mut found = Vec::new();
    for (stem, arch, _, log) in built::CUBINS {
        found.extend(kernel_text::log_complaints(log).into_iter().map(|line| format!("{stem}, {arch}: {line}")));
    }
    assert_none(&found);
}

#[test]
fn registers_fit_the_launch_bounds() {
    if !built::present() {
        return;
    }
    let mut found = Vec::new();
    for ((stem, arch, ptx), (_, _, _, log)) in built::PTX.iter().zip(built::CUBINS) {
        let used = kernel_text::registers(log);
        for entry in kernel_text::entries(ptx) {
            let complaint = match used.iter().find(|(name, _)| *name == entry.name) {
                Some((_, registers)) => kernel_text::register_complaint(&entry, *registers),
                None => Some(format!("ptxas says nothing of {}", entry.name)),
            };
            found.extend(complaint.map(|complaint| format!("{stem}, {arch}: {complaint}")));
        }
    }
    assert_none(&found);
}

/// What the table of kernels gets wrong about the entries of one file for one architecture.
fn table_complaints(stem: &str, arch: &str, entries: &[Entry]) -> Vec<String> {
    let mut found = Vec::new();
    for Entry { name, max_threads, param_bytes, .. } in entries {
        let Some(kernel) = KERNELS.iter().find(|k| k.symbol == name && k.file == stem) else {
            found.push(format!("cuda/{stem}.cu has {name}, the table of kernels has not"));
            continue;
        };
        if *max_threads != Some(kernel.threads) {
            found.push(format!("{name}: launch bounds {max_threads:?}, {} threads in the table", kernel.threads));
        }
        if *param_bytes != kernel.args_bytes {
            found.push(format!("{name}: {param_bytes} bytes of arguments, {} in the table", kernel.args_bytes));
        }
    }
    for kernel in KERNELS.iter().filter(|k| k.file == stem) {
        let reaches = kernel.capabilities.include(source::arch_number(arch));
        if reaches && !entries.iter().any(|entry| entry.name == kernel.symbol) {
            found.push(format!("{}: in the table of kernels, but not in cuda/{stem}.cu for {arch}", kernel.symbol));
        }
    }
    found
}

#[test]
fn table_of_kernels_is_what_the_files_have() {
    if !built::present() {
        return;
    }
    let complaints = |(stem, arch, ptx): &(&str, &str, &str)| table_complaints(stem, arch, &kernel_text::entries(ptx));
    assert_none(&built::PTX.iter().flat_map(complaints).collect::<Vec<_>>());
    for kernel in KERNELS {
        assert!(folder().join(format!("{}.cu", kernel.file)).is_file(), "there is no cuda/{}.cu", kernel.file);
    }
}

#[test]
fn a_kernel_that_the_table_lacks_is_found() {
    let stray = Entry { name: "stray".to_string(), max_threads: Some(32), min_blocks: 1, param_bytes: 8 };
    assert_eq!(table_complaints("no_such_file", "80", &[stray]).len(), 1);
}

/// What is wrong with the machine code of one function.
fn code_complaints(promises: &[Promise], name: &str, arch: &str, instructions: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let local = kernel_text::local_memory(instructions);
    if !local.is_empty() {
        found.push(format!("{name}, {arch}: {} accesses to local memory, such as {}", local.len(), local[0]));
    }
    if let Some(Promise { archs, instruction, .. }) = Promise::of(promises, name)
        && archs.contains(&arch)
        && !kernel_text::has(instructions, instruction)
    {
        found.push(format!("{name}, {arch}: no {instruction}"));
    }
    found
}

/// What nvdisasm prints of a cubin; `None` where the toolkit has none.
fn disassembly(cubin: &str) -> Option<String> {
    let nvdisasm = Path::new(built::TOOLKIT_BIN?).join(format!("nvdisasm{}", std::env::consts::EXE_SUFFIX));
    let output = nvdisasm.is_file().then(|| Command::new(nvdisasm).args(["-c", cubin]).output().unwrap())?;
    assert!(output.status.success(), "{cubin}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The machine code of a file for sm_90a; `None` where it cannot be had, which LOWBIT_KERNELS=require does not allow.
fn hopper_code(stem: &str) -> Option<String> {
    let text = built::CUBINS.iter().find(|c| c.0 == stem && c.1 == "90a").and_then(|c| disassembly(c.2));
    if text.is_none() {
        assert!(!built::REQUIRED, "LOWBIT_KERNELS=require, but there is no {stem} for 90a, or no nvdisasm");
        println!("skipped: no {stem} for 90a, or no nvdisasm");
    }
    text
}

#[test]
fn machine_code_has_the_promised_instructions_and_no_local_memory() {
    if !built::present() {
        return;
    }
    let (mut found, mut kernels) = (Vec::new(), Vec::new());
    for (_, arch, cubin, _) in built::CUBINS {
        let Some(text) = disassembly(cubin) else {
            assert!(!built::REQUIRED, "LOWBIT_KERNELS=require, but the toolkit has no nvdisasm");
            println!("skipped: the toolkit has no nvdisasm");
            return;
        };
        for (name, instructions) in kernel_text::instructions(&text) {
            found.extend(code_complaints(PROMISES, &name, arch, &instructions));
            kernels.push((name, *arch));
        }
    }
    assert!(!kernels.is_empty(), "no function in any cubin");
    for Promise { kernels: prefix, archs, .. } in PROMISES {
        for arch in archs.iter().filter(|_| built::REQUIRED) {
            let is_there = kernels.iter().any(|(name, a)| name.starts_with(prefix) && a == arch);
            assert!(is_there, "a promise about {prefix} on {arch}, which is not compiled");
        }
    }
    println!("{} kernels disassembled", kernels.len());
    assert_none(&found);
}

/// The budget of a stream of 4-bit weights on an H200, per weight. 4.3 TB/s at 0.5625 bytes a weight are 29.2 weights a clock
/// and multiprocessor, which issues 128 lanes, 64 of them to the integer pipe and 32 to shared memory and shuffles (CUDA
/// programming guide, throughput of native arithmetic instructions, 9.0). Variants with more bytes to a weight (groups of 32,
/// zero points) have as much more time for it.
#[test]
fn the_main_loop_of_gemv_w4_keeps_its_budget() {
    let Some(text) = hopper_code("gemv_w4") else { return };
    const INTEGER: &[&str] = &["LOP3", "SHF", "IADD3", "LEA", "PRMT", "SEL", "ISETP", "VIADD", "VIMNMX", "VIADDMNMX"];
    const SHARED: &[&str] = &["LDS", "LDSM", "STS", "SHFL"];
    for kernel in KERNELS.iter().filter(|kernel| kernel.file == "gemv_w4" && !kernel.symbol.ends_with("_sum")) {
        let body = kernel_text::main_loop(&text, kernel.symbol);
        let count = |names: &[&str]| body.iter().filter(|i| names.contains(&i.split('.').next().unwrap())).count();
        // An instruction of 16 x 8 x 16 takes 8 weights from each lane; for more than 8 rows of x two take the same.
        let weights = 8 * count(&["HMMA"]) / if kernel.symbol.ends_with("_m16") { 2 } else { 1 };
        assert!(weights >= 64, "{}: no main loop found", kernel.symbol);
        let group = if kernel.symbol.contains("_g32") { 32.0 } else { 64.0 };
        let scale_bytes =
            [("_nested", 1.0), ("_zeros", 5.0)].into_iter().find(|(kind, _)| kernel.symbol.contains(kind));
        let bytes = 0.5 + scale_bytes.map_or(4.0, |(_, bytes)| bytes) / group;
        for (what, count, budget) in [
            ("instructions", body.len(), 4.4),
            ("integer instructions", count(INTEGER), 2.2),
            ("shared-memory and shuffle instructions", count(SHARED), 1.1),
        ] {
            let (found, budget) = (count as f64 / weights as f64, budget * f64::max(1.0, bytes / 0.5625));
            println!("{}: {found:.2} {what} a weight, budget {budget:.1}", kernel.symbol);
            assert!(found <= budget, "{}: {found:.2} {what} a weight, the budget is {budget:.2}", kernel.symbol);
        }
    }
}

/// What widens the codes of W4A8, and computes addresses.
const WIDENING: &[&str] = &["LOP3", "SHF", "PRMT", "IMAD"];

/// The same for W4A8 with few rows of x: units of 2048 weights have 1088 bytes, so 31.0 weights a clock and multiprocessor. The
/// instructions that widen (masks, shifts, byte permutes, and multiply-adds, those of addresses among them) are at most 7 for 8
/// weights.
#[test]
fn the_main_loop_of_gemm_w4a8_keeps_its_budget() {
    let Some(text) = hopper_code("gemm_w4a8") else { return };
    const INTEGER: &[&str] = &["LOP3", "SHF", "IADD3", "LEA", "PRMT", "SEL", "ISETP", "VIADD", "VIMNMX", "VIADDMNMX"];
    const SHARED: &[&str] = &["LDS", "LDSM", "STS", "SHFL"];
    for kernel in KERNELS.iter().filter(|kernel| kernel.file == "gemm_w4a8" && kernel.symbol.ends_with("_m16")) {
        let body = kernel_text::main_loop(&text, kernel.symbol);
        let count = |names: &[&str]| body.iter().filter(|i| names.contains(&i.split('.').next().unwrap())).count();
        // An instruction of 16 x 8 x 32 takes 16 weights from each lane, twice for 16 rows of x.
        let weights = 8 * count(&["IMMA"]);
        assert!(weights >= 64, "{}: no main loop found", kernel.symbol);
        for (what, count, budget) in [
            ("instructions", body.len(), 4.1),
            ("widening instructions", count(WIDENING), 0.875),
            ("integer instructions", count(INTEGER), 2.0),
            ("shared-memory and shuffle instructions", count(SHARED), 1.0),
        ] {
            let found = count as f64 / weights as f64;
            println!("{}: {found:.2} {what} a weight, budget {budget}", kernel.symbol);
            assert!(found <= budget, "{}: {found:.2} {what} a weight, the budget is {budget}", kernel.symbol);
        }
    }
}

/// The budget of 4-bit weights on wgmma, per tile of 16 x 64 weights of a warp. Two consumer warps share a scheduler, which
/// issues an instruction a clock; a tile of each is 8192 weights of a multiprocessor. Device memory brings those in 280 clocks
/// (29.2 a clock, as above), and tensor cores take 4 n of them (m64nNk16 in n / 2 clocks, 2048 multiply-adds a clock).
#[test]
fn the_main_loop_of_gemm_w4_sm90_keeps_its_budget() {
    let Some(text) = hopper_code("gemm_w4_sm90") else { return };
    for kernel in KERNELS.iter().filter(|kernel| kernel.file == "gemm_w4_sm90") {
        let body = kernel_text::main_loop(&text, kernel.symbol);
        let count = |name: &str| body.iter().filter(|i| i.split('.').next() == Some(name)).count();
        // A tile is four instructions of k16.
        assert_eq!(count("HGMMA"), 4, "{}: no main loop found", kernel.symbol);
        let width = kernel.symbol.split("_m").nth(1).and_then(|rest| rest.split('_').next()).unwrap();
        let clocks = (2 * width.parse::<usize>().unwrap()).max(140);
        // Two groups a tile at n = 64: twice the scales, and an fma for each two multiply-adds of a tensor core's thread. It
        // costs a fifth of the memory's rate, and of the tensor cores'.
        let is_over = kernel.symbol.ends_with("_m64_nested_g32") || kernel.symbol.ends_with("_m64_zeros_g32");
        let budget = if is_over { 175 } else { clocks };
        println!("{}: {} instructions a tile, budget {budget}", kernel.symbol, body.len());
        assert!(body.len() <= budget, "{}: {} instructions a tile, budget {budget}", kernel.symbol, body.len());
        // A pair of weights is one lookup; codes, scales and zero points are the rest.
        assert!(count("LDS") <= 16 + 10, "{}: {} loads from shared memory", kernel.symbol, count("LDS"));
    }
}

/// The same for W4A8 on wgmma, per unit of 32 x 64 weights of a warp, of which the eight warps have 16,384: device memory brings
/// those in 528 clocks (31.0 a clock, as above), tensor cores take 4 n of them (m64nNk32 in n / 2 clocks, 4096 multiply-adds a
/// clock), no more than 512. Two consumer warps share a scheduler: 264 instructions each. 7 for 8 weights widen.
#[test]
fn the_main_loop_of_gemm_w4a8_sm90_keeps_its_budget() {
    let Some(text) = hopper_code("gemm_w4a8_sm90") else { return };
    for kernel in KERNELS.iter().filter(|kernel| kernel.file == "gemm_w4a8_sm90") {
        let body = kernel_text::main_loop(&text, kernel.symbol);
        let count = |names: &[&str]| body.iter().filter(|i| names.contains(&i.split('.').next().unwrap())).count();
        // A unit is two tiles by two steps of k32.
        assert_eq!(count(&["IGMMA"]), 4, "{}: no main loop found", kernel.symbol);
        let widening = count(WIDENING) as f64 / 64.0;
        println!("{}: {} instructions a unit, budget 264", kernel.symbol, body.len());
        println!("{}: {widening:.2} widening instructions a weight, budget 0.875", kernel.symbol);
        assert!(body.len() <= 264, "{}: {} instructions a unit, budget 264", kernel.symbol, body.len());
        assert!(widening <= 0.875, "{}: {widening:.2} widening instructions a weight", kernel.symbol);
    }
}

#[test]
fn the_main_loop_is_the_one_with_the_matrix_instructions() {
    let text = ".text.k:\n.L_x_0:\n /*00*/ MOV R1, R2 ;\n.L_x_1:\n /*10*/ HMMA.16816 R1 ;\n /*20*/ @P0 BRA `(.L_x_1) ;\n \
                /*30*/ BRA `(.L_x_0) ;\n.text.other:\n /*00*/ IMMA R1 ;\n";
    assert_eq!(kernel_text::main_loop(text, "k"), ["HMMA.16816", "BRA"]);
    assert!(kernel_text::main_loop(text, "other").is_empty());
}

#[test]
fn a_broken_promise_is_found() {
    let promises =
        [Promise { kernels: "gemm_", except: "_sum", archs: &["80"], instruction: "HMMA.16816", forms: &[] }];
    assert!(code_complaints(&promises, "gemm_x", "80", &["LDC", "HMMA.16816.F32"]).is_empty());
    assert!(code_complaints(&promises, "gemm_x", "120", &["LDC"]).is_empty());
    assert_eq!(code_complaints(&promises, "gemm_x", "80", &["LDC", "HMMA.1688.F32"]).len(), 1);
    assert_eq!(code_complaints(&promises, "gemm_x", "80", &["HMMA.16816.F32", "STL"]).len(), 1);
}

#[test]
fn fatbins_are_small() {
    assert!(built::FATBIN_BYTES <= 6 << 20, "{} bytes of fatbins, 6 MiB at most", built::FATBIN_BYTES);
}

#[test]
fn a_file_without_architectures_is_found() {
    let ok = |list: &[&str]| list.iter().map(|s| s.to_string()).collect::<Vec<_>>();
    assert_eq!(source::architectures("// archs: 80 90a\n").unwrap(), (ok(&["80", "90a"]), ok(&[])));
    assert_eq!(source::architectures("// archs: 80\n// test archs: 90a\n").unwrap(), (ok(&["80"]), ok(&["90a"])));
    for bad in ["", "\n// archs: 80\n", "// archs:\n", "// archs: eighty\n", "// archs: sm_80\n", "// archs: 80 90b\n"]
    {
        assert!(source::architectures(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_changed_header_changes_the_hash() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let hash = || source::all(folder.path(), &[folder.path()]).unwrap()[0].hash.text();
    write("k.cu", "// archs: 80\n#include \"a.cuh\"\n#include <stdint.h>\n");
    write("a.cuh", "#pragma once\n  # include <b.cuh>\n");
    write("b.cuh", "1");
    let first = hash();
    assert_eq!(first, hash());
    write("b.cuh", "2");
    assert_ne!(first, hash());
    write("b.cuh", "1");
    write("unrelated.cuh", "1");
    assert_eq!(first, hash());
}

/// The values of one table in `tables.cuh`: the lines after `#define NAME`, as bits.
fn table(header: &str, name: &str) -> Vec<u32> {
    let lines = header.lines().skip_while(|line| *line != format!("#define {name} \\")).skip(1);
    lines.take_while(|line| line.starts_with("    ")).map(|line| bits(line.trim_matches([' ', ',', '\\']))).collect()
}

/// The bits of a literal such as `-0x1.800000p-3f`.
fn bits(literal: &str) -> u32 {
    let (sign, rest) = literal.strip_prefix('-').map_or((1.0, literal), |rest| (-1.0, rest));
    let (mantissa, exponent) = rest.strip_prefix("0x").unwrap().strip_suffix('f').unwrap().split_once('p').unwrap();
    let (whole, fraction) = mantissa.split_once('.').unwrap();
    let fraction = f64::from(u32::from_str_radix(fraction, 16).unwrap()) / f64::from(1 << (4 * fraction.len()));
    let value = (whole.parse::<f64>().unwrap() + fraction) * exponent.parse::<f64>().unwrap().exp2();
    ((sign * value) as f32).to_bits()
}

#[test]
fn tables_of_the_kernels_are_those_of_the_crate() {
    let header = include_str!(concat!(env!("OUT_DIR"), "/include/tables.cuh"));
    let of = |recipe: lowbit::Recipe| recipe.format.codebook().unwrap().map(f32::to_bits);
    assert_eq!(table(header, "LOWBIT_NF4"), of(lowbit::Nf4::default().into()));
    assert_eq!(table(header, "LOWBIT_FP4"), of(lowbit::Fp4::default().into()));
    let map = lowbit::formats::NestedAbsmax::default_map();
    assert_eq!(table(header, "LOWBIT_DYNAMIC_MAP"), map.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
}
