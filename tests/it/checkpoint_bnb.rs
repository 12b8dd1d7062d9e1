//! bitsandbytes' own files: every weight means what bitsandbytes says it means, bit for bit.

use std::collections::BTreeMap;

use lowbit::Dtype;
use lowbit::QuantMatrix;
use lowbit::checkpoint;
use lowbit::checkpoint::LeftReason;
use lowbit::checkpoint::Stored;
use lowbit::formats::Format;
use lowbit::formats::NestedAbsmax;
use lowbit::formats::Parts;
use lowbit::formats::Scales;
use lowbit::reference;
use sha2::Digest;
use sha2::Sha256;

use crate::files;
use crate::files::RawTensor;
use crate::files::assert_names;

/// Module name -> SHA-256 of its dequantized weight, as recorded by bitsandbytes.
fn recorded_hashes(directory: &str) -> BTreeMap<String, String> {
    let bytes = std::fs::read(files::data(directory).join("reference.safetensors")).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let text = metadata.metadata().as_ref().unwrap()["sha256_of_dequantized_f32"].clone();
    serde_json::from_str(&text).unwrap()
}

fn hash(matrix: &QuantMatrix) -> String {
    let values = reference::dequantize(matrix);
    Sha256::digest(bytemuck::cast_slice::<f32, u8>(&values)).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_linear_dequantizes_to_the_recorded_bits() {
    for directory in ["bnb_nf4", "bnb_nf4_double", "bnb_int8"] {
        let source = checkpoint::open(files::data(directory)).unwrap();
        let recorded = recorded_hashes(directory);
        let linears = source.linears();
        assert_eq!((linears.len(), recorded.len()), (14, 14), "{directory}");
        for linear in linears {
            let matrix = source.load_matrix(&linear.name).unwrap();
            assert_eq!(linear.kind, Stored::Quantized(matrix.format()));
            assert_eq!((matrix.shape(), matrix.dtype()), (linear.shape, Dtype::F16));
            assert_eq!(hash(&matrix), recorded[&linear.name], "{directory}: {}", linear.name);
            assert!(source.load_bias(&linear.name).unwrap().is_none());
        }
    }
}

#[test]
fn one_changed_bit_changes_the_hash() {
    let name = "model.layers.0.self_attn.k_proj";
    for directory in ["bnb_nf4", "bnb_nf4_double", "bnb_int8"] {
        let matrix = checkpoint::open(files::data(directory)).unwrap().load_matrix(name).unwrap();
        let (format, shape, dtype) = (matrix.format(), matrix.shape(), matrix.dtype());
        let good = matrix.into_parts();
        let rebuilt = |parts: &Parts| QuantMatrix::from_parts(format, shape, dtype, parts.clone()).unwrap();
        let recorded = &recorded_hashes(directory)[name];
        assert_eq!(&hash(&rebuilt(&good)), recorded);
        let mut flipped = good.clone();
        flipped.codes[1234] ^= 1;
        assert_ne!(&hash(&rebuilt(&flipped)), recorded, "{directory}: a code");
        let mut swapped = good.clone();
        match &mut swapped.scales {
            Scales::F32(scales) => scales.swap(3, 4),
            Scales::Nested(NestedAbsmax { absmax, .. }) => absmax.swap(0, 1),
        }
        assert_ne!(&hash(&rebuilt(&swapped)), recorded, "{directory}: a scale");
    }
}

#[test]
fn what_is_not_a_linear_layer_is_named_with_the_reason() {
    let source = checkpoint::open(files::data("bnb_nf4")).unwrap();
    let left = source.left_dense();
    let reason = |name: &str| left.iter().find(|left| left.name == name).map(|left| left.reason);
    assert_eq!(reason("model.embed_tokens.weight"), Some(LeftReason::Embedding));
    assert_eq!(reason("lm_head.weight"), Some(LeftReason::OutputHead));
    assert_eq!(reason("model.norm.weight"), Some(LeftReason::Norm));
    assert_eq!(left.len(), 7, "{left:?}");
}

/// The tensors of one small 4-bit weight, 40 values in 1 block, named `l`.
fn small_4bit(quant_type: &str, nested: bool) -> Vec<RawTensor> {
    let format = match quant_type {
        "nf4" => lowbit::Recipe::from(lowbit::Nf4::default()).format,
        _ => lowbit::Recipe::from(lowbit::Fp4::default()).format,
    };
    let mut state = format!(r#"{{"quant_type": "{quant_type}", "blocksize": 64, "dtype": "bfloat16", "shape": [5, 8]"#);
    let mut tensors = vec![
        files::tensor("l.weight", "U8", &[20, 1], (0..20).map(|i| i * 13).collect()),
        files::f32_tensor("l.weight.quant_map", &[16], &format.codebook().unwrap()),
    ];
    if nested {
        state += r#", "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 1e-05"#;
        tensors.push(files::tensor("l.weight.absmax", "U8", &[1], vec![200]));
        tensors.push(files::f32_tensor("l.weight.nested_absmax", &[1], &[2.0]));
        tensors.push(files::f32_tensor("l.weight.nested_quant_map", &[256], &NestedAbsmax::default_map()[..]));
    } else {
        tensors.push(files::f32_tensor("l.weight.absmax", &[1], &[1.5]));
    }
    state += "}";
    let name = format!("l.weight.quant_state.bitsandbytes__{quant_type}");
    tensors.push(files::tensor(&name, "U8", &[state.len()], state.into_bytes()));
    tensors
}

/// An LLM.int8() weight named `l`.
fn small_int8() -> Vec<RawTensor> {
    vec![
        files::tensor("l.weight", "I8", &[2, 3], vec![1, 2, 3, 4, 5, 6]),
        files::f32_tensor("l.SCB", &[2], &[1.0, 2.0]),
        files::tensor("l.weight_format", "U8", &[], vec![0]),
    ]
}

fn in_file<T>(tensors: &[RawTensor], check: impl FnOnce(&std::path::Path) -> T) -> T {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.safetensors");
    files::write(&path, tensors);
    check(&path)
}

#[test]
fn fp4_and_nested_weights_of_a_single_file_are_read() {
    for (quant_type, nested) in [("nf4", false), ("fp4", false), ("nf4", true), ("fp4", true)] {
        let matrix = in_file(&small_4bit(quant_type, nested), |path| checkpoint::open(path)?.load_matrix("l")).unwrap();
        let is_nf4 = matches!(matrix.format(), Format::Nf4 { .. });
        assert_eq!((is_nf4, matrix.dtype()), (quant_type == "nf4", Dtype::Bf16));
        let expected = if nested { NestedAbsmax::default_map()[200] * 2.0 + 1e-5 } else { 1.5 };
        assert_eq!(matrix.scales().get(0), expected);
    }
    // Files of older versions of bitsandbytes have no weight_format.
    assert!(in_file(&small_int8()[..2], |path| checkpoint::open(path)?.load_matrix("l")).is_ok());
}

#[test]
fn packed_weights_under_another_storage_dtype_are_the_same_bytes() {
    let plain = in_file(&small_4bit("nf4", false), |path| checkpoint::open(path)?.load_matrix("l")).unwrap();
    for (dtype, width) in [("BF16", 2), ("F16", 2), ("F32", 4), ("I8", 1)] {
        let mut tensors = small_4bit("nf4", false);
        (tensors[0].dtype, tensors[0].shape) = (dtype, vec![20 / width, 1]);
        let matrix = in_file(&tensors, |path| checkpoint::open(path)?.load_matrix("l")).unwrap();
        assert_eq!(matrix, plain, "{dtype}");
    }
}

/// The message when `tensors` are opened (and `l` loaded), which must fail; it must name the file.
fn message(tensors: &[RawTensor]) -> String {
    let error = in_file(tensors, |path| checkpoint::open(path)?.load_matrix("l")).unwrap_err();
    assert_names(&error.to_string(), &["m.safetensors"]);
    error.to_string()
}

fn without(tensors: Vec<RawTensor>, name: &str) -> Vec<RawTensor> {
    let left: Vec<RawTensor> = tensors.iter().filter(|tensor| tensor.name != name).cloned().collect();
    assert_eq!(left.len() + 1, tensors.len(), "{name}");
    left
}

fn with_state(tensors: Vec<RawTensor>, from: &str, to: &str) -> Vec<RawTensor> {
    let mut tensors = tensors;
    let state = tensors.iter_mut().find(|tensor| tensor.name.contains("quant_state")).unwrap();
    let text = String::from_utf8(state.bytes.clone()).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    state.bytes = text.replacen(from, to, 1).into_bytes();
    state.shape = vec![state.bytes.len()];
    tensors
}

#[test]
fn a_weight_without_one_of_its_tensors_is_refused() {
    let nf4 = |nested| small_4bit("nf4", nested);
    let state = "l.weight.quant_state.bitsandbytes__nf4";
    for (tensors, name) in [
        (nf4(false), "l.weight"),
        (nf4(false), "l.weight.absmax"),
        (nf4(false), "l.weight.quant_map"),
        (nf4(false), state),
        (nf4(true), "l.weight.absmax"),
        (nf4(true), "l.weight.nested_absmax"),
        (nf4(true), "l.weight.nested_quant_map"),
        (nf4(true), state),
        (small_int8(), "l.SCB"),
        (small_int8(), "l.weight"),
    ] {
        assert_names(&message(&without(tensors, name)), &[&format!("tensor {name} is missing")]);
    }
}

#[test]
fn a_tensor_of_the_wrong_dtype_or_length_is_refused() {
    for (nested, name, dtype, shape, expected) in [
        (false, "l.weight", "U8", vec![21, 1], "expected 20 bytes, found 21 of U8"),
        (false, "l.weight.absmax", "F32", vec![2], "expected 1 values of F32, found 2 of F32"),
        (false, "l.weight.absmax", "U8", vec![1], "expected 1 values of F32, found 1 of U8"),
        (false, "l.weight.quant_map", "F32", vec![15], "expected 16 values of F32, found 15"),
        (true, "l.weight.absmax", "F32", vec![1], "expected 1 values of U8, found 1 of F32"),
        (true, "l.weight.nested_absmax", "F32", vec![3], "expected 1 values of F32, found 3"),
        (true, "l.weight.nested_quant_map", "F16", vec![256], "expected 256 values of F32, found 256 of F16"),
    ] {
        let mut tensors = small_4bit("nf4", nested);
        let width = if dtype == "F32" {
            4
        } else if dtype == "F16" {
            2
        } else {
            1
        };
        let target = tensors.iter_mut().find(|tensor| tensor.name == name).unwrap();
        target.bytes = vec![0; shape[0] * width];
        (target.dtype, target.shape) = (dtype, shape);
        assert_names(&message(&tensors), &[&format!("tensor {name}:"), expected, "nf4 block 64"]);
    }
    let mut tensors = small_int8();
    tensors[1] = files::f32_tensor("l.SCB", &[3], &[1.0; 3]);
    assert_names(&message(&tensors), &["l.SCB", "expected 2 values of F32, found 3", "int8 per row, shape [2, 3]"]);
    tensors = small_int8();
    tensors[0].dtype = "U8";
    assert_names(&message(&tensors), &["l.weight", "expected I8 with two dimensions, found U8 with shape [2, 3]"]);
}

#[test]
fn a_wrong_quant_state_is_refused() {
    let swap = |nested, from: &str, to: &str| message(&with_state(small_4bit("nf4", nested), from, to));
    let absurd = format!("[{}, 8]", u64::MAX);
    for (nested, from, to, expected) in [
        (false, "{", "{{", "text must be JSON"),
        (
            false,
            r#"{"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [5, 8]}"#,
            "[]",
            "must be an object, found []",
        ),
        (false, r#""nf4""#, "4", "quant_type must be a string, found 4"),
        (false, r#""nf4""#, r#""nf5""#, "quant_type must be nf4 or fp4, found nf5"),
        (false, r#""nf4""#, r#""fp4""#, "quant_type must be that of the tensor's name, found fp4"),
        (
            false,
            r#""blocksize": 64"#,
            r#""blocksize": "64""#,
            r#"blocksize must be a non-negative integer, found "64""#,
        ),
        (false, r#""blocksize": 64"#, r#""blocksize": 48"#, "blocksize 48 is not supported: it must be a power of two"),
        (false, r#""blocksize": 64, "#, "", "blocksize must be a non-negative integer, found nothing"),
        (false, "bfloat16", "float8", r#"dtype must be float32, float16 or bfloat16, found "float8""#),
        (false, "[5, 8]", "[5, 8, 1]", "shape must be two positive integers"),
        (false, "[5, 8]", "[5, -8]", "found [5,-8]"),
        (false, "[5, 8]", "[0, 8]", "found [0,8]"),
        (false, "[5, 8]", &absurd, "found [18446744073709551615,8]"),
        (false, "[5, 8]", "[5, 9]", "expected 23 bytes, found 20"),
        (true, "256", "128", "nested_blocksize 128 is not supported: it must be 256"),
        (true, r#""float32""#, r#""float16""#, "nested_dtype float16 is not supported"),
        (true, "1e-05", "null", "nested_offset must be a finite f32, found null"),
        (true, "1e-05", "1e39", "nested_offset must be a finite f32, found 1e+39"),
    ] {
        let message = swap(nested, from, to);
        assert_names(&message, &["tensor l.weight", expected]);
    }
    let mut tensors = small_4bit("nf4", false);
    tensors[3].bytes[0] = 0xff;
    assert_names(&message(&tensors), &["text must be UTF-8, found an invalid byte at 0"]);
    tensors = small_4bit("nf4", false);
    tensors[3].name = "l.weight.quant_state.other__nf4".to_string();
    assert_names(&message(&tensors), &["other__nf4 is not supported"]);
}

#[test]
fn codebooks_and_layouts_of_other_kinds_are_unsupported() {
    let mut tensors = small_4bit("nf4", false);
    let mut map = lowbit::formats::tables::NF4;
    map[6] = -0.09;
    tensors[1] = files::f32_tensor("l.weight.quant_map", &[16], &map);
    assert_names(&message(&tensors), &["l.weight.quant_map: entry 6 = -0.09 where nf4 block 64 has -0.091050036"]);
    let mut tensors = small_int8();
    tensors[2].bytes = vec![2];
    assert_names(&message(&tensors), &["l.weight_format: weight_format 2 is not supported: only 0 is read"]);
    let mut tensors = small_4bit("nf4", false);
    tensors[2] = files::f32_tensor("l.weight.absmax", &[1], &[f32::INFINITY]);
    assert_names(&message(&tensors), &["tensor l.weight: absmax: element 0 is inf"]);
}

#[test]
fn no_spoilt_byte_and_no_cut_makes_reading_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.safetensors");
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        checkpoint::open(&path).and_then(|checkpoint| checkpoint.load_matrix("l")).map(|matrix| hash(&matrix))
    };
    for tensors in [small_4bit("nf4", true), small_int8()] {
        let good = files::serialize(&tensors);
        assert!(read(&good).is_ok());
        for length in 0..good.len() {
            assert!(read(&good[..length]).is_err(), "cut to {length} bytes");
        }
        let header_bytes = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
        // Every byte of header and text; the long tables in between are values like any other.
        for position in (0..header_bytes).chain(good.len() - 160.min(good.len() - header_bytes)..good.len()) {
            for spoilt in [0, 0xff, b'9', b'"', b']', good[position] ^ 1] {
                let mut bytes = good.clone();
                bytes[position] = spoilt;
                // An error or, where the byte does not matter to the form, a matrix: but no panic.
                let _ = read(&bytes);
            }
        }
    }
}
