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
