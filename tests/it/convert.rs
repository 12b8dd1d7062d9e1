//! Whole checkpoints, converted: what bitsandbytes wrote, tensor for tensor, and every format there and back.

use std::path::Path;

use lowbit::AffineInt8;
use lowbit::BlockSize;
use lowbit::Device;
use lowbit::Dtype;
use lowbit::Dynamic8;
use lowbit::Fp4;
use lowbit::Granularity;
use lowbit::GroupSize;
use lowbit::Int4;
use lowbit::Int4ChannelGroup;
use lowbit::Int8;
use lowbit::Nf4;
use lowbit::Recipe;
use lowbit::checkpoint;
use lowbit::checkpoint::OutputKind;
use lowbit::convert::QuantizeOptions;
use lowbit::formats::NestedAbsmax;
use lowbit::formats::Symmetry;
use lowbit::quantize::distortion::Distortion;
use lowbit::reference;
use lowbit::values::Values;
use serde_json::Value;

use crate::converting::difference;
use crate::converting::json_file;
use crate::converting::officially_read;
use crate::converting::quantize;
use crate::converting::quantized;
use crate::converting::tensors_in;
use crate::files;
use crate::files::RawTensor;

#[test]
fn nf4_and_int8_are_what_bitsandbytes_writes() {
    for (recipe, expected) in [(Recipe::from(Nf4::default()), "bnb_nf4"), (Int8::default().into(), "bnb_int8")] {
        let (_guard, output, report) = quantized("f16", recipe);
        let theirs = tensors_in(&files::data(expected));
        assert_eq!(difference(&tensors_in(&output), &theirs), None);
        let config = json_file(&output.join("config.json"));
        assert_eq!(config, json_file(&files::data(expected).join("config.json")));
        let keys = |config: &Value| -> Vec<String> { config.as_object().unwrap().keys().cloned().collect() };
        let their_config = json_file(&files::data(expected).join("config.json"));
        assert_eq!(keys(&config), keys(&their_config));
        assert_eq!(keys(&config["quantization_config"]), keys(&their_config["quantization_config"]));
        assert_eq!(officially_read(&output.join("model.safetensors")).len(), theirs.len());
        let copied = ["generation_config.json", "model.safetensors", "tokenizer.model", "tokenizer_config.json"];
        assert_eq!(files::names_in(&output)[1..], copied);
        assert_eq!((report.linears.len(), report.left_dense.len()), (14, 7));
    }
}

#[test]
fn the_comparison_sees_a_changed_byte_and_a_changed_name() {
    let theirs = tensors_in(&files::data("bnb_nf4"));
    let mut ours = theirs.clone();
    ours[20].bytes[3] ^= 1;
    assert!(difference(&ours, &theirs).unwrap().contains("byte Some(3)"));
    ours = theirs.clone();
    ours[20].name.push('x');
    assert!(difference(&ours, &theirs).is_some());
    assert!(difference(&ours[1..], &theirs).is_some());
}

/// Which absmax values a double-quantized layer stands for, and whether our codes are as near to them as theirs.
fn check_nested(ours: &RawTensor, theirs: &RawTensor, absmax: &[f32], nested: &NestedAbsmax) -> usize {
    let mut differing = 0;
    for (i, (&our_code, &their_code)) in ours.bytes.iter().zip(&theirs.bytes).enumerate() {
        if our_code != their_code {
            differing += 1;
            let s = (absmax[i] - nested.offset) / nested.absmax[i / 256];
            let distance = |code: u8| f64::from((nested.map[usize::from(code)] - s).abs());
            let nearest = (0..=255).map(distance).fold(f64::INFINITY, f64::min);
            assert!(distance(their_code) <= nearest + 3e-5, "{} {i}: {their_code}", ours.name);
            assert!(distance(our_code) <= nearest + 1e-6, "{} {i}: {our_code}", ours.name);
        }
    }
    differing
}

#[test]
fn double_quantized_nf4_is_what_bitsandbytes_writes_but_for_its_table_lookup() {
    let (_guard, output, _) = quantized("f16", Nf4::default().double_quant(true));
    let (ours, theirs) = (tensors_in(&output), tensors_in(&files::data("bnb_nf4_double")));
    let plain = checkpoint::open(files::data("bnb_nf4")).unwrap();
    let source = checkpoint::open(&output).unwrap();
    assert_eq!(ours.len(), theirs.len());
    let (mut differing, mut count) = (0, 0);
    for (a, b) in ours.iter().zip(&theirs) {
        assert_eq!((&a.name, a.dtype), (&b.name, b.dtype));
        if let Some(module) = a.name.strip_suffix(".weight.absmax") {
            let exact = plain.load_matrix(module).unwrap();
            let matrix = source.load_matrix(module).unwrap();
            let lowbit::formats::Scales::Nested(nested) = matrix.scales() else { panic!("{module} is not nested") };
            assert_eq!(a.shape, b.shape);
            differing += check_nested(a, b, &exact.scales().to_f32(), nested);
            count += a.bytes.len();
        } else if a.name.contains("quant_state") {
            let parse = |tensor: &RawTensor| -> Value { serde_json::from_slice(&tensor.bytes).unwrap() };
            let (mut ours, mut theirs) = (parse(a), parse(b));
            let offset = |state: &mut Value| state["nested_offset"].take().as_f64().unwrap() as f32;
            let ulps = offset(&mut ours).to_bits().abs_diff(offset(&mut theirs).to_bits());
            assert!(ulps <= 2, "{}: {ulps} ulp", a.name);
            assert_eq!(ours, theirs);
        } else {
            assert_eq!((&a.shape, &a.bytes), (&b.shape, &b.bytes), "{}", a.name);
        }
    }
    assert!(differing * 200 <= count, "{differing} of {count} absmax codes differ");
    let config = |directory: &Path| json_file(&directory.join("config.json"));
    assert_eq!(config(&output), config(&files::data("bnb_nf4_double")));
    assert_eq!(officially_read(&output.join("model.safetensors")).len(), theirs.len());
}

#[test]
fn the_report_says_how_far_the_weights_are_from_the_originals() {
    let (_guard, output, report) = quantized("f16", Nf4::default());
    let (dense, source) = (checkpoint::open(files::data("f16")).unwrap(), checkpoint::open(&output).unwrap());
    let (mut count, mut error, mut signal) = (0, 0.0, 0.0);
    for linear in &report.linears {
        let original = dense.read_values(&format!("{}.weight", linear.name)).unwrap().as_values().to_f32();
        let dequantized = reference::dequantize(&source.load_matrix(&linear.name).unwrap());
        let squares = |f: &dyn Fn(usize) -> f64| (0..original.len()).map(|i| f(i) * f(i)).sum::<f64>();
        let layer_error = squares(&|i| f64::from(original[i]) - f64::from(dequantized[i]));
        let layer_signal = squares(&|i| f64::from(original[i]));
        let distortion = linear.distortion.unwrap();
        assert!((distortion.relative_rmse() - (layer_error / layer_signal).sqrt()).abs() < 1e-9, "{}", linear.name);
        (count, error, signal) = (count + original.len() as u64, error + layer_error, signal + layer_signal);
        assert_eq!(linear.bytes_before, 2 * original.len() as u64);
        assert_eq!(linear.bytes_after, (original.len() / 2 + original.len() / 64 * 4) as u64);
    }
    assert_eq!(report.distortion.count, count);
    assert!((report.distortion.sqnr_db() - 10.0 * (signal / error).log10()).abs() < 1e-9);
    let bytes = |source: &checkpoint::Checkpoint| source.tensors().map(|info| info.num_bytes()).sum::<u64>();
    assert_eq!((report.bytes_before, report.bytes_after), (bytes(&dense), bytes(&source)));
}

/// Rounding in two levels, in integers, costs less than the better of two grids gains, one that exceeds the range of its group and
/// one that falls short: INT4 has one grid over the range of values, or over the largest magnitude on both sides.
#[test]
fn int4_channel_group_loses_less_than_int4_of_the_same_groups() {
    let model = checkpoint::open(crate::support::data("tiny-llama")).unwrap();
    let relative_rmse = |recipe: Recipe| {
        let mut sums = Distortion::default();
        for linear in model.linears() {
            let values = model.read_values(&format!("{}.weight", linear.name)).unwrap();
            let matrix = lowbit::ops::quantize(values.as_values(), linear.shape, recipe, &Device::cpu()).unwrap();
            sums.merge(&Distortion::of_matrix(values.as_values(), &matrix, &Device::cpu()).unwrap());
        }
        sums.relative_rmse()
    };
    let int4 = |symmetry, size| {
        let int4 = Int4::default().granularity(Granularity::PerGroup(size)).symmetry(symmetry);
        relative_rmse(int4.into())
    };
    let errors = [
        relative_rmse(Int4ChannelGroup.into()),
        int4(Symmetry::Asymmetric, GroupSize::G64),
        int4(Symmetry::Asymmetric, GroupSize::G128),
        int4(Symmetry::Symmetric, GroupSize::G64),
        int4(Symmetry::Symmetric, GroupSize::G128),
    ];
    assert!(errors.is_sorted_by(|a, b| a < b), "{errors:?}");
}

/// A file with one linear layer `l`, an odd number of columns, a bias and an embedding.
fn small_file(directory: &Path, dtype: Dtype) -> std::path::PathBuf {
    let path = directory.join("small.safetensors");
    let values = lowbit::values::OwnedValues::from_f32(dtype, &files::noise(70 * 37, 5));
    let name = checkpoint::StoredDtype::from(dtype).name();
    let tensors = [
        files::tensor("l.weight", name, &[70, 37], values.as_bytes().to_vec()),
        files::f32_tensor("l.bias", &[70], &files::noise(70, 6)),
        files::f16_tensor("embed_tokens.weight", &[9, 3], 7),
        files::tensor("none", "I64", &[0], vec![]),
    ];
    files::write(&path, &tensors);
    path
}

#[test]
fn every_format_makes_the_round_trip_through_a_file() {
    let group = Granularity::PerGroup(GroupSize::G32);
    let recipes: [Recipe; 14] = [
        Nf4::default().into(),
        Nf4::default().block_size(BlockSize::B128).double_quant(true).into(),
        Fp4::default().into(),
        Fp4::default().double_quant(true).into(),
        Int8::default().into(),
        Int8::default().granularity(Granularity::PerTensor).into(),
        Int8::default().granularity(group).into(),
        Int4::default().into(),
        Int4::default().granularity(group).symmetry(Symmetry::Asymmetric).into(),
        Int4::default().granularity(Granularity::PerTensor).into(),
        Int4ChannelGroup.into(),
        AffineInt8::default().into(),
        AffineInt8::default().symmetry(Symmetry::Symmetric).granularity(group).into(),
        Dynamic8::default().block_size(BlockSize::B256).into(),
    ];
    for (recipe, dtype) in recipes.iter().flat_map(|r| [(r, Dtype::F32), (r, Dtype::F16), (r, Dtype::Bf16)]) {
        let directory = tempfile::tempdir().unwrap();
        let input = small_file(directory.path(), dtype);
        let output = directory.path().join("out.safetensors");
        quantize(&input, &output, &QuantizeOptions::new(*recipe)).unwrap();
        officially_read(&output);
        let (dense, source) = (checkpoint::open(&input).unwrap(), checkpoint::open(&output).unwrap());
        let original = dense.read_values("l.weight").unwrap();
        let shape = dense.linears()[0].shape;
        let matrix = source.load_matrix("l").unwrap();
        let expected = reference::quantize(original.as_values(), shape, recipe.format).unwrap();
        // LLM.int8() files do not say what was quantized.
        let stored_dtype = if recipe.format == Recipe::from(Int8::default()).format { Dtype::F16 } else { dtype };
        assert_eq!(matrix.dtype(), stored_dtype);
        assert_eq!(matrix.into_parts(), expected.into_parts(), "{}", recipe.format);
        for name in ["l.bias", "embed_tokens.weight", "none"] {
            assert_eq!(source.read(name).unwrap(), dense.read(name).unwrap());
        }
        let bias = source.load_bias("l").unwrap().unwrap();
        assert_eq!(bias.as_values().to_f32(), files::noise(70, 6));
        assert_eq!(files::names_in(directory.path()), ["out.safetensors", "small.safetensors"]);
    }
}

#[test]
fn a_dynamic_map_of_its_own_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.safetensors");
    let shape = lowbit::MatShape::new(4, 64).unwrap();
    let format = Recipe::from(Dynamic8::default()).format;
    let mut map = Box::new(lowbit::formats::tables::DYNAMIC_MAP);
    map[17] = 0.25;
    let mut parts = reference::quantize(Values::F32(&files::noise(256, 1)), shape, format).unwrap().into_parts();
    parts.map = Some(map);
    let matrix = lowbit::QuantMatrix::from_parts(format, shape, Dtype::F32, parts).unwrap();
    let output = checkpoint::Output::create(&path, OutputKind::File, false, None).unwrap();
    let mut writer = checkpoint::ModelWriter::new(output, &[checkpoint::plan_matrix("l", &matrix)], u64::MAX);
    writer.write_matrix("l", &matrix).unwrap();
    writer.finish().unwrap().0.commit().unwrap();
    assert_eq!(checkpoint::open(&path).unwrap().load_matrix("l").unwrap(), matrix);
}
