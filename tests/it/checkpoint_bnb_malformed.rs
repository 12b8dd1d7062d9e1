//! bitsandbytes' serialization, broken in each way once.

use lowbit::checkpoint;
use lowbit::reference;

use crate::files;
use crate::files::RawTensor;
use crate::files::assert_names;

/// The message when `tensors` are opened (and `l` loaded), which must fail; it must name the file.
fn message(tensors: &[RawTensor]) -> String {
    let error = files::in_file(tensors, |path| checkpoint::open(path)?.load_matrix("l")).unwrap_err();
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
    let nf4 = |nested| files::small_4bit("nf4", nested);
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
        (files::small_int8(), "l.SCB"),
        (files::small_int8(), "l.weight"),
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
        let mut tensors = files::small_4bit("nf4", nested);
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
    let mut tensors = files::small_int8();
    tensors[1] = files::f32_tensor("l.SCB", &[3], &[1.0; 3]);
    assert_names(&message(&tensors), &["l.SCB", "expected 2 values of F32, found 3", "int8 per row, shape [2, 3]"]);
    tensors = files::small_int8();
    tensors[0].dtype = "U8";
    assert_names(&message(&tensors), &["l.weight", "expected I8 with two dimensions, found U8 with shape [2, 3]"]);
}

#[test]
fn a_wrong_quant_state_is_refused() {
    let swap = |nested, from: &str, to: &str| message(&with_state(files::small_4bit("nf4", nested), from, to));
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
    let mut tensors = files::small_4bit("nf4", false);
    tensors[3].bytes[0] = 0xff;
    assert_names(&message(&tensors), &["text must be UTF-8, found an invalid byte at 0"]);
    tensors = files::small_4bit("nf4", false);
    tensors[3].name = "l.weight.quant_state.other__nf4".to_string();
    assert_names(&message(&tensors), &["other__nf4 is not supported"]);
}

#[test]
fn codebooks_and_layouts_of_other_kinds_are_unsupported() {
    let mut tensors = files::small_4bit("nf4", false);
    let mut map = lowbit::formats::tables::NF4;
    map[6] = -0.09;
    tensors[1] = files::f32_tensor("l.weight.quant_map", &[16], &map);
    assert_names(&message(&tensors), &["l.weight.quant_map: entry 6 = -0.09 where nf4 block 64 has -0.091050036"]);
    let mut tensors = files::small_int8();
    tensors[2].bytes = vec![2];
    assert_names(&message(&tensors), &["l.weight_format: weight_format 2 is not supported: only 0 is read"]);
    let mut tensors = files::small_4bit("nf4", false);
    tensors[2] = files::f32_tensor("l.weight.absmax", &[1], &[f32::INFINITY]);
    assert_names(&message(&tensors), &["tensor l.weight: absmax: element 0 is inf"]);
}

#[test]
fn no_spoilt_byte_and_no_cut_makes_reading_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.safetensors");
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        checkpoint::open(&path)
            .and_then(|checkpoint| checkpoint.load_matrix("l"))
            .map(|matrix| reference::dequantize(&matrix))
    };
    for tensors in [files::small_4bit("nf4", true), files::small_int8()] {
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
