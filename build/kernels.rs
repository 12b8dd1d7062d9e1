//! From `cuda/*.cu` to fatbins, PTX and cubins.

use std::env;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

use crate::cache;
use crate::cache::variable;
use crate::generated;
use crate::generated::Compiled;
use crate::generated::Fatbin;
use crate::generated::Outcome;
use crate::nvcc;
use crate::nvcc::Toolkit;
use crate::prebuilt;
use crate::source;
use crate::source::Source;
use crate::tables;
use crate::target;

/// From CUDA C++ to PTX.
const FRONT_FLAGS: &[&str] = &["--ptx", "-O3", "-std=c++17", "-lineinfo"];
/// From PTX to machine code, with a report of registers, stack and spills.
const BACK_FLAGS: &[&str] = &["-cubin", "-O3", "-Xptxas", "-v,-warn-spills,-warn-lmem-usage"];

/// Where things are in this build.
struct Folders {
    manifest: PathBuf,
    out: PathBuf,
    target: PathBuf,
}

/// Writes `fatbins.rs` for the crate and `ptx.rs` for its tests into OUT_DIR, with kernels in them if it can.
pub fn embed() -> Result<(), String> {
    println!("cargo::rerun-if-changed=cuda");
    println!("cargo::rerun-if-changed=src/formats/tables.rs");
    let folder = |name: &str| env::var_os(name).map(PathBuf::from).ok_or_else(|| format!("cargo sets no {name}"));
    let out = folder("OUT_DIR")?;
    let folders = Folders { manifest: folder("CARGO_MANIFEST_DIR")?, target: target::folder(&out), out };
    let include = folders.out.join("include");
    fs::create_dir_all(&include).map_err(|e| e.to_string())?;
    generated::write(&include.join("tables.cuh"), &tables::header())?;

    let policy = variable("LOWBIT_KERNELS").unwrap_or_default();
    let outcome = match policy.as_str() {
        _ if variable("DOCS_RS").is_some() => Outcome::missing("built for docs.rs"),
        "skip" => Outcome::missing("built with LOWBIT_KERNELS=skip"),
        "" | "require" => match nvcc::find(&folders.target, &folders.out) {
            Ok(toolkit) => compile_all(&toolkit, &folders)?,
            Err(reason) if policy == "require" => {
                return Err(format!("LOWBIT_KERNELS=require, but there is no nvcc that works: {reason}"));
            }
            Err(reason) => {
                println!("cargo::warning=built without CUDA kernels: {}", reason.replace('\n', " | "));
                Outcome::missing(&format!("built without nvcc ({reason})"))
            }
        },
        path => {
            let path = folders.manifest.join(path);
            println!("cargo::rerun-if-changed={}", path.display());
            prebuilt::read(&path, &sources(&folders)?)?
        }
    };
    generated::write_rust(&folders.out, &outcome, policy == "require")?;
    variable("LOWBIT_WRITE_KERNELS").map_or(Ok(()), |folder| prebuilt::write(&folders.manifest.join(folder), &outcome))
}

fn sources(folders: &Folders) -> Result<Vec<Source>, String> {
    source::all(&folders.manifest.join("cuda"), &[&folders.manifest.join("cuda/include"), &folders.out.join("include")])
}

/// One `.cu` for one architecture.
struct Job<'a> {
    source: &'a Source,
    arch: &'a str,
}

fn compile_all(toolkit: &Toolkit, folders: &Folders) -> Result<Outcome, String> {
    let sources = sources(folders)?;
    let wanted = wanted(&sources)?;
    let wants = |arch: &String| wanted.as_ref().is_none_or(|wanted| wanted.contains(arch));
    let unknown: Vec<&str> = unique(sources.iter().flat_map(|s| &s.archs).filter(|a| wants(a) && !toolkit.knows(a)));
    if !unknown.is_empty() {
        let (major, minor) = toolkit.version;
        println!("cargo::warning=nvcc {major}.{minor} knows no architecture {}: left out", unknown.join(" "));
    }
    let mut jobs = Vec::new();
    for source in &sources {
        let archs = source.archs.iter().chain(&source.test_archs).filter(|a| wants(a) && toolkit.knows(a));
        jobs.extend(unique(archs).into_iter().map(|arch| Job { source, arch }));
    }
    let compiled = in_parallel(&jobs, |job| compile(toolkit, folders, job))?;
    let fatbins = sources.iter().filter_map(|source| {
        let parts: Vec<&Compiled> =
            compiled.iter().filter(|c| c.stem == source.stem && source.archs.contains(&c.arch)).collect();
        (!parts.is_empty()).then(|| fatbin(toolkit, folders, source, &parts))
    });
    let fatbins = fatbins.collect::<Result<Vec<_>, _>>()?;
    let missing = fatbins.is_empty().then(|| "this source has no CUDA kernels".to_string());
    Ok(Outcome { missing, toolkit: toolkit.version, toolkit_bin: Some(toolkit.bin().to_path_buf()), fatbins, compiled })
}

/// What LOWBIT_CUDA_ARCHS names; each must be an architecture of some file.
fn wanted(sources: &[Source]) -> Result<Option<Vec<String>>, String> {
    let Some(text) = variable("LOWBIT_CUDA_ARCHS") else { return Ok(None) };
    let wanted = source::arch_list(&text).map_err(|e| format!("LOWBIT_CUDA_ARCHS={text}: {e}"))?;
    let known = unique(sources.iter().flat_map(|s| s.archs.iter().chain(&s.test_archs)));
    match wanted.iter().find(|arch| !known.contains(&arch.as_str())) {
        Some(arch) => {
            Err(format!("LOWBIT_CUDA_ARCHS={text}: no file is compiled for {arch}, only for {}", known.join(" ")))
        }
        None => Ok(Some(wanted)),
    }
}

fn unique<'a>(archs: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    let mut found: Vec<&str> = archs.map(String::as_str).collect();
    found.sort_by_key(|arch| (source::arch_number(arch), *arch));
    found.dedup();
    found
}

/// The results of all jobs in their order, or the first error; as many at a time as cargo allows.
fn in_parallel<T: Send>(
    jobs: &[Job<'_>],
    run: impl Fn(&Job<'_>) -> Result<T, String> + Sync,
) -> Result<Vec<T>, String> {
    let workers = env::var("NUM_JOBS").ok().and_then(|n| n.parse().ok()).unwrap_or(1usize).clamp(1, jobs.len().max(1));
    let queue = Mutex::new(jobs.iter().enumerate());
    let results: Mutex<Vec<(usize, Result<T, String>)>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((i, job)) = { queue.lock().unwrap().next() } {
                    let result = run(job);
                    results.lock().unwrap().push((i, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, result)| result).collect()
}

/// PTX, cubin and what the compilers said, copied into OUT_DIR from the cache.
fn compile(toolkit: &Toolkit, folders: &Folders, Job { source, arch }: &Job<'_>) -> Result<Compiled, String> {
    // This file stands for the flags and for what is done between nvcc's two steps.
    let how = include_bytes!("kernels.rs");
    let hash = source.hash.with(how).with(arch.as_bytes()).with(toolkit.version_text.as_bytes());
    let name = format!("{}-{arch}-{}", source.stem, hash.text());
    let entry = cache::folder(&folders.target, &name, |into| compile_into(toolkit, folders, source, arch, into))?;
    let kept = folders.out.join("kernels");
    fs::create_dir_all(&kept).map_err(|e| format!("{}: {e}", kept.display()))?;
    let copy = |file: &str| {
        let to = kept.join(format!("{}.{arch}.{file}", source.stem));
        fs::copy(entry.join(file), &to).map_err(|e| format!("{}: {e}", entry.join(file).display()))?;
        Ok::<_, String>(to)
    };
    Ok(Compiled {
        stem: source.stem.clone(),
        arch: arch.to_string(),
        ptx: copy("ptx")?,
        cubin: copy("cubin")?,
        log: copy("log")?,
    })
}

fn compile_into(toolkit: &Toolkit, folders: &Folders, source: &Source, arch: &str, into: &Path) -> Result<(), String> {
    let path = |p: PathBuf| p.to_string_lossy().into_owned();
    let failed =
        |e: String| format!("{} for {arch} (LOWBIT_KERNELS=skip builds without kernels): {e}", source.path.display());
    let (ptx, cubin) = (path(into.join("ptx")), path(into.join("cubin")));
    let includes = [folders.manifest.join("cuda/include"), folders.out.join("include")].map(path);
    let (virtual_arch, real_arch) = (format!("-arch=compute_{arch}"), format!("-arch=sm_{arch}"));
    let source_path = path(source.path.clone());
    let front =
        [FRONT_FLAGS, &[&virtual_arch, "-I", &includes[0], "-I", &includes[1], "-o", &ptx, &source_path]].concat();
    let front = toolkit.run(&front).map_err(failed)?;
    // Line information names files; where this machine keeps them does not belong into what others run.
    let text = fs::read_to_string(&ptx).map_err(|e| failed(e.to_string()))?;
    let shorter = |text: String, from: &Path| text.replace(&format!("\"{}/", from.display()), "\"");
    let text =
        [&folders.manifest, &folders.out, &toolkit.bin().join("..")].into_iter().fold(text, |t, from| shorter(t, from));
    generated::write(Path::new(&ptx), &text)?;
    // nvcc knows the kind of its input by the extension.
    let input = into.join("input.ptx");
    generated::write(&input, &without_lines(&text))?;
    let back =
        toolkit.run(&[BACK_FLAGS, &[&real_arch, "-o", &cubin, &path(input.clone())]].concat()).map_err(failed)?;
    fs::remove_file(&input).map_err(|e| failed(e.to_string()))?;
    generated::write(&into.join("log"), &(front.stdout + &front.stderr + &back.stdout + &back.stderr))
}

/// PTX without line information, which the simulator reports and which is two thirds of a fatbin.
fn without_lines(ptx: &str) -> String {
    let mut in_section = false;
    let is_code = |line: &&str| {
        let line = line.trim_start();
        let begins = line.starts_with(".section");
        let skipped = in_section || begins || line.starts_with(".loc") || line.starts_with(".file");
        in_section = (in_section || begins) && !line.starts_with('}');
        !skipped
    };
    ptx.split_inclusive('\n').filter(is_code).collect()
}

/// One file with the machine code for each architecture and the PTX of the lowest.
fn fatbin(toolkit: &Toolkit, folders: &Folders, source: &Source, parts: &[&Compiled]) -> Result<Fatbin, String> {
    let path = folders.out.join(format!("{}.fatbin", source.stem));
    let lowest = parts.iter().min_by_key(|part| source::arch_number(&part.arch)).ok_or("a fatbin of nothing")?;
    // Without --compress-all machine code is stored as it is, at eight times the size.
    let mut arguments = vec![format!("--create={}", path.display()), "-64".to_string(), "--compress-all".to_string()];
    // A quarter less than by default; before 13.0 not every fatbinary has it.
    arguments.extend((toolkit.version >= (13, 0)).then(|| "--compress-mode=size".to_string()));
    let ptx = folders.out.join(format!("{}.ptx", source.stem));
    let text = fs::read_to_string(&lowest.ptx).map_err(|e| format!("{}: {e}", lowest.ptx.display()))?;
    generated::write(&ptx, &without_lines(&text))?;
    arguments.push(format!("--image3=kind=ptx,sm={},file={}", lowest.arch, ptx.display()));
    arguments.extend(parts.iter().map(|p| format!("--image3=kind=elf,sm={},file={}", p.arch, p.cubin.display())));
    toolkit.fatbinary(&arguments)?;
    Ok(Fatbin {
        stem: source.stem.clone(),
        archs: parts.iter().map(|part| part.arch.clone()).collect(),
        ptx: lowest.arch.clone(),
        source_hash: source.hash.text(),
        path,
    })
}
