//! A product of matrices whose boxes tensor maps copy, swizzled as wgmma reads them (`ptx/tma.cu`, by
//! `nvcc -ptx -arch=compute_90a -lineinfo`), with sizes that no tile divides.

use half::f16;
use ptx_sim::FindingKind;
use ptx_sim::Launch;
use ptx_sim::Memory;
use ptx_sim::Module;
use ptx_sim::Report;
use ptx_sim::Swizzle;
use ptx_sim::TensorMap;

const M: usize = 100;
const N: usize = 132;
const K: usize = 264;
const TILE: usize = 64;

fn a(row: usize, k: usize) -> f32 {
    ((row * 5 + k * 3) % 11) as f32 - 5.0
}

fn b(column: usize, k: usize) -> f32 {
    ((column * 7 + k) % 9) as f32 - 4.0
}

fn halves(memory: &Memory, rows: usize, value: fn(usize, usize) -> f32) -> u64 {
    let values = (0..rows * K).map(|index| f16::from_f32(value(index / K, index % K)));
    let bytes: Vec<u8> = values.flat_map(f16::to_le_bytes).collect();
    let address = memory.alloc(bytes.len() as u64).unwrap();
    memory.write(address, &bytes).unwrap();
    address
}

fn map(global_address: u64, element_bytes: u32, rows: usize, columns: usize, swizzle: Swizzle) -> [u8; 128] {
    let map = TensorMap {
        global_address,
        element_bytes,
        dims: vec![columns as u64, rows as u64],
        strides_bytes: vec![columns as u64 * u64::from(element_bytes)],
        box_dims: vec![TILE as u32; 2],
        element_strides: vec![1; 2],
        swizzle,
    };
    map.encode().unwrap()
}

/// Runs the kernel with a change in its text; the report, and how many elements are wrong.
fn run(change: (&str, &str), seed: u64) -> (Report, usize) {
    let text = include_str!("../ptx/tma.ptx");
    assert!(text.contains(change.0), "{change:?}");
    let module = Module::parse(&text.replace(change.0, change.1)).unwrap_or_else(|error| panic!("{error}"));
    let memory = Memory::new();
    let c_ptr = memory.alloc((M * N * 4) as u64).unwrap();
    let map_a = map(halves(&memory, M, a), 2, M, K, Swizzle::Bytes128);
    let map_b = map(halves(&memory, N, b), 2, N, K, Swizzle::Bytes128);
    let map_c = map(c_ptr, 4, M, N, Swizzle::None);
    let params: &[&[u8]] = &[&map_a, &map_b, &map_c, &(K.div_ceil(TILE) as u32).to_le_bytes()];
    let grid = [N.div_ceil(TILE) as u32, M.div_ceil(TILE) as u32, 1];
    let launch = Launch { seed, max_warp_instructions_per_block: 1 << 20, ..Launch::new(grid, [128, 1, 1], params) };
    let report = module.launch("gemm_tma", &launch, &memory).unwrap();
    let mut bytes = vec![0; M * N * 4];
    memory.read(c_ptr, &mut bytes).unwrap();
    let got = bytes.chunks_exact(4).map(|chunk| f32::from_le_bytes(chunk.try_into().unwrap()));
    let expected = |index: usize| (0..K).map(|k| a(index / N, k) * b(index % N, k)).sum::<f32>();
    let wrong = got.enumerate().filter(|&(index, got)| got != expected(index)).count();
    (report, wrong)
}

#[test]
fn products_of_boxes() {
    for seed in 0..8 {
        let (report, wrong) = run(("ret;", "ret;"), seed);
        assert!(report.findings.is_empty(), "seed {seed}: {}", report.findings[0]);
        assert_eq!(wrong, 0, "seed {seed}");
        // Each block of tiles reads its rows once for every block in the other direction; C is written once.
        let of_inputs = M * K * N.div_ceil(TILE) + N * K * M.div_ceil(TILE);
        assert_eq!(report.counts.bulk_copy_bytes, (2 * of_inputs + 4 * M * N) as u64);
    }
}

#[test]
fn mistakes_in_the_kernel_are_found() {
    let mistakes: [(&str, &str, &[FindingKind]); 3] = [
        ("fence.proxy.async.shared::cta;", "", &[FindingKind::MissingFence]),
        ("cp.async.bulk.wait_group 0;", "", &[FindingKind::MissingWait]),
        ("@P1 bra DONE;", "bra DONE;", &[FindingKind::MissingWait, FindingKind::Unwritten, FindingKind::Race]),
    ];
    for (from, to, kinds) in mistakes {
        for seed in 0..4 {
            let (report, _) = run((from, to), seed);
            let found = report.findings.iter().find(|finding| kinds.contains(&finding.kind));
            let found = found.unwrap_or_else(|| panic!("seed {seed}, without {from}: {:?}", report.findings));
            assert!(found.source.is_some(), "{found}");
        }
    }
}
