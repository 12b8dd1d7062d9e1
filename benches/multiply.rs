//! Multiplying on the CPU: each answer is checked on some rows, then timed.
//!
//! With one row of x the weights are rotated among so many copies that none is in cache, and each product is paired with one
//! reading of another copy's codes: what the memory gives changes by half from minute to minute on a shared machine. With many
//! rows the number that counts is multiply-accumulates per second.
//!
//! `cargo bench --bench multiply [-- FILTER]`

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use criterion::BenchmarkGroup;
use criterion::Criterion;
use criterion::Throughput;
use criterion::measurement::WallTime;
use lowbit::Dtype;
use lowbit::MatShape;
use lowbit::QuantMatrix;
use lowbit::Strategy;
use lowbit::cpu::Isa;
use lowbit::cpu::Prepared;
use lowbit::cpu::ceiling;
use lowbit::cpu::matmul;
use lowbit::cpu::prepare;
use lowbit::formats::AbsmaxKind;
use lowbit::formats::Format;
use lowbit::formats::NestedAbsmax;
use lowbit::formats::Parts;
use lowbit::formats::Scales;
use lowbit::formats::Symmetry;
use lowbit::shape::BlockSize;
use lowbit::shape::Granularity;
use lowbit::shape::GroupSize;
use lowbit::strategy::Activations;
use lowbit::values::OwnedValues;

/// More than the last-level cache holds, of all copies together.
const ROTATED_BYTES: usize = 256 << 20;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 24
    }

    /// Between -1 and 1.
    fn signed(&mut self) -> f32 {
        (self.next() & 0xffff) as f32 / 32768.0 - 1.0
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

fn nf4(absmax: AbsmaxKind) -> Format {
    Format::Nf4 { block_size: BlockSize::B64, absmax }
}

fn int4(group: GroupSize, symmetry: Symmetry) -> Format {
    Format::Int4 { granularity: Granularity::PerGroup(group), symmetry }
}

const INT8: Format = Format::Int8 { granularity: Granularity::PerRow };
const A8: Activations = Activations::Int8 { threshold: 0.0 };

/// Random codes and scales.
fn matrix(format: Format, shape: MatShape, seed: u64) -> QuantMatrix {
    let mut random = Random(seed);
    let count = format.num_scales(shape);
    let nested = matches!(format, Format::Nf4 { absmax: AbsmaxKind::Nested, .. });
    let scales = if nested {
        let (codes, absmax) = (random.bytes(count), vec![0.01; count.div_ceil(256)]);
        Scales::Nested(NestedAbsmax { codes, absmax, offset: 0.02, map: NestedAbsmax::default_map() })
    } else {
        Scales::F32((0..count).map(|_| 0.02 + 0.01 * random.signed()).collect())
    };
    let codes = random.bytes(format.num_code_bytes(shape));
    let zero_points = format.has_zero_points().then(|| random.bytes(count).iter().map(|b| b & 15).collect());
    QuantMatrix::from_parts(format, shape, Dtype::F32, Parts { codes, scales, zero_points, map: None, steps: None })
        .unwrap()
}

struct Case {
    format: Format,
    activations: Activations,
    shape: MatShape,
    m: usize,
    dtype: Dtype,
    strategy: Strategy,
}

impl Case {
    fn name(&self) -> String {
        let Self { format, activations, shape, m, dtype, strategy } = self;
        format!("{strategy} {format} {activations} {dtype} N {} K {} M {m}", shape.n(), shape.k())
    }

    fn multiply(&self, isa: Isa, w: &Prepared, x: &OwnedValues, y: &mut OwnedValues) {
        matmul(isa, x.as_values(), w, None, self.strategy, y.as_values_mut()).unwrap();
    }

    /// Compares some results with sums in f64; 3 % of the size of what is summed covers rounded activations.
    fn verify(&self, w: &QuantMatrix, x: &OwnedValues, y: &OwnedValues) {
        let k = self.shape.k();
        for (m, n) in [(0, 0), (self.m - 1, self.shape.n() - 1), (self.m / 2, self.shape.n() / 3)] {
            let products: Vec<f64> =
                (0..k).map(|i| f64::from(x.as_values().get(m * k + i)) * f64::from(w.value(n, i))).collect();
            let (sum, size) = (products.iter().sum::<f64>(), products.iter().map(|p| p * p).sum::<f64>().sqrt());
            let found = f64::from(y.as_values().get(m * self.shape.n() + n));
            assert!((found - sum).abs() <= 0.03 * size + 0.005 * sum.abs(), "{}: {found}, not {sum}", self.name());
        }
    }

    fn run(&self, isa: Isa, group: &mut BenchmarkGroup<'_, WallTime>) {
        let first = matrix(self.format, self.shape, 1);
        let bytes = first.storage_bytes();
        let copies = if self.m == 1 { ROTATED_BYTES.div_ceil(bytes).max(8) } else { 1 };
        let weights: Vec<Prepared> =
            (0..copies).map(|_| prepare(Arc::new(first.clone()), self.activations).unwrap()).collect();
        let mut random = Random(2);
        let x: Vec<f32> = (0..self.m * self.shape.k()).map(|_| random.signed()).collect();
        let x = OwnedValues::from_f32(self.dtype, &x);
        let mut y = OwnedValues::zeros(self.dtype, self.m * self.shape.n());
        self.multiply(isa, &weights[0], &x, &mut y);
        self.verify(&first, &x, &y);

        let (mut turn, mut times, mut reads) = (0, Times::default(), Times::default());
        let ops = 2 * self.m as u64 * self.shape.num_values() as u64;
        group.throughput(if self.m == 1 { Throughput::Bytes(bytes as u64) } else { Throughput::Elements(ops) });
        group.bench_function(self.name(), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut total = Duration::ZERO;
                for _ in 0..iterations {
                    turn = (turn + 1) % copies;
                    if self.m == 1 {
                        let codes = bytemuck::cast_slice(weights[(turn + copies / 2) % copies].matrix().codes());
                        reads.time(|| ceiling::read(isa, black_box(codes)));
                    }
                    total += times.time(|| self.multiply(isa, &weights[turn], &x, &mut y));
                }
                total
            });
        });
        if times.0.is_empty() {
            return;
        }
        let (least, median) = (times.quantile(0.0), times.quantile(0.5));
        println!("least {:.3} ms, median {:.3} ms, {:.0} GFLOP/s", 1e3 * least, 1e3 * median, ops as f64 / least / 1e9);
        if self.m == 1 {
            let whole = bytes as f64 / first.codes().len() as f64;
            let shares = [0.0, 0.5].map(|q| 100.0 * whole * reads.quantile(q) / times.quantile(q));
            let speeds = [bytes as f64 / least, first.codes().len() as f64 / reads.quantile(0.0)].map(|s| s / 1e9);
            println!(
                "{:.1} GB/s of W, reading {:.1}: {:.0} % of least, {:.0} % of median",
                speeds[0], speeds[1], shares[0], shares[1]
            );
        }
        println!();
    }
}

/// How long each run took, in seconds.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    fn time<R>(&mut self, work: impl FnOnce() -> R) -> Duration {
        let start = Instant::now();
        black_box(work());
        let time = start.elapsed();
        self.0.push(time.as_secs_f64());
        time
    }

    /// 0: the least, 0.5: the median.
    fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[(share * (sorted.len() - 1) as f64) as usize]
    }
}

fn cases() -> Vec<Case> {
    let shape = |n, k| MatShape::new(n, k).unwrap();
    let (wide, square) = (shape(14336, 4096), shape(4096, 4096));
    let float = Activations::Float;
    let mut cases = Vec::new();
    let mut add = |format, activations, shape, m, dtype, strategy| {
        cases.push(Case { format, activations, shape, m, dtype, strategy });
    };
    for dtype in [Dtype::F32, Dtype::Bf16] {
        for absmax in [AbsmaxKind::F32, AbsmaxKind::Nested] {
            add(nf4(absmax), float, wide, 1, dtype, Strategy::Auto);
        }
        add(int4(GroupSize::G128, Symmetry::Asymmetric), float, wide, 1, dtype, Strategy::Auto);
        add(nf4(AbsmaxKind::F32), float, square, 1, dtype, Strategy::Auto);
        add(nf4(AbsmaxKind::F32), float, square, 1, dtype, Strategy::DequantizeThenMultiply);
    }
    add(INT8, A8, square, 1, Dtype::Bf16, Strategy::Auto);
    for format in [INT8, Format::Dynamic8 { block_size: BlockSize::B4096 }] {
        add(format, float, square, 1, Dtype::F32, Strategy::Auto);
        add(format, float, square, 1, Dtype::Bf16, Strategy::Auto);
    }
    add(int4(GroupSize::G32, Symmetry::Symmetric), A8, square, 1, Dtype::Bf16, Strategy::Auto);
    for m in [4, 8, 16] {
        for strategy in [Strategy::Gemv, Strategy::Fused] {
            add(nf4(AbsmaxKind::F32), float, square, m, Dtype::Bf16, strategy);
            add(nf4(AbsmaxKind::F32), float, square, m, Dtype::F32, strategy);
            add(INT8, A8, square, m, Dtype::Bf16, strategy);
        }
    }
    for strategy in [Strategy::Fused, Strategy::DequantizeThenMultiply] {
        add(nf4(AbsmaxKind::F32), float, square, 512, Dtype::Bf16, strategy);
        add(nf4(AbsmaxKind::F32), float, square, 512, Dtype::F32, strategy);
    }
    add(INT8, A8, square, 512, Dtype::Bf16, Strategy::Auto);
    add(int4(GroupSize::G32, Symmetry::Symmetric), A8, square, 512, Dtype::Bf16, Strategy::Auto);
    add(int4(GroupSize::G128, Symmetry::Asymmetric), A8, square, 512, Dtype::Bf16, Strategy::Auto);
    cases
}

fn main() {
    let isa = Isa::best();
    println!("{}, {} threads", isa.name(), rayon::current_num_threads());
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let mut group = criterion.benchmark_group("multiply");
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    for case in cases().iter().filter(|case| case.name().contains(&filter)) {
        case.run(isa, &mut group);
    }
    group.finish();
    criterion.final_summary();
}
