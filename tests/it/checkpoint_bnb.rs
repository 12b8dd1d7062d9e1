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

#[test]
fn fp4_and_nested_weights_of_a_single_file_are_read() {
    for (quant_type, nested) in [("nf4", false), ("fp4", false), ("nf4", true), ("fp4", true)] {
        let matrix =
            files::in_file(&files::small_4bit(quant_type, nested), |path| checkpoint::open(path)?.load_matrix("l"))
                .unwrap();
        let is_nf4 = matches!(matrix.format(), Format::Nf4 { .. });
        assert_eq!((is_nf4, matrix.dtype()), (quant_type == "nf4", Dtype::Bf16));
        let expected = if nested { NestedAbsmax::default_map()[200] * 2.0 + 1e-5 } else { 1.5 };
        assert_eq!(matrix.scales().get(0), expected);
    }
    // Files of older versions of bitsandbytes have no weight_format.
    assert!(files::in_file(&files::small_int8()[..2], |path| checkpoint::open(path)?.load_matrix("l")).is_ok());
}

#[test]
fn packed_weights_under_another_storage_dtype_are_the_same_bytes() {
    let plain =
        files::in_file(&files::small_4bit("nf4", false), |path| checkpoint::open(path)?.load_matrix("l")).unwrap();
    for (dtype, width) in [("BF16", 2), ("F16", 2), ("F32", 4), ("I8", 1)] {
        let mut tensors = files::small_4bit("nf4", false);
        (tensors[0].dtype, tensors[0].shape) = (dtype, vec![20 / width, 1]);
        let matrix = files::in_file(&tensors, |path| checkpoint::open(path)?.load_matrix("l")).unwrap();
        assert_eq!(matrix, plain, "{dtype}");
    }
}
