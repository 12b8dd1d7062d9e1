//! What each kernel executes and moves for a shape of a real layer: counted by the simulator, never a time.
//!
//! With LOWBIT_WRITE_COUNTS=FILE (`make counts`) the counts are written there.

use std::fmt::Write;
use std::sync::Arc;

use lowbit::Activations;
use lowbit::Device;
use lowbit::Dtype;
use lowbit::GroupSize;
use lowbit::Int4;
use lowbit::Int4ChannelGroup;
use lowbit::Int8;
use lowbit::Linear4bit;
use lowbit::Linear8bit;
use lowbit::Nf4;
use lowbit::Recipe;
use lowbit::Strategy;
use lowbit::Tensor;
use lowbit::formats::Symmetry;
use lowbit::shape::Granularity;
use lowbit::values::OwnedValues;
use ptx_sim::Class;
use ptx_sim::Counts;

use crate::built;
use crate::promises::PROMISES;
use crate::promises::Promise;
use crate::simulator::Executed;
use crate::simulator::Simulator;
use crate::simulator::Tally;
use crate::support::Random;

/// The launches of one case.
struct Counted {
    name: String,
    /// Weights that the case goes over.
    weights: u64,
    launches: Vec<(&'static str, Executed)>,
    product: Option<Product>,
}

/// What must hold of the kernel that multiplies.
struct Product {
    /// The beginning of its name.
    kernel: &'static str,
    /// Padded M, N, K.
    macs: u64,
    /// Wavefronts of its shared loads, over those without bank conflicts, at most.
    wavefronts: f64,
}

impl Counted {
    fn of(name: String, weights: usize, run: impl FnOnce(&Device)) -> Self {
        Self::on(90, name, weights, run)
    }

    /// On a device of that compute capability.
    fn on(capability: u32, name: String, weights: usize, run: impl FnOnce(&Device)) -> Self {
        let tally = Arc::new(Tally::default());
        run(&Simulator::with(capability, Arc::clone(&tally), 0).device());
        Self { name, weights: weights as u64, launches: tally.executed().into_iter().collect(), product: None }
    }

    /// With the kernel that multiplies, and its M, N and K: those of the case, padded to the kernel's instruction.
    fn by(self, kernel: &'static str, (m, n, k): (usize, usize, usize)) -> Self {
        Self { product: Some(Product { kernel, macs: (m * n * k) as u64, wavefronts: 1.0 }), ..self }
    }

    /// With bank conflicts.
    fn with_wavefronts(mut self, most: f64) -> Self {
        self.product.as_mut().expect("a product has shared loads").wavefronts = most;
        self
    }

    /// That all of the product is the promised instruction's, and how many wavefronts its operands take.
    fn check(&self) {
        let Some(Product { kernel, macs, wavefronts }) = self.product else { return };
        let promised = Promise::of(PROMISES, kernel).expect("a kernel that multiplies has a promise").forms[0];
        let launch = self.launches.iter().find(|(symbol, _)| symbol.starts_with(kernel));
        let counts: &Counts = &launch.unwrap_or_else(|| panic!("{}: no launch of {kernel}", self.name)).1.counts;
        let by_promised: u64 =
            counts.matrix_macs.iter().filter(|(form, _)| form.ends_with(promised)).map(|(_, count)| count).sum();
        assert_eq!(by_promised, macs, "{}: multiply-accumulates by {promised}", self.name);
        let (is, best) = (counts.shared_loads.wavefronts, counts.shared_loads.ideal_wavefronts);
        assert!(is as f64 <= wavefronts * best as f64, "{}: {is} wavefronts, {best} without bank conflicts", self.name);
    }

    fn text(&self) -> String {
        let mut text = format!("## {}\n", self.name);
        for (symbol, Executed { launches, counts }) in &self.launches {
            let per = |count: u64| count as f64 / self.weights as f64;
            writeln!(text, "{symbol}: {launches} launch of {} blocks", counts.blocks).unwrap();
            writeln!(text, "  {:.3} thread instructions a weight", per(counts.total_thread())).unwrap();
            for class in Class::ALL.into_iter().filter(|&class| per(counts.thread(class)) >= 0.0005) {
                writeln!(text, "    {:.3} {class:?}", per(counts.thread(class))).unwrap();
            }
            for (form, macs) in &counts.matrix_macs {
                writeln!(text, "  {macs} multiply-accumulates by {form}").unwrap();
            }
            writeln!(text, "  {} by scalar instructions", counts.scalar_macs).unwrap();
            for (what, traffic) in [
                ("global loads", counts.global_loads),
                ("global stores", counts.global_stores),
                ("asynchronous copies", counts.async_copies),
            ] {
                writeln!(text, "  {what}: {} bytes in sectors of {}", traffic.bytes, 32 * traffic.sectors).unwrap();
            }
            for (what, traffic) in [("shared loads", counts.shared_loads), ("shared stores", counts.shared_stores)] {
                let (is, best) = (traffic.wavefronts, traffic.ideal_wavefronts);
                writeln!(text, "  {what}: {is} wavefronts, {best} without bank conflicts").unwrap();
            }
        }
        text
    }
}

fn random(dtype: Dtype, shape: &[usize]) -> Tensor {
    let mut random = Random::new(1);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.uniform()).collect();
    Tensor::new(OwnedValues::from_f32(dtype, &values), shape).unwrap()
}

/// A product of 4-bit weights, quantized on the CPU.
fn product4(name: &str, recipe: impl Into<Recipe>, m: usize, n: usize, k: usize, strategy: Strategy) -> Counted {
    product4_on(90, name, recipe, (m, n, k), strategy)
}

/// The same on a device of that compute capability.
fn product4_on(
    capability: u32,
    name: &str,
    recipe: impl Into<Recipe>,
    (m, n, k): (usize, usize, usize),
    strategy: Strategy,
) -> Counted {
    let layer = Linear4bit::quantize(&random(Dtype::Bf16, &[n, k]), None, recipe, &Device::cpu()).unwrap();
    let name = format!("{name}, bf16, M = {m}, N = {n}, K = {k}, {strategy}");
    Counted::on(capability, name, n * k, |device| {
        let x = random(Dtype::Bf16, &[m, k]).to(device).unwrap();
        layer.to(device).unwrap().forward_with(&x, strategy).unwrap();
    })
}

fn product8(capability: u32, (m, n, k): (usize, usize, usize), threshold: f32) -> Counted {
    let layer = Linear8bit::quantize(&random(Dtype::Bf16, &[n, k]), None, Int8::default(), &Device::cpu()).unwrap();
    let layer = layer.with_activations(Activations::Int8 { threshold }).unwrap();
    let name = format!("INT8 rows, threshold {threshold}, bf16, M = {m}, N = {n}, K = {k}, sm_{capability}");
    Counted::on(capability, name, n * k, |device| {
        let x = random(Dtype::Bf16, &[m, k]).to(device).unwrap();
        layer.to(device).unwrap().forward_with(&x, Strategy::Fused).unwrap();
    })
}

/// A product of 4-bit weights with rounded activations.
fn product_rounded(
    capability: u32,
    name: &str,
    recipe: impl Into<Recipe>,
    activations: Activations,
    (m, n, k): (usize, usize, usize),
) -> Counted {
    let layer = Linear4bit::quantize(&random(Dtype::Bf16, &[n, k]), None, recipe, &Device::cpu()).unwrap();
    let layer = layer.with_activations(activations).unwrap();
    let name = format!("{name}, {activations}, bf16, M = {m}, N = {n}, K = {k}, sm_{capability}");
    Counted::on(capability, name, n * k, |device| {
        let x = random(Dtype::Bf16, &[m, k]).to(device).unwrap();
        layer.to(device).unwrap().forward_with(&x, Strategy::Fused).unwrap();
    })
}

fn product_w4a8(capability: u32, size: (usize, usize, usize)) -> Counted {
    let activations = Activations::Int8 { threshold: 0.0 };
    product_rounded(capability, "int4_channel_group", Int4ChannelGroup, activations, size)
}

fn product_w4a4(granularity: Granularity, size: (usize, usize, usize)) -> Counted {
    let recipe = Int4::default().granularity(granularity).symmetry(Symmetry::Symmetric);
    product_rounded(80, &format!("INT4 {granularity}"), recipe, Activations::Int4, size)
}

fn quantized(name: &str, recipe: impl Into<Recipe>, n: usize, k: usize) -> Counted {
    let weight = random(Dtype::Bf16, &[n, k]);
    Counted::of(format!("quantize {name} from bf16, {n} x {k}"), n * k, |device| {
        lowbit::ops::quantize_tensor(&weight, recipe, device).unwrap();
    })
}

/// Tiles divide it, so nothing is padded.
const MATRIX_CASE: (usize, usize, usize) = (256, 512, 1024);
/// Rows of x up to 8 are the columns of an instruction.
const ONE_PADDED: (usize, usize, usize) = (8, 4096, 4096);
const SIXTEEN: (usize, usize, usize) = (16, 4096, 4096);

fn cases() -> Vec<Counted> {
    let int4 = Int4::default().granularity(Granularity::PerGroup(GroupSize::G128)).symmetry(Symmetry::Asymmetric);
    let (m, n, k) = MATRIX_CASE;
    vec![
        product4("NF4 block 64", Nf4::default(), 1, 4096, 4096, Strategy::Gemv).by("gemv_w4_bf16", ONE_PADDED),
        // Codes of absmax are looked up in a table of 256, wherever they fall.
        product4("NF4 block 64 nested", Nf4::default().double_quant(true), 1, 4096, 4096, Strategy::Gemv)
            .by("gemv_w4_bf16_nested", ONE_PADDED)
            .with_wavefronts(1.04),
        product4("INT4 group 128 asymmetric", int4, 1, 4096, 4096, Strategy::Gemv).by("gemv_w4_bf16", ONE_PADDED),
        product4("NF4 block 64", Nf4::default(), 16, 4096, 4096, Strategy::Gemv).by("gemv_w4_bf16", SIXTEEN),
        product4("NF4 block 64", Nf4::default(), m, n, k, Strategy::DequantizeThenMultiply)
            .by("gemm_dense_bf16", MATRIX_CASE),
        product8(80, MATRIX_CASE, 0.0).by("gemm_int8_bf16", MATRIX_CASE),
        product8(80, MATRIX_CASE, 0.9999).by("gemm_int8_bf16", MATRIX_CASE),
        product8(90, MATRIX_CASE, 0.0).by("gemm_int8_sm90_bf16", MATRIX_CASE),
        product8(90, MATRIX_CASE, 0.9999).by("gemm_int8_sm90_bf16", MATRIX_CASE),
        quantized("NF4 block 64", Nf4::default(), 1024, 1024),
        quantized("NF4 block 64 nested", Nf4::default().double_quant(true), 1024, 1024),
        quantized("INT8 rows", Int8::default(), 1024, 1024),
        product4("NF4 block 64", Nf4::default(), m, n, k, Strategy::Fused).by("gemm_w4_sm90_bf16_m128", MATRIX_CASE),
        // One wavefront in ten is a bank conflict.
        product4_on(80, "NF4 block 64, sm_80", Nf4::default(), (m, n, k), Strategy::Fused)
            .by("gemm_w4_bf16", MATRIX_CASE)
            .with_wavefronts(1.12),
        product_w4a8(80, MATRIX_CASE).by("gemm_w4a8_bf16", MATRIX_CASE),
        product_w4a8(80, SIXTEEN).by("gemm_w4a8_bf16", SIXTEEN),
        product_w4a8(90, MATRIX_CASE).by("gemm_w4a8_sm90_bf16", MATRIX_CASE),
        product_w4a8(90, SIXTEEN).by("gemm_w4a8_sm90_bf16", SIXTEEN),
        product_w4a4(Granularity::PerRow, MATRIX_CASE).by("gemm_int4_bf16", MATRIX_CASE),
        product_w4a4(Granularity::PerGroup(GroupSize::G128), MATRIX_CASE).by("gemm_int4_bf16", MATRIX_CASE),
    ]
}

/// What holds of the counts, whatever the compiler does. The budget of instructions is held in machine code
/// (`kernels_static`): PTX has moves that the assembler removes, and pairs of operations that it makes into one.
#[test]
fn products_are_the_matrix_instructions_and_banks_do_not_conflict() {
    if !built::present() {
        return;
    }
    let cases = cases();
    cases.iter().for_each(Counted::check);

    if let Some(file) = std::env::var_os("LOWBIT_WRITE_COUNTS") {
        let title =
            "# Counted by the simulator, PTX for sm_90a where no other is named (make counts). No time is derived from it.\n".to_string();
        let text: Vec<String> = [title].into_iter().chain(cases.iter().map(Counted::text)).collect();
        std::fs::write(file, text.join("\n")).unwrap();
    }
}
