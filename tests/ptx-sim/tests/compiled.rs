//! Kernels compiled by nvcc (`ptx/*.cu`, by `nvcc -ptx -arch=compute_80 -lineinfo`), against the same arithmetic here.

use half::f16;
use ptx_sim::Launch;
use ptx_sim::Memory;
use ptx_sim::Module;
use ptx_sim::Report;

fn upload(memory: &Memory, bytes: &[u8]) -> u64 {
    let address = memory.alloc(bytes.len() as u64).unwrap();
    memory.write(address, bytes).unwrap();
    address
}

fn download<const SIZE: usize, T>(memory: &Memory, address: u64, len: usize, from: fn([u8; SIZE]) -> T) -> Vec<T> {
    let mut bytes = vec![0; len * SIZE];
    memory.read(address, &mut bytes).unwrap();
    bytes.chunks_exact(SIZE).map(|chunk| from(chunk.try_into().unwrap())).collect()
}

fn halves(values: &[f16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Small integers, so that sums are exact.
fn pattern(len: usize, seed: usize) -> Vec<f16> {
    (0..len).map(|i| f16::from_f32(((i * 7 + seed) % 13) as f32 - 6.0)).collect()
}

fn assert_clean(report: &Report) {
    let text: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    assert!(text.is_empty(), "{}", text.join("\n"));
}

fn run_gemm(m: usize, n: usize, k: usize, seed: u64) -> Report {
    let module = Module::parse(include_str!("ptx/gemm.ptx")).unwrap();
    let memory = Memory::new();
    let (a, b) = (pattern(m * k, 1), pattern(n * k, 5));
    let (a_ptr, b_ptr) = (upload(&memory, &halves(&a)), upload(&memory, &halves(&b)));
    let c_ptr = memory.alloc((m * n * 4) as u64).unwrap();
    let mut args = Vec::new();
    for pointer in [a_ptr, b_ptr, c_ptr] {
        args.extend(pointer.to_le_bytes());
    }
    for size in [m, n, k, 0, 0, 0, 0, 0] {
        args.extend((size as u32).to_le_bytes());
    }
    let grid = [n.div_ceil(64) as u32, m.div_ceil(64) as u32, 1];
    let params: &[&[u8]] = &[&args];
    let launch = Launch { seed, ..Launch::new(grid, [128, 1, 1], params) };
    let report = module.launch("gemm_f16", &launch, &memory).unwrap();
    let c = download(&memory, c_ptr, m * n, f32::from_le_bytes);
    for row in 0..m {
        for column in 0..n {
            let expected: f32 = (0..k).map(|i| f32::from(a[row * k + i]) * f32::from(b[column * k + i])).sum();
            assert_eq!(c[row * n + column], expected, "{m}×{n}×{k}: row {row} column {column}");
        }
    }
    report
}

#[test]
fn gemm_of_shapes_that_hurt() {
    for (m, n, k) in [(1, 1, 8), (64, 64, 32), (65, 63, 40), (100, 130, 72), (17, 64, 128)] {
        let report = run_gemm(m, n, k, (m + n) as u64);
        assert_clean(&report);
        assert!(report.counts.scalar_macs == 0);
        let macs = (m.div_ceil(64) * n.div_ceil(64) * k.div_ceil(32) * 64 * 64 * 32) as u64;
        assert_eq!(report.counts.total_matrix_macs(), macs);
    }
}

#[test]
fn softmax_with_dynamic_shared_memory_and_shuffles() {
    let module = Module::parse(include_str!("ptx/mix.ptx")).unwrap();
    let memory = Memory::new();
    let (rows, n) = (3, 333);
    let x: Vec<f16> = (0..rows * n).map(|i| f16::from_f32(((i * 37) % 101) as f32 / 25.0)).collect();
    let x_ptr = upload(&memory, &halves(&x));
    let y_ptr = memory.alloc((rows * n * 2) as u64).unwrap();
    let params: &[&[u8]] = &[&x_ptr.to_le_bytes(), &y_ptr.to_le_bytes(), &(n as u32).to_le_bytes()];
    let launch = Launch { dynamic_shared_bytes: 4 * n as u32, ..Launch::new([rows as u32, 1, 1], [128, 1, 1], params) };
    assert_clean(&module.launch("row_softmax", &launch, &memory).unwrap());
    let y = download(&memory, y_ptr, rows * n, f16::from_le_bytes);
    for row in 0..rows {
        let values: Vec<f64> = x[row * n..][..n].iter().map(|&value| f64::from(value)).collect();
        let max = values.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = values.iter().map(|value| (value - max).exp()).sum();
        for (i, value) in values.iter().enumerate() {
            let expected = (value - max).exp() / sum;
            let got = f64::from(y[row * n + i]);
            // Half an ulp of f16, and 2^-16 for the f32 arithmetic before it.
            assert!(
                (got - expected).abs() <= expected * (2f64.powi(-11) + 2f64.powi(-16)) + 2f64.powi(-25),
                "{got} {expected}"
            );
        }
    }
}

#[test]
fn integers_tables_atomics_and_switches() {
    let module = Module::parse(include_str!("ptx/mix.ptx")).unwrap();
    let memory = Memory::new();
    let n = 200;
    let a: Vec<i8> = (0..n).map(|i| (i * 5) as u8 as i8).collect();
    let b: Vec<u64> = (0..n as u64).map(|i| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (i % 50)).collect();
    let a_ptr = upload(&memory, &a.iter().map(|&value| value as u8).collect::<Vec<_>>());
    let b_ptr = upload(&memory, &b.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>());
    let (o_ptr, u_ptr) = (memory.alloc(4 * n as u64).unwrap(), memory.alloc(4 * (n as u64 + 8)).unwrap());
    memory.fill(u_ptr, 0, 32).unwrap();
    let params: &[&[u8]] = &[
        &a_ptr.to_le_bytes(),
        &b_ptr.to_le_bytes(),
        &o_ptr.to_le_bytes(),
        &u_ptr.to_le_bytes(),
        &(n as u32).to_le_bytes(),
        &1.5f64.to_le_bytes(),
    ];
    assert_clean(&module.launch("misc", &Launch::new([2, 1, 1], [128, 1, 1], params), &memory).unwrap());
    let pairs = download(&memory, o_ptr, n, u32::from_le_bytes);
    let u = download(&memory, u_ptr, n + 8, u32::from_le_bytes);
    let mut buckets = [0; 4];
    for i in 0..n {
        let (mut v, index) = (i32::from(a[i]), (b[i] >> 3 & 7) as i32);
        let original = v;
        match v & 7 {
            0 => v += 3,
            1 => v *= 5,
            2 => v ^= 0x55,
            3 => v -= index,
            4 => v /= 3,
            5 => v %= 7,
            _ => v = v.leading_zeros() as i32,
        }
        v += original * index;
        buckets[(v & 3) as usize] += 1;
        let low = half::bf16::from_f32((index + 1) as f32 * v as f32).to_bits();
        let high = half::bf16::from_f32(b[i].count_ones() as f32).to_bits();
        assert_eq!(pairs[i], u32::from(high) << 16 | u32::from(low), "thread {i}");
        if v != 0 {
            assert_eq!(u[8 + i], v as u32, "thread {i}");
        }
    }
    assert_eq!(u[..4], buckets);
}
