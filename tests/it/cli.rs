//! The `lowbit` tool as its user runs it: output, exit codes, and what is left behind.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::data;

fn lowbit(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lowbit")).args(args).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The JSON that a successful run prints.
fn json(args: &[&str]) -> Value {
    let output = lowbit(&[args, &["--json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The error of a run that fails with `code`: one line that begins with `error: `.
fn error(args: &[&str], code: i32) -> String {
    let output = lowbit(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    if code == 1 {
        assert!(stderr.starts_with("error: ") && stderr.trim_end().lines().count() == 1, "{stderr}");
    }
    stderr
}

/// A folder, the dense checkpoint's path and a path for an output in that folder.
fn workplace() -> (TempDir, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let out = text(&folder.path().join("out")).to_string();
    (folder, text(&data("checkpoints/f16")).to_string(), out)
}

/// What is in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_model_is_quantized_inspected_and_dequantized() {
    let (folder, f16, out) = workplace();
    let report = json(&["quantize", &f16, "--format", "nf4", "--double-quant", "-o", &out]);
    assert_eq!(report["linears"].as_array().unwrap().len(), 14);
    assert_eq!(report["linears"][0]["format"], "nf4 block 64 double-quant");
    let left: Vec<&str> =
        report["left_dense"].as_array().unwrap().iter().map(|left| left["name"].as_str().unwrap()).collect();
    assert!(left.contains(&"lm_head.weight") && left.contains(&"model.embed_tokens.weight"));
    assert!(names(Path::new(&out)).contains(&"tokenizer.model".to_string()));

    let inspected = json(&["inspect", &out]);
    assert_eq!(inspected["quantized_linears"], 14);
    let q_proj =
        inspected["tensors"].as_array().unwrap().iter().find(|t| t["name"] == "model.layers.0.self_attn.q_proj.weight");
    assert_eq!(q_proj.unwrap()["shape"], serde_json::json!([256, 256]));

    let dense = text(&folder.path().join("dense")).to_string();
    json(&["dequantize", &out, "-o", &dense, "--dtype", "bf16"]);
    assert_eq!(json(&["inspect", &dense])["quantized_linears"], 0);
    let config: Value = serde_json::from_slice(&fs::read(Path::new(&dense).join("config.json")).unwrap()).unwrap();
    assert!(config.get("quantization_config").is_none());
}

#[test]
fn a_single_file_is_quantized_beside_itself() {
    let (folder, f16, _) = workplace();
    let input = folder.path().join("weights.safetensors");
    fs::copy(Path::new(&f16).join("model.safetensors"), &input).unwrap();
    let report = json(&["quantize", text(&input), "--format", "int4", "--search"]);
    assert!(report["output"].as_str().unwrap().ends_with("weights-int4.safetensors"));
    assert_eq!(names(folder.path()), ["weights-int4.safetensors", "weights.safetensors"]);
    let inspected = json(&["inspect", report["output"].as_str().unwrap()]);
    assert_eq!(inspected["quantized_linears"], 14);
}

#[test]
fn skip_leaves_layers_dense_and_says_so() {
    let (_folder, f16, out) = workplace();
    let report = json(&[
        "quantize",
        &f16,
        "--format",
        "int8",
        "--skip",
        "k_proj|v_proj",
        "--skip",
        r"layers\.1\.mlp",
        "-o",
        &out,
    ]);
    assert_eq!(report["linears"].as_array().unwrap().len(), 14 - 4 - 3);
    let config: Value = serde_json::from_slice(&fs::read(Path::new(&out).join("config.json")).unwrap()).unwrap();
    let skipped = config["quantization_config"]["llm_int8_skip_modules"].to_string();
    assert!(skipped.contains("model.layers.0.self_attn.k_proj") && skipped.contains("lm_head"), "{skipped}");
}

#[test]
fn compare_has_a_row_per_format() {
    let (_folder, f16, _) = workplace();
    let rows = json(&["compare", &f16, "--formats", "nf4,nf4-dq-search,int8"]);
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 3);
    let error = |row: usize| rows[row]["distortion"]["relative_rmse"].as_f64().unwrap();
    assert!(error(2) < error(1) && error(1) < error(0), "{rows:?}");
    assert_eq!(rows[0]["bits_per_weight"], 4.5);
    let table = String::from_utf8(lowbit(&["compare", &f16, "--formats", "int8"]).stdout).unwrap();
    assert!(table.contains("SQNR dB") && table.contains("int8"), "{table}");
}

#[test]
fn devices_says_what_there_is() {
    let devices = json(&["devices"]);
    assert!(devices["cpu"]["threads"].as_u64().unwrap() >= 1);
    assert_eq!(json(&["devices", "--threads", "3"])["cpu"]["threads"], 3);
}

#[test]
fn a_command_line_that_cannot_be_meant_exits_with_2() {
    let (_folder, f16, out) = workplace();
    error(&["quantize", &f16], 2);
    error(&["frobnicate"], 2);
    error(&["quantize", &f16, "--format", "nf4", "--block-size", "65", "-o", &out], 2);
    error(&["quantize", &f16, "--format", "nf4", "--skip", "(", "-o", &out], 2);
    error(&["compare", &f16, "--formats", "nf5"], 2);
    let refused = error(&["quantize", &f16, "--format", "int8", "--double-quant", "-o", &out], 2);
    assert!(refused.contains("--double-quant is for nf4, fp4, not for int8"), "{refused}");
    assert!(!Path::new(&out).exists());
}

#[test]
fn errors_name_the_file_and_leave_nothing() {
    let (folder, f16, out) = workplace();
    let missing = error(&["inspect", "/no/such/model"], 1);
    assert!(missing.contains("/no/such/model"), "{missing}");
    let broken = folder.path().join("broken.safetensors");
    fs::write(&broken, b"\xff\xff\xff\xff\xff\xff\xff\x7f{}").unwrap();
    let message = error(&["quantize", text(&broken), "--format", "nf4"], 1);
    assert!(message.contains("broken.safetensors"), "{message}");
    assert_eq!(names(folder.path()), ["broken.safetensors"]);

    // Names come from the file: one with a line end and an escape sequence stays one harmless line.
    let header = br#"{"a\n\u001b[31m":{"dtype":"Q9","shape":[1],"data_offsets":[0,1]}}"#;
    fs::write(&broken, [&(header.len() as u64).to_le_bytes()[..], header, b"x"].concat()).unwrap();
    let message = error(&["inspect", text(&broken)], 1);
    assert!(message.contains("Q9") && !message.trim_end().contains(char::is_control), "{message}");

    fs::create_dir(&out).unwrap();
    fs::write(Path::new(&out).join("precious"), b"x").unwrap();
    let message = error(&["quantize", &f16, "--format", "nf4", "-o", &out], 1);
    assert!(message.contains(&out) && message.contains("exists"), "{message}");
    assert_eq!(names(Path::new(&out)), ["precious"]);
    // Not even --force replaces what is not a model.
    let message = error(&["quantize", &f16, "--format", "nf4", "-o", &out, "--force"], 1);
    assert!(message.contains("something else than a model"), "{message}");
    assert_eq!(names(Path::new(&out)), ["precious"]);
    assert_eq!(names(folder.path()), ["broken.safetensors", "out"]);
}

#[test]
fn force_replaces_a_model() {
    let (folder, f16, out) = workplace();
    json(&["quantize", &f16, "--format", "nf4", "-o", &out]);
    let message = error(&["quantize", &f16, "--format", "int8", "-o", &out], 1);
    assert!(message.contains("exists"), "{message}");
    assert_eq!(json(&["inspect", &out])["tensors"][7]["format"], "nf4 block 64");
    json(&["quantize", &f16, "--format", "int8", "-o", &out, "--force"]);
    assert_eq!(json(&["inspect", &out])["tensors"][7]["format"], "int8 per row");
    assert_eq!(names(folder.path()), ["out"]);
}

/// A file size limit stands for a full disk: the write that crosses it fails. What was there before stays.
#[cfg(unix)]
#[test]
fn a_full_disk_is_an_error_and_loses_nothing() {
    let (folder, f16, out) = workplace();
    json(&["quantize", &f16, "--format", "int8", "-o", &out]);
    let before = json(&["inspect", &out]);
    // Without the trap the kernel would kill the process instead of failing the write.
    let script = r#"trap "" XFSZ; ulimit -f 1000; exec "$0" quantize "$1" --format nf4 -o "$2" --force"#;
    let output = Command::new("sh").args(["-c", script, env!("CARGO_BIN_EXE_lowbit"), &f16, &out]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("error: ") && stderr.contains("cannot write"), "{stderr}");
    assert_eq!(json(&["inspect", &out]), before);
    assert_eq!(names(folder.path()), ["out"]);
}
