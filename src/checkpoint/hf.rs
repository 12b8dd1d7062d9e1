//! The model directory of Hugging Face transformers: `config.json` and the files beside the weights.

use std::fs;
use std::fs::File;
use std::path::Path;

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::encoding::Encoding;
use super::encoding::parse_torch_dtype;
use super::native;
use super::output::Output;
use crate::error::Error;
use crate::error::FileFault;
use crate::error::Result;
use crate::formats::AbsmaxKind;
use crate::formats::Format;
use crate::values::Dtype;

const CONFIG_FILE: &str = "config.json";
const QUANTIZATION_CONFIG: &str = "quantization_config";

/// The `config.json` of a model directory, if there is one.
pub(super) fn read_config(directory: &Path) -> Result<Option<Value>> {
    let path = directory.join(CONFIG_FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(&path, "read", e)),
    };
    let fault = |fault| Error::file(path.display(), fault);
    let config: Value =
        serde_json::from_slice(&text).map_err(|e| fault(FileFault::NotJson { reason: e.to_string() }))?;
    if config.is_object() {
        return Ok(Some(config));
    }
    let found = super::safetensors::kind(&config);
    Err(fault(FileFault::BadJson { field: "config".to_string(), rule: "an object", found }))
}

/// The dtype that a configuration names: `dtype`, in older ones `torch_dtype`.
pub fn config_dtype(config: &Value) -> Option<Dtype> {
    let name = config.get("dtype").or(config.get("torch_dtype"))?;
    parse_torch_dtype(name.as_str()?)
}

/// `config` of a model whose linear layers are now in `format`. `dtype` is that of the weights before; `skipped` are the
/// modules that a loader would take for quantized but are not, beside `lm_head`.
pub fn quantized_config(config: &Value, format: Format, dtype: Dtype, skipped: &[String]) -> Value {
    let description = match Encoding::of(format) {
        Encoding::Bnb4bit | Encoding::BnbInt8 => bitsandbytes_config(format, dtype, skipped),
        Encoding::Native => json!({
            "format": native::format_name(format),
            "quant_method": "lowbit",
            "skip_modules": skip_list(skipped),
            "version": 1,
        }),
    };
    let mut entries: Vec<(String, Value)> = entries_without_quantization(config);
    // transformers sorts the keys; in a file with another order this is as good a place as any.
    let position = entries.iter().position(|(key, _)| key.as_str() > QUANTIZATION_CONFIG).unwrap_or(entries.len());
    entries.insert(position, (QUANTIZATION_CONFIG.to_string(), description));
    Value::Object(entries.into_iter().collect())
}

fn entries_without_quantization(config: &Value) -> Vec<(String, Value)> {
    let entries = config.as_object().cloned().unwrap_or_default();
    entries.into_iter().filter(|(key, _)| key != QUANTIZATION_CONFIG).collect()
}

/// `null` lets transformers find the output layer by itself; a list must name it too.
fn skip_list(skipped: &[String]) -> Value {
    if skipped.is_empty() {
        return Value::Null;
    }
    let mut names = skipped.to_vec();
    if !names.iter().any(|name| name == "lm_head") {
        names.push("lm_head".to_string());
    }
    json!(names)
}

/// The keys, in the order in which transformers writes them.
fn bitsandbytes_config(format: Format, dtype: Dtype, skipped: &[String]) -> Value {
    // For 8 bits these three are transformers' defaults, which nothing reads.
    let (quant_type, compute_dtype, nested) = match format {
        Format::Nf4 { absmax, .. } => ("nf4", dtype, absmax == AbsmaxKind::Nested),
        Format::Fp4 { absmax, .. } => ("fp4", dtype, absmax == AbsmaxKind::Nested),
        _ => ("fp4", Dtype::F32, false),
    };
    let is_4bit = format.code_bits() == 4;
    json!({
        "_load_in_4bit": is_4bit,
        "_load_in_8bit": !is_4bit,
        "bnb_4bit_compute_dtype": compute_dtype.torch_name(),
        "bnb_4bit_quant_storage": "uint8",
        "bnb_4bit_quant_type": quant_type,
        "bnb_4bit_use_double_quant": nested,
        "llm_int8_enable_fp32_cpu_offload": false,
        "llm_int8_has_fp16_weight": false,
        "llm_int8_skip_modules": skip_list(skipped),
        "llm_int8_threshold": 6.0,
        "load_in_4bit": is_4bit,
        "load_in_8bit": !is_4bit,
        "quant_method": "bitsandbytes",
    })
}

/// `config` of a model whose linear layers are dense again, in `dtype`.
pub fn dense_config(config: &Value, dtype: Dtype) -> Value {
    let mut entries: Map<String, Value> = entries_without_quantization(config).into_iter().collect();
    let key =
        if entries.contains_key("torch_dtype") && !entries.contains_key("dtype") { "torch_dtype" } else { "dtype" };
    entries.insert(key.to_string(), json!(dtype.torch_name()));
    Value::Object(entries)
}

/// Writes `config.json` into an output directory.
///
/// # Errors
/// [`Error::Io`] when the disk refuses.
pub fn write_config(output: &Output, config: &Value) -> Result<()> {
    output.write_json(CONFIG_FILE, config)
}

/// Copies all files of the model directory `from` but weights, their indexes and `config.json`. Directories in it are not
/// copied.
///
/// # Errors
/// [`Error::Io`] when a file cannot be read or written.
pub fn copy_other_files(from: &Path, output: &Output) -> Result<()> {
    let list = fs::read_dir(from).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut names: Vec<_> = list.map_err(|e| Error::io(from, "list", e))?.iter().map(fs::DirEntry::file_name).collect();
    names.sort_unstable();
    for name in names {
        let (path, name) = (from.join(&name), name.to_string_lossy());
        // `is_file` follows links: a download cache consists of them.
        if path.is_file() && !is_weights(&name) && name != CONFIG_FILE {
            let mut file = File::open(&path).map_err(|e| Error::io(&path, "open", e))?;
            output.write_file(&name, &mut file)?;
        }
    }
    Ok(())
}

/// Whether a file holds weights, in whatever framework's form, or says where they are.
fn is_weights(name: &str) -> bool {
    const ENDINGS: [&str; 14] = [
        ".safetensors",
        ".index.json",
        ".bin",
        ".pt",
        ".pth",
        ".ckpt",
        ".gguf",
        ".ggml",
        ".h5",
        ".msgpack",
        ".onnx",
        ".ot",
        ".npz",
        ".tflite",
    ];
    let name = name.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::Recipe;

    fn keys(value: &Value) -> Vec<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn the_quantization_config_stands_in_its_sorted_place_and_goes_away_again() {
        let config = json!({"dtype": "bfloat16", "model_type": "llama", "rms_norm_eps": 1e-5});
        let format = Recipe::from(crate::formats::Nf4::default()).format;
        let skipped = ["model.layers.0.mlp.gate".to_string()];
        let quantized = quantized_config(&config, format, Dtype::Bf16, &skipped);
        assert_eq!(keys(&quantized), ["dtype", "model_type", "quantization_config", "rms_norm_eps"]);
        let description = &quantized["quantization_config"];
        assert_eq!(description["llm_int8_skip_modules"], json!(["model.layers.0.mlp.gate", "lm_head"]));
        assert_eq!(description["bnb_4bit_compute_dtype"], "bfloat16");
        assert_eq!(dense_config(&quantized, Dtype::F16)["dtype"], "float16");
        assert_eq!(keys(&dense_config(&quantized, Dtype::F16)), keys(&config));
        let old = dense_config(&json!({"torch_dtype": "float16"}), Dtype::F32);
        assert_eq!(old, json!({"torch_dtype": "float32"}));
    }

    #[test]
    fn weights_of_other_kinds_are_not_copied() {
        for name in ["a.bin", "model.GGUF", "model.safetensors.index.json", "pytorch_model.bin.index.json"] {
            assert!(is_weights(name), "{name}");
        }
        for name in ["tokenizer.json", "tokenizer.model", "LICENSE", "merges.txt"] {
            assert!(!is_weights(name), "{name}");
        }
    }
}
