//! lowbit's own serialization: what a file may get wrong. Round trips of every format are in `convert`.

use lowbit::AffineInt8;
use lowbit::Dtype;
use lowbit::Dynamic8;
use lowbit::Int4;
use lowbit::Int4ChannelGroup;
use lowbit::MatShape;
use lowbit::QuantMatrix;
use lowbit::Recipe;
use lowbit::checkpoint;
use lowbit::checkpoint::OutputKind;
use lowbit::formats::Symmetry;
use lowbit::reference;
use lowbit::values::Values;

use crate::files;
use crate::files::RawTensor;
use crate::files::assert_names;

/// The tensors of one weight `l` of shape [4, 64], as lowbit writes them.
fn tensors(recipe: impl Into<Recipe>) -> Vec<RawTensor> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.safetensors");
    let (shape, format) = (MatShape::new(4, 64).unwrap(), recipe.into().format);
    let matrix = reference::quantize(Values::F32(&files::noise(256, 1)), shape, format).unwrap();
    let matrix = QuantMatrix::from_parts(format, shape, Dtype::Bf16, matrix.into_parts()).unwrap();
    let output = checkpoint::Output::create(&path, OutputKind::File, false, None).unwrap();
    let mut writer = checkpoint::ModelWriter::new(output, &[checkpoint::plan_matrix("l", &matrix)], u64::MAX);
    writer.write_matrix("l", &matrix).unwrap();
    writer.finish().unwrap().0.commit().unwrap();
    let checkpoint = checkpoint::open(&path).unwrap();
    assert_eq!(checkpoint.load_matrix("l").unwrap(), matrix);
    files::read_all(&checkpoint)
}

fn open(tensors: &[RawTensor]) -> lowbit::Result<QuantMatrix> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.safetensors");
    files::write(&path, tensors);
    checkpoint::open(&path)?.load_matrix("l")
}

fn message(tensors: &[RawTensor]) -> String {
    let message = open(tensors).unwrap_err().to_string();
    assert_names(&message, &["m.safetensors"]);
    message
}

fn state(tensors: &mut [RawTensor]) -> &mut RawTensor {
    tensors.iter_mut().find(|tensor| tensor.name == "l.weight.quant_state.lowbit").unwrap()
}

#[test]
fn the_quant_state_is_the_documented_text() {
    let mut int4 = tensors(Int4::default().symmetry(Symmetry::Asymmetric));
    let text = String::from_utf8(state(&mut int4).bytes.clone()).unwrap();
    let expected = concat!(
        r#"{"version": 1, "format": "int4", "granularity": "group", "group_size": 128, "symmetry": "asymmetric", "#,
        r#""dtype": "bfloat16", "shape": [4, 64]}"#
    );
    assert_eq!(text, expected);
    let names: Vec<&str> = int4.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["l.weight", "l.weight.quant_state.lowbit", "l.weight.scale", "l.weight.zero_point"]);
    let mut dynamic = tensors(Dynamic8::default());
    let expected = r#"{"version": 1, "format": "dynamic8", "block_size": 4096, "dtype": "bfloat16", "shape": [4, 64]}"#;
    assert_eq!(String::from_utf8(state(&mut dynamic).bytes.clone()).unwrap(), expected);
    let mut groups = tensors(Int4ChannelGroup);
    let expected = r#"{"version": 1, "format": "int4_channel_group", "dtype": "bfloat16", "shape": [4, 64]}"#;
    assert_eq!(String::from_utf8(state(&mut groups).bytes.clone()).unwrap(), expected);
    let names: Vec<&str> = groups.iter().map(|tensor| tensor.name.as_str()).collect();
    let suffixes = ["", ".multiplier", ".offset", ".quant_state.lowbit", ".scale"];
    assert_eq!(names, suffixes.map(|suffix| format!("l.weight{suffix}")));
}

#[test]
fn a_wrong_quant_state_is_refused() {
    let good = tensors(Int4::default());
    for (from, to, expected) in [
        ("\"version\": 1", "\"version\": 2", "version 2 is not supported: this lowbit reads version 1"),
        ("\"int4\"", "\"int3\"", "format must be int8, int4, affine_int8, dynamic8 or int4_channel_group, found int3"),
        ("\"group\"", "\"block\"", "granularity must be tensor, row or group, found block"),
        ("128", "0", "group_size must be from 1 to 2147483648, found 0"),
        ("\"group_size\": 128, ", "", "group_size must be a non-negative integer, found nothing"),
        ("\"symmetric\"", "\"odd\"", "symmetry must be symmetric or asymmetric, found odd"),
        ("\"symmetric\"", "\"asymmetric\"", "l.weight.zero_point is missing"),
        ("[4, 64]", "[4, 65]", "l.weight: expected 130 values of U8, found 128"),
        ("[4, 64]", "[64]", "shape must be two positive integers"),
        ("{", "", "text must be JSON"),
    ] {
        let mut bad = good.clone();
        let text = String::from_utf8(state(&mut bad).bytes.clone()).unwrap();
        assert!(text.contains(from), "{from}");
        state(&mut bad).bytes = text.replacen(from, to, 1).into_bytes();
        let len = state(&mut bad).bytes.len();
        state(&mut bad).shape = vec![len];
        assert_names(&message(&bad), &["l.weight", expected]);
    }
    let mut long = good.clone();
    (state(&mut long).bytes, state(&mut long).shape) = (vec![b' '; 5000], vec![5000]);
    assert_names(&message(&long), &["length must be at most 4096 bytes, found 5000"]);
    let mut wide = good;
    (state(&mut wide).dtype, state(&mut wide).bytes, state(&mut wide).shape) = ("F16", vec![0; 4], vec![2]);
    assert_names(&message(&wide), &["dtype must be U8, found F16"]);
}

#[test]
fn missing_and_wrong_companions_are_refused() {
    let good = tensors(AffineInt8::default());
    for name in ["l.weight", "l.weight.scale", "l.weight.zero_point"] {
        let missing: Vec<RawTensor> = good.iter().filter(|tensor| tensor.name != name).cloned().collect();
        assert_names(
            &message(&missing),
            &[&format!("tensor {name} is missing: affine int8 per row asymmetric, shape [4, 64]")],
        );
        let mut longer = good.clone();
        let target = longer.iter_mut().find(|tensor| tensor.name == name).unwrap();
        target.bytes.extend([0; 4]);
        target.shape = vec![target.bytes.len() / if name.ends_with("scale") { 4 } else { 1 }];
        assert_names(&message(&longer), &[&format!("tensor {name}: expected")]);
    }
    let groups = tensors(Int4ChannelGroup);
    for name in ["l.weight.multiplier", "l.weight.offset"] {
        let missing: Vec<RawTensor> = groups.iter().filter(|tensor| tensor.name != name).cloned().collect();
        assert_names(&message(&missing), &[&format!("tensor {name} is missing: int4_channel_group, shape [4, 64]")]);
        let mut high = groups.clone();
        high.iter_mut().find(|tensor| tensor.name == name).unwrap().bytes[1] = 255;
        assert_names(&message(&high), &["tensor l.weight: multiplier = ", "must be at most 255"]);
    }
    let mut nan = good.clone();
    let scale = nan.iter_mut().find(|tensor| tensor.name == "l.weight.scale").unwrap();
    scale.bytes[4..8].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_names(&message(&nan), &["tensor l.weight: absmax: element 1 is NaN"]);
    let mut map = tensors(Dynamic8::default());
    map.push(files::f32_tensor("l.weight.quant_map", &[255], &[0.0; 255]));
    assert_names(&message(&map), &["l.weight.quant_map: expected 256 values of F32, found 255"]);
    let mut points = tensors(Int4::default().symmetry(Symmetry::Asymmetric));
    points.last_mut().unwrap().bytes[2] = 16;
    assert_names(&message(&points), &["tensor l.weight: zero point = 16: must be a 4-bit code, 0 to 15"]);
}
