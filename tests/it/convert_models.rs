//! Model directories, converted: shards, configuration, other files, and the layers that stay dense.

use std::fs;

use lowbit::Device;
use lowbit::Dtype;
use lowbit::Fp4;
use lowbit::Int4;
use lowbit::Nf4;
use lowbit::checkpoint;
use lowbit::checkpoint::LeftReason;
use lowbit::convert;
use lowbit::convert::DequantizeOptions;
use lowbit::convert::QuantizeOptions;
use lowbit::reference;
use serde_json::Value;
use serde_json::json;

use crate::converting::difference;
use crate::converting::json_file;
use crate::converting::officially_read;
use crate::converting::quantize;
use crate::converting::quantized;
use crate::converting::tensors_in;
use crate::files;
use crate::files::RawTensor;

#[test]
fn shards_in_shards_out() {
    let (directory, output, _) = quantized("f16", Nf4::default());
    let whole = tensors_in(&output);
    let (sharded, back) = (directory.path().join("sharded"), directory.path().join("back"));
    let options = QuantizeOptions { max_shard_bytes: 600_000, ..QuantizeOptions::new(Nf4::default()) };
    quantize(&files::data("f16"), &sharded, &options).unwrap();
    let index = json_file(&sharded.join("model.safetensors.index.json"));
    let total: u64 = whole.iter().map(|tensor| tensor.bytes.len() as u64).sum();
    assert_eq!(index["metadata"]["total_size"], json!(total));
    let map = index["weight_map"].as_object().unwrap();
    assert_eq!(map.len(), whole.len());
    let shards: Vec<String> =
        files::names_in(&sharded).into_iter().filter(|name| name.ends_with("safetensors")).collect();
    assert_eq!((shards.len(), shards[0].as_str()), (3, "model-00001-of-00003.safetensors"));
    for shard in &shards {
        assert!(fs::metadata(sharded.join(shard)).unwrap().len() <= 600_000, "{shard}");
        for (name, _, _) in officially_read(&sharded.join(shard)) {
            assert_eq!(map[&name], json!(shard));
        }
    }
    assert_eq!(difference(&tensors_in(&sharded), &whole), None);
    let options = DequantizeOptions { max_shard_bytes: 900_000, ..DequantizeOptions::new(Dtype::F16) };
    let source = checkpoint::open(&sharded).unwrap();
    convert::dequantize(&source, &back, &options, &Device::cpu(), &mut |_| {}).unwrap();
    assert!(back.join("model.safetensors.index.json").exists());
}

#[test]
fn dequantized_weights_are_the_values_of_the_codes() {
    let (directory, quantized, _) = quantized("f16", Nf4::default().double_quant(true));
    let back = directory.path().join("back");
    let source = checkpoint::open(&quantized).unwrap();
    let options = DequantizeOptions::new(Dtype::F16);
    let report = convert::dequantize(&source, &back, &options, &Device::cpu(), &mut |_| {}).unwrap();
    assert_eq!(report.linears.len(), 14);
    let (dense, original) = (checkpoint::open(&back).unwrap(), checkpoint::open(files::data("f16")).unwrap());
    let names = |source: &checkpoint::Checkpoint| -> Vec<_> {
        let mut names: Vec<_> = source.tensors().map(|i| (i.name.clone(), i.dtype, i.shape.clone())).collect();
        names.sort_by(|a, b| a.0.cmp(&b.0));
        names
    };
    assert_eq!(names(&dense), names(&original));
    for linear in source.linears() {
        let values = reference::dequantize(&source.load_matrix(&linear.name).unwrap());
        let expected = lowbit::values::OwnedValues::from_f32(Dtype::F16, &values);
        assert_eq!(dense.read_values(&format!("{}.weight", linear.name)).unwrap(), expected, "{}", linear.name);
    }
    assert_eq!(json_file(&back.join("config.json")), json_file(&files::data("f16").join("config.json")));
    assert_eq!(
        fs::read(back.join("tokenizer.model")).unwrap(),
        fs::read(files::data("f16").join("tokenizer.model")).unwrap()
    );
}

#[test]
fn skipped_layers_stay_dense_and_the_config_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let skip = |name: &str| name.ends_with("down_proj");
    let options = QuantizeOptions { skip: &skip, ..QuantizeOptions::new(Nf4::default()) };
    let report = quantize(&files::data("f16"), &output, &options).unwrap();
    let skipped: Vec<&str> = report
        .left_dense
        .iter()
        .filter(|left| left.reason == LeftReason::Skipped)
        .map(|left| left.name.as_str())
        .collect();
    assert_eq!(skipped, ["model.layers.0.mlp.down_proj.weight", "model.layers.1.mlp.down_proj.weight"]);
    let names = &json_file(&output.join("config.json"))["quantization_config"]["llm_int8_skip_modules"];
    assert_eq!(*names, json!(["lm_head", "model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj"]));
    let (dense, source) = (checkpoint::open(files::data("f16")).unwrap(), checkpoint::open(&output).unwrap());
    assert_eq!(source.read(skipped[0]).unwrap(), dense.read(skipped[0]).unwrap());
}

/// A directory with these tensors and this `config.json`.
fn model(tensors: &[RawTensor], config: &Value) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("in")).unwrap();
    files::write(&directory.path().join("in/model.safetensors"), tensors);
    fs::write(directory.path().join("in/config.json"), config.to_string()).unwrap();
    directory
}

#[test]
fn routers_experts_and_transposed_weights_stay_dense_and_are_named() {
    let tensors = [
        files::f16_tensor("l.0.mlp.gate.weight", &[8, 32], 1),
        files::f16_tensor("l.0.mlp.gate_proj.weight", &[32, 32], 2),
        files::f16_tensor("l.0.mlp.experts.down_proj", &[8, 32, 32], 3),
        files::f16_tensor("l.0.mlp.experts.w1.weight", &[8, 32, 32], 4),
        files::f16_tensor("l.0.attn.c_attn.weight", &[32, 96], 5),
        files::tensor("l.0.wide.weight", "F64", &[1, 2], vec![0; 16]),
    ];
    let expected = [
        ("l.0.mlp.gate.weight", LeftReason::Router),
        ("l.0.mlp.experts.down_proj", LeftReason::Experts),
        ("l.0.mlp.experts.w1.weight", LeftReason::Experts),
        ("l.0.attn.c_attn.weight", LeftReason::Conv1d),
        ("l.0.wide.weight", LeftReason::Dtype),
    ];
    let directory = model(&tensors, &json!({"model_type": "gpt2", "torch_dtype": "float16"}));
    let output = directory.path().join("out");
    let report = quantize(&directory.path().join("in"), &output, &QuantizeOptions::new(Nf4::default())).unwrap();
    let left: Vec<_> = report.left_dense.iter().map(|left| (left.name.as_str(), left.reason)).collect();
    assert_eq!(left, expected);
    assert_eq!(report.linears.len(), 1);
    // The router's name is the beginning of a quantized layer's name, and transformers compares beginnings.
    let names = &json_file(&output.join("config.json"))["quantization_config"]["llm_int8_skip_modules"];
    assert_eq!(*names, json!(["l.0.mlp.gate$", "l.0.attn.c_attn", "l.0.wide", "lm_head"]));

    let directory = model(&tensors, &json!({"model_type": "gpt_bigcode"}));
    let output = directory.path().join("out");
    let report = quantize(&directory.path().join("in"), &output, &QuantizeOptions::new(Int4::default())).unwrap();
    assert_eq!(report.linears.len(), 2, "there c_attn is an ordinary linear layer");
    let description = &json_file(&output.join("config.json"))["quantization_config"];
    assert_eq!((&description["quant_method"], &description["format"]), (&json!("lowbit"), &json!("int4")));
}

#[test]
fn other_files_are_copied_and_other_weights_are_not() {
    let directory = model(&[files::f16_tensor("l.weight", &[4, 32], 1)], &json!({}));
    let input = directory.path().join("in");
    for name in ["tokenizer.json", "LICENSE", "pytorch_model.bin", "x.gguf", "other.safetensors", "model.pth"] {
        fs::write(input.join(name), name).unwrap();
    }
    fs::create_dir(input.join("onnx")).unwrap();
    let output = directory.path().join("out");
    quantize(&input, &output, &QuantizeOptions::new(Nf4::default())).unwrap();
    assert_eq!(files::names_in(&output), ["LICENSE", "config.json", "model.safetensors", "tokenizer.json"]);
}

#[test]
fn the_same_input_gives_the_same_bytes_and_progress_reaches_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let source = checkpoint::open(files::data("f16")).unwrap();
    let mut last = 0;
    for name in ["a", "b"] {
        let options = QuantizeOptions::new(Fp4::default());
        let mut progress = |progress: convert::Progress<'_>| {
            last = progress.done_bytes;
            assert!(last <= progress.total_bytes && !progress.tensor.is_empty());
        };
        convert::quantize(&source, &directory.path().join(name), &options, &Device::cpu(), &mut progress).unwrap();
    }
    let bytes = |name: &str| fs::read(directory.path().join(name).join("model.safetensors")).unwrap();
    assert!(bytes("a") == bytes("b"));
    assert_eq!(last, source.tensors().map(|info| info.num_bytes()).sum::<u64>());
}
