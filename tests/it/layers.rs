//! [`Linear4bit`] and [`Linear8bit`]: against bitsandbytes' layers, and every format, strategy and type against `reference`.

use lowbit::Activations;
use lowbit::AffineInt8;
use lowbit::BlockSize;
use lowbit::Device;
use lowbit::Dtype;
use lowbit::Dynamic8;
use lowbit::Error;
use lowbit::Fp4;
use lowbit::Granularity;
use lowbit::GroupSize;
use lowbit::Int4;
use lowbit::Int4ChannelGroup;
use lowbit::Int8;
use lowbit::Linear4bit;
use lowbit::Linear8bit;
use lowbit::MatShape;
use lowbit::Nf4;
use lowbit::QuantMatrix;
use lowbit::Recipe;
use lowbit::Strategy;
use lowbit::Tensor;
use lowbit::checkpoint;
use lowbit::checkpoint::Existing;
use lowbit::formats::Symmetry;
use lowbit::reference;
use lowbit::values::OwnedValues;

use crate::support::Vectors;
use crate::support::data;
use crate::support::devices;
use crate::support::same;
use crate::support::same_bits;
use crate::tolerance::product_bound;
use crate::tolerance::unit_roundoff;
use crate::tolerance::weights_dtype;

const STRATEGIES: [Strategy; 4] = [Strategy::Auto, Strategy::Gemv, Strategy::Fused, Strategy::DequantizeThenMultiply];

fn tensor(file: &Vectors, name: &str) -> Tensor {
    Tensor::new(file.values(name), &file.shape(name)).unwrap()
}

/// `Err` with the first element of `y`, made on `device`, farther from the exact product than its bound.
fn check_product(device: &Device, y: &Tensor, x: &Tensor, w: &[f32], bias: Option<&[f32]>) -> Result<(), String> {
    let (y, weights) = (on_cpu(y), weights_dtype(device, y.dtype()));
    let k = *x.shape().last().unwrap();
    let n = w.len() / k;
    let (x, found) = (x.values().unwrap().to_f32(), y.values().unwrap().to_f32());
    let exact = reference::matmul(&x, w, MatShape::new(n, k).unwrap(), bias);
    assert_eq!(exact.len(), found.len());
    for (i, (&exact, &found)) in exact.iter().zip(&found).enumerate() {
        let (x, w) = (&x[i / n * k..][..k], &w[i % n * k..][..k]);
        let bound = product_bound(x, w, bias.map_or(0.0, |b| b[i % n]), exact, y.dtype(), weights);
        let error = (f64::from(found) - exact).abs();
        if error.is_nan() || error > bound {
            return Err(format!("y[{}, {}] = {found}, expected {exact} within {bound:e}", i / n, i % n));
        }
    }
    Ok(())
}

fn on(device: &Device, tensor: &Tensor) -> Tensor {
    tensor.to(device).unwrap()
}

fn on_cpu(tensor: &Tensor) -> Tensor {
    on(&Device::cpu(), tensor)
}

/// A reproducible value in -1..1 (a linear congruential generator's upper bits).
fn noise(state: &mut u64) -> f32 {
    *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    (*state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

fn random(dtype: Dtype, shape: &[usize], seed: u64) -> Tensor {
    let mut state = seed;
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| noise(&mut state)).collect();
    Tensor::new(OwnedValues::from_f32(dtype, &values), shape).unwrap()
}

#[test]
fn nf4_and_fp4_layers_multiply_as_bitsandbytes() {
    for (file, recipe) in [("bnb_nf4", Recipe::from(Nf4::default())), ("bnb_fp4", Fp4::default().into())] {
        let file = Vectors::open(&format!("bitsandbytes/{file}.safetensors"));
        let (weight, x) = (tensor(&file, "linear/weight_f16"), tensor(&file, "linear/x_f32"));
        for device in devices() {
            let layer = Linear4bit::quantize(&weight, None, recipe, &device).unwrap();
            let w = layer.dequantize().unwrap();
            assert_eq!(w.dtype(), Dtype::F16);
            let w = reference::dequantize(layer.weight());
            for strategy in STRATEGIES {
                let y = match layer.forward_with(&on(&device, &x), strategy) {
                    Err(Error::Unsupported { .. }) if matches!(device, Device::Cuda(_)) => continue,
                    y => y.unwrap(),
                };
                check_product(&device, &y, &x, &w, None)
                    .unwrap_or_else(|e| panic!("{} {strategy}: {e}", device.name()));
                // bitsandbytes' own product is an f32 sum as well: both are within the bound of the same exact one.
                let theirs = Tensor::new(file.values("linear/y_f32"), y.shape()).unwrap();
                check_product(&device, &theirs, &x, &w, None).unwrap();
            }
        }
    }
}

/// One layer of `bnb_int8`: bitsandbytes' arrays, ours, and what they must give.
struct Int8Case {
    layer: Linear8bit,
    /// [16, K], rounded to f16 as bitsandbytes does before it quantizes.
    x: Tensor,
    /// bitsandbytes' product in f32, without bias and outliers; its constant is 1.8e-5 too large.
    product: Vec<f32>,
    /// `product`, plus bias, plus the outlier columns of `x` times the dequantized weights (in f64).
    expected: Vec<f64>,
}

fn int8_case(file: &Vectors, dtype: &str, case: &str, threshold: f32, device: &Device) -> Int8Case {
    let name = |tensor: &str| format!("linear/{dtype}/{tensor}");
    let shape = file.shape(&name("CB"));
    let shape = MatShape::new(shape[0], shape[1]).unwrap();
    let bias = tensor(file, &name("bias_f16"));
    let (cb, scb) = (file.get::<i8>(&name("CB")), file.get::<f32>(&name("SCB")));
    let layer = Linear8bit::from_cb_scb(cb, scb, shape, Some(bias.clone()), device).unwrap();
    let layer = layer.threshold(threshold).unwrap();
    let x = tensor(file, &name("x")).to_dtype(Dtype::F16).unwrap();

    let rows = lowbit::functional::int8_vectorwise_quant(x.values().unwrap(), shape.k(), threshold, device).unwrap();
    same("CA", &file.get::<i8>(&name(&format!("{case}/CA"))), &rows.codes).unwrap();
    same_bits("SCA", &file.get::<f32>(&name(&format!("{case}/SCA"))), &rows.absmax).unwrap();
    let columns = rows.outlier_columns;
    if threshold > 0.0 {
        let found: Vec<i64> = columns.iter().map(|&column| column as i64).collect();
        same("outlier_cols", &file.get::<i64>(&name(&format!("{case}/outlier_cols"))), &found).unwrap();
    }

    let w = reference::dequantize(layer.weight());
    let outliers = |m: usize, n: usize| -> f64 {
        let product =
            |&c: &usize| f64::from(x.values().unwrap().get(m * shape.k() + c)) * f64::from(w[n * shape.k() + c]);
        columns.iter().map(product).sum()
    };
    let product: Vec<f32> = file.get(&name(&format!("{case}/mm_dequant_f32")));
    let whole = |(i, &p): (usize, &f32)| {
        f64::from(p) + f64::from(bias.values().unwrap().get(i % shape.n())) + outliers(i / shape.n(), i % shape.n())
    };
    let expected = product.iter().enumerate().map(whole).collect();
    Int8Case { layer, x, product, expected }
}

#[test]
fn llm_int8_layers_multiply_as_bitsandbytes() {
    let file = Vectors::open("bitsandbytes/bnb_int8.safetensors");
    for device in devices() {
        for dtype in ["f16", "bf16", "f32"] {
            for (case, threshold) in [("threshold0", 0.0), ("threshold6", 6.0)] {
                let Int8Case { layer, x, product, expected } = int8_case(&file, dtype, case, threshold, &device);
                let largest = expected.iter().fold(0.0f64, |max, v| max.max(v.abs()));
                if dtype == "f16" {
                    // Only here the outlier columns were f16 too: what bitsandbytes' layer itself gave.
                    let theirs = file.values(&format!("linear/f16/{case}/y_Linear8bitLt")).as_values().to_f32();
                    let rounding = 2.0 * unit_roundoff(Dtype::F16) * largest;
                    assert!(expected.iter().zip(theirs).all(|(e, t)| (e - f64::from(t)).abs() <= rounding));
                }
                for strategy in [Strategy::Auto, Strategy::Fused, Strategy::DequantizeThenMultiply] {
                    let y = match layer.forward_with(&on(&device, &x.to_dtype(Dtype::F32).unwrap()), strategy) {
                        Err(Error::Unsupported { .. }) if matches!(device, Device::Cuda(_)) => continue,
                        y => on_cpu(&y.unwrap()),
                    };
                    for (i, (e, f)) in expected.iter().zip(y.values().unwrap().to_f32()).enumerate() {
                        let bound = 3e-5 * f64::from(product[i]).abs() + 1e-6 * largest;
                        assert!(
                            (e - f64::from(f)).abs() <= bound,
                            "{dtype} {case} {strategy} y[{i}] = {f}, expected {e}"
                        );
                    }
                }
            }
        }
    }
}

fn four_bit_recipes() -> Vec<Recipe> {
    let g = |size| Granularity::PerGroup(GroupSize::new(size).unwrap());
    vec![
        Nf4::default().into(),
        Nf4::default().block_size(BlockSize::B32).double_quant(true).into(),
        Nf4::default().block_size(BlockSize::new(512).unwrap()).into(),
        Fp4::default().block_size(BlockSize::B128).into(),
        Fp4::default().double_quant(true).into(),
        Int4::default().into(),
        Int4::default().granularity(g(32)).symmetry(Symmetry::Asymmetric).into(),
        Int4::default().granularity(Granularity::PerRow).symmetry(Symmetry::Asymmetric).into(),
        Int4::default().granularity(Granularity::PerTensor).into(),
        Int4::default().granularity(g(24)).into(),
        Int4ChannelGroup.into(),
    ]
}

fn eight_bit_recipes() -> Vec<Recipe> {
    let g = Granularity::PerGroup(GroupSize::G64);
    vec![
        Int8::default().granularity(g).into(),
        Dynamic8::default().block_size(BlockSize::B256).into(),
        AffineInt8::default().into(),
        AffineInt8::default().granularity(g).symmetry(Symmetry::Symmetric).into(),
        AffineInt8::default().granularity(Granularity::PerTensor).into(),
    ]
}

/// A layer of either width.
type Forward = dyn Fn(&Tensor, Strategy) -> lowbit::Result<Tensor>;

/// Every format with floating-point activations: each strategy is right or says that it does not exist.
#[test]
fn float_layers_agree_with_reference() {
    let mut fused = 0;
    for device in devices() {
        for (n, k) in [(1, 1), (3, 31), (7, 64), (16, 130), (33, 128), (9, 4096 + 64)] {
            for (i, recipe) in four_bit_recipes().into_iter().chain(eight_bit_recipes()).enumerate() {
                let weight = random(Dtype::Bf16, &[n, k], i as u64);
                let bias = random(Dtype::F32, &[n], 7);
                let bias_values = bias.values().unwrap().to_f32();
                let layer: Box<Forward>;
                let w;
                if recipe.format.code_bits() == 4 {
                    let linear = Linear4bit::quantize(&weight, Some(bias), recipe, &device).unwrap();
                    w = reference::dequantize(linear.weight());
                    layer = Box::new(move |x, strategy| linear.forward_with(x, strategy));
                } else {
                    let linear = Linear8bit::quantize(&weight, Some(bias), recipe, &device).unwrap();
                    assert_eq!(linear.activations(), Activations::Float);
                    w = reference::dequantize(linear.weight());
                    layer = Box::new(move |x, strategy| linear.forward_with(x, strategy));
                }
                for (m, dtype) in [
                    (0, Dtype::F32),
                    (1, Dtype::F32),
                    (2, Dtype::F16),
                    (1, Dtype::Bf16),
                    (17, Dtype::Bf16),
                    (17, Dtype::F32),
                ] {
                    let x = random(dtype, &[m, k], 99);
                    for strategy in STRATEGIES {
                        let case =
                            || format!("{} {} {strategy} m={m} n={n} k={k} {dtype}", device.name(), recipe.format);
                        match layer(&on(&device, &x), strategy) {
                            Ok(y) => {
                                assert_eq!(y.shape(), [m, n]);
                                check_product(&device, &y, &x, &w, Some(&bias_values))
                                    .unwrap_or_else(|e| panic!("{}: {e}", case()));
                                fused += usize::from(strategy == Strategy::Fused || strategy == Strategy::Gemv);
                            }
                            Err(Error::Unsupported { .. })
                                if strategy == Strategy::Gemv || strategy == Strategy::Fused => {}
                            Err(e) => panic!("{}: {e}", case()),
                        }
                    }
                }
            }
        }
    }
    assert!(fused > 500, "only {fused} products took a fused path");
}

/// Quantized activations: the definition is `reference::quantize_rows`, then an exact product.
#[test]
fn integer_layers_agree_with_reference() {
    let mut checked = 0;
    for device in devices() {
        for (n, k) in [(1, 1), (7, 64), (16, 130), (33, 256)] {
            for (i, recipe) in
                four_bit_recipes().into_iter().chain([Int8::default().into()]).chain(eight_bit_recipes()).enumerate()
            {
                let weight = random(Dtype::F32, &[n, k], i as u64);
                let matrix =
                    lowbit::ops::quantize(weight.values().unwrap(), weight.mat_shape().unwrap(), recipe, &device)
                        .unwrap();
                for (activations, max_code) in [(Activations::Int8 { threshold: 0.0 }, 127.0), (Activations::Int4, 7.0)]
                {
                    let Ok(prepared) = lowbit::ops::prepare(matrix.clone().into(), None, activations, &device) else {
                        continue;
                    };
                    let x = random(Dtype::F32, &[17, k], 5);
                    let rows = reference::quantize_rows(&x.values().unwrap().to_f32(), k, max_code, 0.0);
                    let rounded: Vec<f32> = rows
                        .codes
                        .iter()
                        .enumerate()
                        .map(|(i, &code)| {
                            (f64::from(code) * f64::from(rows.absmax[i / k]) / f64::from(max_code)) as f32
                        })
                        .collect();
                    let rounded = Tensor::new(rounded, &[17, k]).unwrap();
                    for strategy in STRATEGIES {
                        let Ok(y) = lowbit::ops::matmul(&on(&device, &x), &prepared, strategy) else { continue };
                        // One more rounding than `product_bound` knows: that of `rounded` itself.
                        check_product(&device, &y, &rounded, &reference::dequantize(&matrix), None).unwrap_or_else(
                            |e| panic!("{} {} {activations} {strategy} n={n} k={k}: {e}", device.name(), recipe.format),
                        );
                        checked += 1;
                    }
                }
            }
        }
    }
    assert!(checked > 100, "only {checked} products");
}

#[test]
fn a_planted_error_breaks_the_bound() {
    let weight = random(Dtype::F32, &[8, 256], 1);
    let x = random(Dtype::F32, &[2, 256], 2);
    let layer = Linear4bit::quantize(&weight, None, Nf4::default(), &Device::cpu()).unwrap();
    let w = reference::dequantize(layer.weight());
    let rebuilt = |change: &dyn Fn(&mut lowbit::formats::Parts)| {
        let mut parts = layer.weight().clone().into_parts();
        change(&mut parts);
        let matrix = layer.weight();
        let matrix = QuantMatrix::from_parts(matrix.format(), matrix.shape(), matrix.dtype(), parts).unwrap();
        Linear4bit::from_parts(matrix, None, &Device::cpu()).unwrap().forward(&x).unwrap()
    };
    check_product(&Device::cpu(), &rebuilt(&|_| ()), &x, &w, None).unwrap();
    assert!(check_product(&Device::cpu(), &rebuilt(&|parts| parts.codes[77] ^= 1), &x, &w, None).is_err());
    let swap = |parts: &mut lowbit::formats::Parts| match &mut parts.scales {
        lowbit::formats::Scales::F32(scales) => scales.swap(0, 1),
        lowbit::formats::Scales::Nested(_) => unreachable!(),
    };
    assert!(check_product(&Device::cpu(), &rebuilt(&swap), &x, &w, None).is_err());
}

#[test]
fn layers_refuse_what_they_cannot_do() {
    let device = Device::cpu();
    let weight = random(Dtype::F32, &[4, 64], 1);
    let wrong = Linear4bit::quantize(&weight, None, Int8::default(), &device).unwrap_err();
    assert_eq!(
        wrong.to_string(),
        format!(
            "Linear4bit of int8 per row is not supported on {}: it takes nf4, fp4 and int4; use Linear8bit",
            device.name()
        )
    );
    assert!(Linear8bit::quantize(&weight, None, Nf4::default(), &device).is_err());
    let bias = random(Dtype::F32, &[3], 1);
    assert!(matches!(Linear4bit::quantize(&weight, Some(bias), Nf4::default(), &device), Err(Error::Shape { .. })));
    let vector = random(Dtype::F32, &[64], 1);
    assert!(matches!(Linear4bit::quantize(&vector, None, Nf4::default(), &device), Err(Error::Shape { .. })));
    let layer = Linear4bit::quantize(&weight, None, Nf4::default(), &device).unwrap();
    let error = layer.forward(&random(Dtype::F32, &[2, 63], 1)).unwrap_err();
    assert_eq!(error.to_string(), "activations [.., K]: expected shape [2, 64], found [2, 63]");
    let mut y = Tensor::zeros(Dtype::F32, &[2, 5]).unwrap();
    assert!(layer.forward_into(&random(Dtype::F32, &[2, 64], 1), &mut y).is_err());
    assert!(matches!(layer.with_activations(Activations::Int8 { threshold: 0.0 }), Err(Error::Unsupported { .. })));
    let mut values = vec![0.5f32; 256];
    values[130] = f32::NAN;
    let nan = Tensor::new(values, &[4, 64]).unwrap();
    let error = Linear4bit::quantize(&nan, None, Nf4::default(), &device).unwrap_err();
    assert!(matches!(error, Error::NonFinite { index: 130, .. }), "{error}");
}

/// A NaN or an infinity in a row of activations makes that row NaN, where activations are rounded, or without a finite value,
/// where they are not, and touches no other; a row of zeros is the bias; what is above the largest f16 is infinite.
#[test]
fn unusual_activations() {
    const ROWS: usize = 20;
    let (n, k) = (5, 128);
    let recipes = four_bit_recipes().into_iter().map(|recipe| (recipe, Activations::Float));
    let thresholds = [0.0, 6.0].map(|threshold| (Int8::default().into(), Activations::Int8 { threshold }));
    let (mut products, mut saturated) = (0, 0);
    for (recipe, activations) in recipes.chain(thresholds) {
        for (device, dtype) in devices().iter().flat_map(|device| [(device, Dtype::F32), (device, Dtype::F16)]) {
            let weight = random(Dtype::F32, &[n, k], 1);
            let bias: Vec<f32> = (1..=n).map(|i| i as f32 / 8.0).collect();
            let matrix = lowbit::ops::quantize(weight.values().unwrap(), weight.mat_shape().unwrap(), recipe, device);
            let prepared = lowbit::ops::prepare(matrix.unwrap().into(), Some(&bias), activations, device).unwrap();
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for (rows, strategy) in [3, ROWS].into_iter().flat_map(|rows| STRATEGIES.map(|s| (rows, s))) {
                    let mut x = random(Dtype::F32, &[rows, k], 2).values().unwrap().to_f32();
                    x[k + 40] = bad;
                    x[2 * k..3 * k].fill(0.0);
                    let case =
                        || format!("{} {} {activations} {strategy} {dtype} {bad} {rows}", device.name(), recipe.format);
                    let x = Tensor::new(OwnedValues::from_f32(dtype, &x), &[rows, k]).unwrap();
                    let Ok(y) = lowbit::ops::matmul(&on(device, &x), &prepared, strategy) else { continue };
                    let y = on_cpu(&y).values().unwrap().to_f32();
                    let is_spoilt =
                        |v: &f32| if activations == Activations::Float { !v.is_finite() } else { v.is_nan() };
                    assert!(y[n..2 * n].iter().all(is_spoilt), "{}: {y:?}", case());
                    assert!(y[..n].iter().chain(&y[2 * n..]).all(|v| v.is_finite()), "{}: {y:?}", case());
                    assert_eq!(y[2 * n..3 * n], bias, "{}", case());
                    products += 1;
                }
            }
            if dtype == Dtype::F16 {
                let x = Tensor::new(OwnedValues::from_f32(dtype, &vec![6e4; k]), &[1, k]).unwrap();
                let y = on_cpu(&lowbit::ops::matmul(&on(device, &x), &prepared, Strategy::Auto).unwrap());
                let w = reference::dequantize(prepared.matrix());
                let exact = w.chunks(k).map(|w| w.iter().map(|w| 6e4 * w).sum::<f32>());
                for (y, exact) in y.values().unwrap().to_f32().into_iter().zip(exact).filter(|(_, e)| e.abs() > 7e4) {
                    assert_eq!(y, f32::INFINITY.copysign(exact), "{} {}", device.name(), recipe.format);
                    saturated += 1;
                }
            }
        }
    }
    assert!(products > 200 && saturated > 50, "only {products} products, {saturated} saturated");
}

#[test]
fn layers_are_what_generic_code_asks_for() {
    fn takes<T: Clone + std::fmt::Debug + Send + Sync + 'static>() {}
    takes::<Linear4bit>();
    takes::<Linear8bit>();
    let layer = Linear4bit::quantize(&random(Dtype::F16, &[64, 128], 3), None, Nf4::default(), &Device::cpu()).unwrap();
    // 4096 bytes of codes, 128 absmax values.
    assert_eq!(layer.memory_bytes(), 4096 + 128 * 4);
    let x = random(Dtype::F32, &[2, 3, 128], 4);
    let y = layer.forward(&x).unwrap();
    assert_eq!(y.shape(), [2, 3, 64]);
    for device in devices() {
        let moved = layer.to(&device).unwrap().forward(&on(&device, &x)).unwrap();
        check_product(
            &device,
            &moved,
            &Tensor::new(x.values().unwrap().to_f32(), &[6, 128]).unwrap(),
            &reference::dequantize(layer.weight()),
            None,
        )
        .unwrap();
    }
}

#[test]
fn a_saved_layer_is_loaded_again() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::cpu();
    let (x, bias) = (random(Dtype::F32, &[3, 130], 4), random(Dtype::F16, &[9], 5));
    let weight = random(Dtype::Bf16, &[9, 130], 6);
    for (i, recipe) in four_bit_recipes().into_iter().enumerate() {
        let path = folder.path().join(format!("{i}.safetensors"));
        let layer = Linear4bit::quantize(&weight, Some(bias.clone()), recipe, &device).unwrap();
        layer.save(&path, "a.b", Existing::Keep).unwrap();
        let loaded = Linear4bit::load(&checkpoint::open(&path).unwrap(), "a.b", &device).unwrap();
        assert_eq!(loaded.weight(), layer.weight());
        let bias = |layer: &Linear4bit| layer.bias().map(|bias| bias.values().unwrap().to_f32());
        assert_eq!(bias(&loaded), bias(&layer));
        assert_eq!(loaded.forward(&x).unwrap().values().unwrap(), layer.forward(&x).unwrap().values().unwrap());
        assert!(matches!(layer.save(&path, "a.b", Existing::Keep), Err(Error::OutputExists { .. })));
        layer.save(&path, "c", Existing::Replace).unwrap();
        assert!(Linear8bit::load(&checkpoint::open(&path).unwrap(), "c", &device).is_err(), "it is a 4-bit layer");
    }
    for recipe in eight_bit_recipes().into_iter().chain([Int8::default().into()]) {
        let path = folder.path().join("8.safetensors");
        let layer = Linear8bit::quantize(&weight, None, recipe, &device).unwrap();
        layer.save(&path, "a.b", Existing::Replace).unwrap();
        let loaded = Linear8bit::load(&checkpoint::open(&path).unwrap(), "a.b", &device).unwrap();
        assert_eq!(loaded.weight().clone().into_parts(), layer.weight().clone().into_parts());
        assert_eq!(loaded.forward(&x).unwrap().values().unwrap(), layer.forward(&x).unwrap().values().unwrap());
    }
}

/// The layers of the checkpoints that transformers wrote, run from the file: their dequantized weights times recorded
/// inputs, summed by someone else in f64.
#[test]
fn layers_of_a_checkpoint_give_the_recorded_products() {
    let inputs = Vectors::open("checkpoints/inputs.safetensors");
    for directory in ["bnb_nf4", "bnb_nf4_double", "bnb_int8"] {
        let model = checkpoint::open(data(&format!("checkpoints/{directory}"))).unwrap();
        let recorded = Vectors::open(&format!("checkpoints/{directory}/reference.safetensors"));
        for (name, input) in
            [("model.layers.0.self_attn.q_proj", "x_hidden"), ("model.layers.1.mlp.down_proj", "x_inter")]
        {
            let x = tensor(&inputs, input);
            let expected = Tensor::new(recorded.values(&format!("{name}/y_f32")), &[8, 256]).unwrap();
            for device in devices() {
                let y = if directory == "bnb_int8" {
                    let layer = Linear8bit::load(&model, name, &device).unwrap();
                    assert_eq!(layer.activations(), Activations::Int8 { threshold: 6.0 }, "config.json says so");
                    layer.with_activations(Activations::Float).unwrap().forward(&on(&device, &x)).unwrap()
                } else {
                    Linear4bit::load(&model, name, &device).unwrap().forward(&on(&device, &x)).unwrap()
                };
                let norm = |values: &[f32]| values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
                let (y, expected) = (on_cpu(&y).values().unwrap().to_f32(), expected.values().unwrap().to_f32());
                let difference: Vec<f32> = y.iter().zip(&expected).map(|(y, e)| y - e).collect();
                let relative = norm(&difference) / norm(&expected);
                // f32 sums of 768 products: see `product_bound`; the recorded ones are rounded to f32 once.
                assert!(relative <= 1e-5, "{directory} {name} on {}: {relative:e}", device.name());
            }
        }
    }
}

/// The table of README: every integer format takes integer activations, no codebook does.
#[test]
fn integer_formats_and_no_others_take_integer_activations() {
    let device = Device::cpu();
    let weight = random(Dtype::F32, &[4, 128], 1);
    let int8 = |granularity| Recipe::from(Int8::default().granularity(granularity));
    let more = [Int8::default().into(), int8(Granularity::PerTensor)];
    for recipe in four_bit_recipes().into_iter().chain(eight_bit_recipes()).chain(more) {
        let shape = weight.mat_shape().unwrap();
        let matrix =
            std::sync::Arc::new(lowbit::ops::quantize(weight.values().unwrap(), shape, recipe, &device).unwrap());
        let integers = recipe.format.granularity().is_some();
        for activations in [Activations::Int8 { threshold: 0.0 }, Activations::Int4] {
            let prepared = lowbit::ops::prepare(matrix.clone(), None, activations, &device);
            assert_eq!(prepared.is_ok(), integers, "{} with {activations}", recipe.format);
        }
    }
}
