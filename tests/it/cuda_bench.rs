//! The benchmark on a GPU, as far as a device without a clock can tell: everything exists, is right and can be captured.

use std::ops::Range;
use std::time::Duration;

use lowbit::Activations;
use lowbit::Device;
use lowbit::Dtype;
use lowbit::Error;
use lowbit::Int4;
use lowbit::Int4ChannelGroup;
use lowbit::Int8;
use lowbit::MatShape;
use lowbit::Nf4;
use lowbit::Recipe;
use lowbit::Result;
use lowbit::Strategy;
use lowbit::Strategy::DequantizeThenMultiply;
use lowbit::Strategy::Fused;
use lowbit::Strategy::Gemv;
use lowbit::bench;
use lowbit::bench::Event;
use lowbit::bench::How;
use lowbit::bench::Layer;
use lowbit::bench::Settings;
use lowbit::cuda::DeviceBuffer;
use lowbit::cuda::kernels::Kernel;

use crate::built;
use crate::simulator::Simulator;

const MILLISECONDS: f32 = 2.0;

/// All of the launches on the small shape; of the product that measures the ceiling, 8192 on each side, one block.
fn all_of_few(_: &Kernel, blocks: u64) -> Range<u64> {
    0..if blocks > 1024 { 1 } else { blocks }
}

fn layer(recipe: impl Into<Recipe>, activations: Activations) -> Layer {
    let recipe = recipe.into();
    Layer { name: format!("{recipe:?}"), recipe, activations }
}

/// What a run told, in order.
#[derive(Default)]
struct Told {
    operations_per_second: f64,
    bytes_per_second: f64,
    library: &'static str,
    rows: Vec<(usize, usize, How)>,
    missing: Vec<(usize, usize, Strategy)>,
}

fn run(capability: u32, settings: &Settings) -> Told {
    let device = Simulator::partial(capability, 1 << 30, all_of_few).with_milliseconds(MILLISECONDS).device();
    let mut told = Told::default();
    let layer_of = |name: &str| settings.layers.iter().position(|layer| layer.name == name).map_or(0, |i| i + 1);
    let on = &mut |event: Event<'_>| -> Result<()> {
        match event {
            Event::Ceilings(ceilings) => {
                told.operations_per_second = ceilings.operations_per_second;
                told.bytes_per_second = ceilings.bytes_per_second;
                told.library = ceilings.library;
            }
            Event::Next { .. } => {}
            Event::Missing { m, format, strategy, error, .. } => {
                assert!(matches!(error, Error::Unsupported { .. }), "{error}");
                told.missing.push((layer_of(format), m, strategy));
            }
            Event::Row(row) => {
                let each = f64::from(MILLISECONDS) / 1e3 / row.products as f64;
                assert!((row.times.median() / each - 1.0).abs() < 1e-6, "{:?}", row.times);
                assert!(row.products.is_multiple_of(row.copies), "each copy is multiplied equally often");
                told.rows.push((layer_of(&row.format), row.m, row.how));
            }
        }
        Ok(())
    };
    bench::run(settings, &device, on).unwrap();
    told
}

/// On Ampere and on Hopper, for one row of x and for a tile: dense first, then what the plan takes and each strategy, or the
/// rule why there is none.
#[test]
fn every_strategy_is_measured_or_missing_with_a_rule() {
    if !built::present() {
        return;
    }
    let int8 = Activations::Int8 { threshold: 0.0 };
    let settings = Settings {
        shapes: bench::models::shapes(&[], &[MatShape::new(96, 256).unwrap()]).unwrap(),
        batches: vec![1, 48],
        layers: vec![
            layer(Nf4::default().double_quant(true), Activations::Float),
            layer(Int8::default(), int8),
            layer(Int4ChannelGroup, int8),
            layer(Int4::default(), Activations::Int4),
        ],
        strategies: vec![Strategy::Auto, Fused, Gemv, DequantizeThenMultiply],
        dtype: Dtype::Bf16,
        samples: 1,
        min_time: Duration::ZERO,
        memory_bytes: 100_000,
    };
    for capability in [80, 90] {
        let told = run(capability, &settings);
        assert_eq!(told.library, "gemm_dense");
        let seconds = f64::from(MILLISECONDS) / 1e3;
        assert!((told.operations_per_second * seconds / (2.0 * 8192f64.powi(3)) - 1.0).abs() < 1e-6);
        assert!((told.bytes_per_second * seconds / f64::from(2 << 26) - 1.0).abs() < 1e-6);
        for m in settings.batches.iter().copied() {
            let of = |layer: usize| {
                let rows = told.rows.iter().filter(|row| (row.0, row.1) == (layer, m)).map(|row| row.2);
                let missing = told.missing.iter().filter(|row| (row.0, row.1) == (layer, m)).map(|row| row.2);
                (rows.collect::<Vec<_>>(), missing.collect::<Vec<_>>())
            };
            assert_eq!(of(0), (vec![How::Dense("gemm_dense")], vec![]));
            let few: fn() -> Ways = if m == 1 { with_gemv } else { fused_only };
            // Hopper has no tensor cores for two 4-bit operands.
            let w4a4: fn() -> Ways = if capability == 90 { dequantize_only } else { fused_only };
            for (layer, expected) in [few, fused_only, fused_only, w4a4].into_iter().enumerate() {
                assert_eq!(of(layer + 1), expected(), "sm_{capability}, M = {m}, {}", settings.layers[layer].name);
            }
        }
    }
}

type Ways = (Vec<How>, Vec<Strategy>);

fn with_gemv() -> Ways {
    (vec![How::Auto(Gemv), How::Strategy(Fused), How::Strategy(Gemv), How::Strategy(DequantizeThenMultiply)], vec![])
}

fn fused_only() -> Ways {
    (vec![How::Auto(Fused), How::Strategy(Fused), How::Strategy(DequantizeThenMultiply)], vec![Gemv])
}

fn dequantize_only() -> Ways {
    (vec![How::Auto(DequantizeThenMultiply), How::Strategy(DequantizeThenMultiply)], vec![Fused, Gemv])
}

/// A device that has no clock is refused.
#[test]
fn a_device_without_a_clock_is_refused() {
    let device: Device = Simulator::new(90).device();
    let settings = Settings {
        shapes: bench::models::shapes(&[], &[MatShape::new(8, 64).unwrap()]).unwrap(),
        batches: vec![1],
        layers: vec![layer(Nf4::default(), Activations::Float)],
        strategies: vec![Strategy::Auto],
        dtype: Dtype::Bf16,
        samples: 1,
        min_time: Duration::ZERO,
        memory_bytes: 1 << 20,
    };
    let refused = bench::run(&settings, &device, &mut |_| Ok::<(), Error>(()));
    assert!(matches!(refused, Err(Error::Unsupported { op: "measuring time", .. })), "{refused:?}");
}

/// What the runs above rely on: memory that is allocated or read by the host while a graph is captured is an error.
#[test]
fn what_cannot_be_captured_is_refused() {
    let Device::Cuda(device) = Simulator::new(90).with_milliseconds(MILLISECONDS).device() else { unreachable!() };
    let error = device.time(|| DeviceBuffer::zeros(&device, 16).map(drop), 1).unwrap_err();
    assert!(error.to_string().contains("a graph is being captured"), "{error}");
    let error = device.time(|| device.synchronize(), 1).unwrap_err();
    assert!(error.to_string().contains("a graph is being captured"), "{error}");
    assert_eq!(device.time(|| Ok(()), 3).unwrap(), [MILLISECONDS; 3]);
}
