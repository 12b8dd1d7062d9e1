//! Quantizing and dequantizing a 4096 x 4096 f32 matrix on the CPU, beside what its memory can do.
//!
//! `cargo bench --bench quantize`. The throughput of quantizing counts the bytes of the weights, that of dequantizing the
//! bytes written. `ceiling/read` sums the same matrix, `ceiling/write` fills one with stores that bypass the caches.

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use criterion::Throughput;
use lowbit::AffineInt8;
use lowbit::BlockSize;
use lowbit::Dynamic8;
use lowbit::Fp4;
use lowbit::Int4;
use lowbit::Int8;
use lowbit::MatShape;
use lowbit::Nf4;
use lowbit::QuantMatrix;
use lowbit::Recipe;
use lowbit::cpu;
use lowbit::cpu::Isa;
use lowbit::formats::ScaleRule;
use lowbit::formats::Symmetry;
use lowbit::reference;
use lowbit::values::Values;
use lowbit::values::ValuesMut;
use lowbit::values::bf16;

const SIDE: usize = 4096;

/// Roughly normal values from a fixed seed.
fn weights() -> Vec<f32> {
    let mut state = 1u64;
    let mut unit = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..SIDE * SIDE).map(|_| (unit() + unit() + unit() + unit() - 2.0) * 0.035).collect()
}

fn recipes() -> Vec<(&'static str, Recipe)> {
    vec![
        ("nf4 b64", Nf4::default().into()),
        ("nf4 b32", Nf4::default().block_size(BlockSize::B32).into()),
        ("nf4 b64 double-quant", Nf4::default().double_quant(true).into()),
        ("fp4 b64", Fp4::default().into()),
        ("int8 rows", Int8::default().into()),
        ("int4 g128", Int4::default().into()),
        ("affine int8 rows", AffineInt8::default().into()),
        ("dynamic8 b4096", Dynamic8::default().into()),
        ("nf4 b64 search", Nf4::default().search(true).into()),
        ("nf4 b64 double-quant search", Nf4::default().double_quant(true).search(true).into()),
        ("fp4 b64 search", Fp4::default().search(true).into()),
        ("int4 g128 search", Int4::default().search(true).into()),
        ("int4 g128 asymmetric search", Int4::default().symmetry(Symmetry::Asymmetric).search(true).into()),
    ]
}

/// The kernel must say what the definition says: on whole rows, so that blocks and groups are the same.
fn verify(isa: Isa, x: &[f32], recipe: Recipe) -> QuantMatrix {
    let rows = 32;
    let shape = MatShape::new(rows, SIDE).unwrap();
    let sample = Values::F32(&x[..rows * SIDE]);
    let found = cpu::quantize(isa, sample, shape, recipe).unwrap();
    let mut out = vec![0.0; rows * SIDE];
    cpu::dequantize_into(isa, &found, ValuesMut::F32(&mut out)).unwrap();
    assert_eq!(out, reference::dequantize(&found), "{}", recipe.format);
    if recipe.scale_rule == ScaleRule::Absmax {
        assert_eq!(found, reference::quantize(sample, shape, recipe.format).unwrap());
    }
    cpu::quantize(isa, Values::F32(x), MatShape::new(SIDE, SIDE).unwrap(), recipe).unwrap()
}

fn quantizing(c: &mut Criterion, isa: Isa, x: &[f32]) {
    let shape = MatShape::new(SIDE, SIDE).unwrap();
    let mut group = c.benchmark_group("quantize");
    group.throughput(Throughput::Bytes(size_of_val(x) as u64));
    for (name, recipe) in recipes() {
        verify(isa, x, recipe);
        group.bench_function(name, |b| b.iter(|| cpu::quantize(isa, Values::F32(x), shape, recipe).unwrap()));
    }
    group.finish();
}

fn dequantizing(c: &mut Criterion, isa: Isa, x: &[f32]) {
    let mut group = c.benchmark_group("dequantize");
    let mut out = vec![0.0f32; SIDE * SIDE];
    let mut out_bf16 = vec![bf16::ZERO; SIDE * SIDE];
    for (name, recipe) in recipes().into_iter().filter(|(_, recipe)| recipe.scale_rule == ScaleRule::Absmax) {
        let matrix = verify(isa, x, recipe);
        group.throughput(Throughput::Bytes(size_of_val(&out[..]) as u64));
        group.bench_function(format!("{name} -> f32"), |b| {
            b.iter(|| cpu::dequantize_into(isa, &matrix, ValuesMut::F32(&mut out)).unwrap());
        });
        group.throughput(Throughput::Bytes(size_of_val(&out_bf16[..]) as u64));
        group.bench_function(format!("{name} -> bf16"), |b| {
            b.iter(|| cpu::dequantize_into(isa, &matrix, ValuesMut::Bf16(&mut out_bf16)).unwrap());
        });
    }
    group.finish();
}

/// What the memory can do with the threads of the pool.
fn ceilings(c: &mut Criterion, isa: Isa, x: &[f32]) {
    let mut group = c.benchmark_group("ceiling");
    group.throughput(Throughput::Bytes(size_of_val(x) as u64));
    group.bench_function("read", |b| {
        b.iter(|| cpu::ceiling::read(isa, black_box(x)));
    });
    let mut out = vec![0.0f32; SIDE * SIDE];
    group.bench_function("write", |b| {
        b.iter(|| cpu::ceiling::write(isa, &mut out, 1.0));
    });
    group.finish();
}

fn main() {
    let isa = Isa::best();
    println!("{}, {} threads", isa.name(), rayon::current_num_threads());
    let x = weights();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1000))
        .configure_from_args();
    ceilings(&mut criterion, isa, &x);
    quantizing(&mut criterion, isa, &x);
    dequantizing(&mut criterion, isa, &x);
    criterion.final_summary();
}
