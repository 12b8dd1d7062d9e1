//! mbarriers, bulk copies, wgmma and the proxies: a kernel that uses them all (`ptx/wgmma.cu`, by
//! `nvcc -ptx -arch=compute_90a -lineinfo`) is right and clean, and each step left out of it is found.

use half::f16;
use ptx_sim::FindingKind;
use ptx_sim::Launch;
use ptx_sim::Memory;
use ptx_sim::Module;
use ptx_sim::Report;

const TILE: usize = 64;
const TILES: [usize; 3] = [2, 1, 5];

/// Where element (row, k) of a tile lies: `[k / 8][row / 8][8 rows][8 values]`.
fn packed(row: usize, k: usize) -> usize {
    ((k / 8 * 8 + row / 8) * 8 + row % 8) * 8 + k % 8
}

fn tiles(rows: usize, depth: usize, value: impl Fn(usize, usize) -> f32) -> Vec<u8> {
    let mut values = vec![f16::ZERO; rows * depth];
    for row in 0..rows {
        for k in 0..depth {
            let tile = row / TILE * (depth / TILE) + k / TILE;
            values[tile * TILE * TILE + packed(row % TILE, k % TILE)] = f16::from_f32(value(row, k));
        }
    }
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn a(row: usize, k: usize) -> f32 {
    ((row * 5 + k * 3) % 11) as f32 - 5.0
}

fn b(column: usize, k: usize) -> f32 {
    ((column * 7 + k) % 9) as f32 - 4.0
}

/// Runs the kernel with a change in its text; the report, and how many elements are wrong.
fn run(change: (&str, &str), seed: u64) -> (Report, usize) {
    let text = include_str!("ptx/wgmma.ptx");
    assert!(text.contains(change.0), "{change:?}");
    let module = Module::parse(&text.replace(change.0, change.1)).unwrap_or_else(|error| panic!("{error}"));
    let [tiles_m, tiles_n, tiles_k] = TILES;
    let memory = Memory::new();
    let mut args = Vec::new();
    for bytes in [tiles(tiles_m * TILE, tiles_k * TILE, a), tiles(tiles_n * TILE, tiles_k * TILE, b)] {
        let address = memory.alloc(bytes.len() as u64).unwrap();
        memory.write(address, &bytes).unwrap();
        args.extend(address.to_le_bytes());
    }
    let size_bytes = tiles_m * tiles_n * TILE * TILE * 4;
    let c_ptr = memory.alloc(size_bytes as u64).unwrap();
    args.extend(c_ptr.to_le_bytes());
    args.extend((tiles_n as u32).to_le_bytes());
    args.extend((tiles_k as u32).to_le_bytes());
    let params: &[&[u8]] = &[&args];
    let launch = Launch {
        seed,
        max_warp_instructions_per_block: 1 << 20,
        ..Launch::new([tiles_n as u32, tiles_m as u32, 1], [128, 1, 1], params)
    };
    let report = module.launch("gemm_wgmma", &launch, &memory).unwrap();
    let mut bytes = vec![0; size_bytes];
    memory.read(c_ptr, &mut bytes).unwrap();
    let mut wrong = 0;
    for (index, chunk) in bytes.chunks_exact(4).enumerate() {
        let (tile, row, column) = (index / (TILE * TILE), index / TILE % TILE, index % TILE);
        let (row, column) = (tile / tiles_n * TILE + row, tile % tiles_n * TILE + column);
        let expected: f32 = (0..tiles_k * TILE).map(|k| a(row, k) * b(column, k)).sum();
        wrong += usize::from(f32::from_le_bytes(chunk.try_into().unwrap()) != expected);
    }
    (report, wrong)
}

const UNCHANGED: (&str, &str) = ("ret;", "ret;");

#[test]
fn a_gemm_of_bulk_copies_and_wgmma() {
    for seed in 0..8 {
        let (report, wrong) = run(UNCHANGED, seed);
        let text: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        assert!(text.is_empty(), "seed {seed}: {}", text.join("\n"));
        assert_eq!(wrong, 0, "seed {seed}");
        let [m, n, k] = TILES.map(|tiles| (tiles * TILE) as u64);
        assert_eq!(report.counts.total_matrix_macs(), m * n * k);
        assert_eq!(report.counts.bulk_copy_bytes, TILES[0] as u64 * (TILES[2] as u64 * 16384 + 16384));
    }
}

/// One of the kinds is found for every seed.
fn assert_found(change: (&str, &str), kinds: &[FindingKind]) {
    for seed in 0..8 {
        let (report, _) = run(change, seed);
        let found = report.findings.iter().find(|finding| kinds.contains(&finding.kind));
        let all: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        let found = found.unwrap_or_else(|| panic!("seed {seed}: no {kinds:?} after {change:?} in {all:#?}"));
        assert!(found.source.is_some(), "{found}");
    }
}

#[test]
fn missing_wait_for_the_copy() {
    let wait = "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 P1, [%r51], %r52;";
    assert_found((wait, "setp.eq.u32 P1, 0, 0;"), &[FindingKind::MissingWait, FindingKind::Unwritten]);
}

#[test]
fn missing_wait_for_the_buffer() {
    let wait = "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 P1, [%r32], %r33;";
    assert_found((wait, "setp.eq.u32 P1, 0, 0;"), &[FindingKind::Race, FindingKind::MissingWait]);
}

#[test]
fn missing_fence_between_the_proxies() {
    assert_found(("fence.proxy.async.shared::cta;", ""), &[FindingKind::MissingFence]);
}

#[test]
fn missing_fence_of_wgmma_registers() {
    assert_found(("wgmma.fence.sync.aligned;", ""), &[FindingKind::MissingFence]);
}

#[test]
fn missing_wait_for_wgmma() {
    let found = &[FindingKind::InFlightRegister, FindingKind::Race];
    assert_found(("wgmma.wait_group.sync.aligned 0;", "wgmma.wait_group.sync.aligned 1;"), found);
    assert_found(("wgmma.commit_group.sync.aligned;", ""), found);
}

#[test]
fn missing_wait_for_the_store() {
    assert_found(("cp.async.bulk.wait_group 0;", ""), &[FindingKind::MissingWait]);
}

#[test]
fn missing_initialisation_fence_of_mbarriers() {
    // Without the barrier behind it, the other warps meet an mbarrier that nobody initialised, or race with who does.
    let kinds = &[FindingKind::Unwritten, FindingKind::Race];
    let text = include_str!("ptx/wgmma.ptx");
    let barrier = text.find("bar.sync").unwrap();
    let head = &text[barrier - 40..barrier + 40];
    let change = head.replacen("bar.sync", "// bar.sync", 1);
    assert_found((head, &change), kinds);
}

#[test]
fn wrong_number_of_bytes_or_arrivals() {
    let expects = "mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, ";
    let text = include_str!("ptx/wgmma.ptx");
    let at = text.find(expects).unwrap();
    let line = text[at..].lines().next().unwrap();
    let (head, bytes) = line.rsplit_once(' ').unwrap();
    assert!(bytes.starts_with("%r"));
    assert_found((line, &format!("{head} 16400;")), &[FindingKind::Deadlock]);
    assert_found(
        (line, &format!("{head} 16368;")),
        &[FindingKind::Deadlock, FindingKind::MissingWait, FindingKind::Race],
    );
    let arrives = "mbarrier.arrive.release.cta.shared::cta.b64 _, [%r";
    let at = text.find(arrives).unwrap();
    let line = text[at..].lines().next().unwrap();
    assert_found((line, ""), &[FindingKind::Deadlock]);
}

#[test]
fn copies_that_are_not_multiples_of_sixteen() {
    let text = include_str!("ptx/wgmma.ptx");
    let at = text.find("cp.async.bulk.shared::cluster.global").unwrap();
    let line = text[at..].lines().next().unwrap();
    let mut operands: Vec<&str> = line.split(", ").collect();
    operands[2] = "8200";
    assert_found((line, &operands.join(", ")), &[FindingKind::Misaligned]);
}

/// Runs a kernel of one block with pointers `%rd1` (input) and `%rd2` (output, `words` words), `%r1` the thread.
fn run_small(body: &str, threads: u32, input: &[u8], words: usize, seed: u64) -> (Report, Vec<u32>) {
    let text = format!(
        ".version 9.0\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .u64 in, .param .u64 out)\n{{\n\
         .reg .pred %p<9>; .reg .b32 %r<40>; .reg .f32 %f<9>; .reg .b64 %rd<40>;\n.shared .align 128 .b8 s[2048];\n\
         .shared .align 8 .b64 bar;\nld.param.u64 %rd1, [in]; ld.param.u64 %rd2, [out]; mov.u32 %r1, %tid.x;\n\
         {body}\nret;\n}}\n"
    );
    let module = Module::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let memory = Memory::new();
    let (from, to) = (memory.alloc(input.len() as u64).unwrap(), memory.alloc(4 * words as u64).unwrap());
    memory.write(from, input).unwrap();
    let params: &[&[u8]] = &[&from.to_le_bytes(), &to.to_le_bytes()];
    let launch =
        Launch { seed, max_warp_instructions_per_block: 1 << 16, ..Launch::new([1, 1, 1], [threads, 1, 1], params) };
    let report = module.launch("k", &launch, &memory).unwrap();
    let mut bytes = vec![0; 4 * words];
    memory.read(to, &mut bytes).unwrap();
    (report, bytes.chunks_exact(4).map(|chunk| u32::from_le_bytes(chunk.try_into().unwrap())).collect())
}

const COPY_WITH_MBARRIER: &str = "mov.u32 %r2, bar; setp.eq.u32 %p1, %r1, 0; @%p1 mbarrier.init.shared.b64 [%r2], COUNT;\n\
    bar.sync 0;\nshl.b32 %r3, %r1, 4; mov.u32 %r4, s; add.u32 %r4, %r4, %r3; cvt.u64.u32 %rd3, %r3; add.u64 %rd4, %rd1, %rd3;\n\
    cp.async.ca.shared.global [%r4], [%rd4], 16;\ncp.async.mbarrier.arriveNOINC.shared.b64 [%r2];\nARRIVE\n\
    WAIT: mbarrier.try_wait.parity.shared.b64 %p2, [%r2], 0;\n@!%p2 bra WAIT;\n\
    xor.b32 %r5, %r4, 512; ld.shared.u32 %r6, [%r5];\nshr.u32 %r7, %r3, 2; cvt.u64.u32 %rd5, %r7; add.u64 %rd6, %rd2, %rd5;\n\
    st.global.u32 [%rd6], %r6;";

#[test]
fn copies_that_arrive_at_an_mbarrier() {
    let input: Vec<u8> = (0..64 * 4).flat_map(|word: u32| word.to_le_bytes()).collect();
    let expected: Vec<u32> = (0..64u32).map(|thread| 4 * (thread ^ 32)).collect();
    let noinc = COPY_WITH_MBARRIER.replace("COUNT", "64").replace("NOINC", ".noinc").replace("ARRIVE", "");
    // Without .noinc the copies' arrivals are in addition to those that the count expects.
    let arrive = "mbarrier.arrive.shared.b64 %rd9, [%r2];";
    let counted = COPY_WITH_MBARRIER.replace("COUNT", "64").replace("NOINC", "").replace("ARRIVE", arrive);
    for seed in 0..8 {
        for body in [&noinc, &counted] {
            let (report, got) = run_small(body, 64, &input, 64, seed);
            assert!(report.findings.is_empty(), "{}", report.findings[0]);
            assert_eq!(got, expected);
        }
        let no_wait = noinc.replace("@!%p2 bra WAIT;", "");
        let (report, _) = run_small(&no_wait, 64, &input, 64, seed);
        assert!(report.findings.iter().any(|f| matches!(f.kind, FindingKind::MissingWait | FindingKind::Race)));
        let (report, _) = run_small(&noinc.replace("], 64;", "], 65;"), 64, &input, 64, seed);
        let deadlock = report.findings.iter().find(|finding| finding.kind == FindingKind::Deadlock).unwrap();
        assert!(deadlock.message.contains("warp 0 waits for the mbarrier at 0xc00 (parity 0)"), "{deadlock}");
    }
}

#[test]
fn wgmma_with_a_from_registers() {
    let value_a = |row: usize, k: usize| ((row * 3 + k * 5) % 17) as f32 - 8.0;
    let value_b = |column: usize, k: usize| ((column + k * 2) % 7) as f32 - 3.0;
    let half = |value: f32| u32::from(f16::from_f32(value).to_bits());
    // The fragments of the ISA: rows by lane / 4 and halves of the warp's 16, k by lane % 4 and halves of 16.
    let mut input = Vec::new();
    for thread in 0..128 {
        let (warp, lane) = (thread / 32, thread % 32);
        for register in 0..4 {
            let (row, k) = (16 * warp + lane / 4 + 8 * (register % 2), 2 * (lane % 4) + 8 * (register / 2));
            input.extend((half(value_a(row, k)) | half(value_a(row, k + 1)) << 16).to_le_bytes());
        }
    }
    // B: [k / 8][8 columns][8 values], after the fragments.
    for word in 0..64 {
        let (k, column) = (word / 32 * 8 + word % 4 * 2, word / 4 % 8);
        input.extend((half(value_b(column, k)) | half(value_b(column, k + 1)) << 16).to_le_bytes());
    }
    let body = "mul.wide.u32 %rd3, %r1, 16; add.u64 %rd4, %rd1, %rd3; add.u64 %rd5, %rd2, %rd3;\n\
        setp.lt.u32 %p1, %r1, 64; mul.wide.u32 %rd6, %r1, 4; add.u64 %rd7, %rd1, %rd6; shl.b32 %r3, %r1, 2; mov.u32 %r4, s;\n\
        add.u32 %r3, %r3, %r4; @%p1 ld.global.u32 %r5, [%rd7+2048]; @%p1 st.shared.u32 [%r3], %r5;\n\
        fence.proxy.async.shared::cta; bar.sync 0; ld.global.v4.u32 {%r10, %r11, %r12, %r13}, [%rd4];\n\
        shr.u32 %r6, %r4, 4; cvt.u64.u32 %rd8, %r6; or.b64 %rd8, %rd8, 0x800080000;\n\
        setp.ne.u32 %p2, %r1, %r1; wgmma.fence.sync.aligned;\n\
        wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%f1, %f2, %f3, %f4}, {%r10, %r11, %r12, %r13}, %rd8, %p2, 1, -1, 0;\n\
        wgmma.commit_group.sync.aligned;\nEARLY\nwgmma.wait_group.sync.aligned 0; st.global.v4.f32 [%rd5], {%f1, %f2, %f3, %f4};";
    let (report, got) = run_small(&body.replace("EARLY", ""), 128, &input, 512, 3);
    assert!(report.findings.is_empty(), "{}", report.findings[0]);
    for thread in 0..128 {
        for register in 0..4 {
            let row = 16 * (thread / 32) + thread % 32 / 4 + 8 * (register / 2);
            let column = 2 * (thread % 4) + register % 2;
            let expected: f32 = (0..16).map(|k| -value_a(row, k) * value_b(column, k)).sum();
            assert_eq!(f32::from_bits(got[4 * thread + register]), expected, "row {row} column {column}");
        }
    }
    for early in ["mov.u32 %r12, 0;", "add.f32 %f8, %f2, %f2;"] {
        let (report, _) = run_small(&body.replace("EARLY", early), 128, &input, 512, 3);
        assert!(report.findings.iter().any(|finding| finding.kind == FindingKind::InFlightRegister), "{early}");
    }
}
