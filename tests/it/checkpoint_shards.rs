//! Model directories: the index, its shards, and what can be wrong between them.

use std::fs;
use std::path::Path;

use lowbit::checkpoint;
use serde_json::Value;
use serde_json::json;

use crate::files;
use crate::files::assert_names;
use crate::files::open_error;

const INDEX: &str = "model.safetensors.index.json";
const FIRST: &str = "model-00001-of-00002.safetensors";
const SECOND: &str = "model-00002-of-00002.safetensors";

/// Two shards, `a.weight` in the first and `b.weight` in the second.
fn sharded() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    files::write(&directory.path().join(FIRST), &[files::f16_tensor("a.weight", &[2, 32], 1)]);
    files::write(&directory.path().join(SECOND), &[files::f16_tensor("b.weight", &[4, 32], 2)]);
    write_index(directory.path(), &json!({"metadata": {}, "weight_map": {"a.weight": FIRST, "b.weight": SECOND}}));
    directory
}

fn write_index(directory: &Path, index: &Value) {
    fs::write(directory.join(INDEX), index.to_string()).unwrap();
}

#[test]
fn the_tensors_of_all_shards_are_read() {
    let directory = sharded();
    let checkpoint = checkpoint::open(directory.path()).unwrap();
    let names: Vec<&str> = checkpoint.tensors().map(|info| info.name.as_str()).collect();
    assert_eq!(names, ["a.weight", "b.weight"]);
    assert_eq!(checkpoint.read("b.weight").unwrap(), files::f16_tensor("b.weight", &[4, 32], 2).bytes);
    assert_eq!(checkpoint.linears().len(), 2);
    assert_eq!((checkpoint.model_dir(), checkpoint.config()), (Some(directory.path()), None));
    let info = checkpoint.tensor("b.weight").unwrap();
    assert_names(&checkpoint.file_name(info), &[SECOND]);
}

#[test]
fn an_index_of_the_wrong_form_is_refused() {
    let directory = sharded();
    for (text, expected) in [
        ("{", "is not JSON"),
        ("[]", "weight_map must be an object, found nothing"),
        (r#"{"weight_map": 3}"#, "weight_map must be an object, found 3"),
        (r#"{"weight_map": {"a.weight": 3}}"#, "weight_map entry of a.weight must be a string, found 3"),
    ] {
        fs::write(directory.path().join(INDEX), text).unwrap();
        assert_names(&open_error(directory.path()), &[INDEX, expected]);
    }
}

#[test]
fn shards_that_are_not_there_or_lie_elsewhere_are_refused() {
    let directory = sharded();
    write_index(directory.path(), &json!({"weight_map": {"a.weight": FIRST, "c.weight": "none.safetensors"}}));
    assert_names(&open_error(directory.path()), &[INDEX, "names shard none.safetensors", "c.weight"]);
    for outside in ["../m.safetensors", "/etc/passwd", "sub/m.safetensors", "..", "", "..\\m", "C:m"] {
        write_index(directory.path(), &json!({"weight_map": {"a.weight": outside}}));
        let quoted = format!("{outside:?}");
        assert_names(&open_error(directory.path()), &[INDEX, "tensor a.weight", &quoted, "plain file name"]);
    }
}

#[test]
fn tensors_in_the_wrong_shard_or_in_two_are_refused() {
    let directory = sharded();
    write_index(directory.path(), &json!({"weight_map": {"a.weight": SECOND, "b.weight": FIRST}}));
    assert_names(&open_error(directory.path()), &[INDEX, "maps tensor a.weight to shard", SECOND]);
    write_index(directory.path(), &json!({"weight_map": {"a.weight": FIRST, "b.weight": SECOND, "c.weight": FIRST}}));
    assert_names(&open_error(directory.path()), &[INDEX, "maps tensor c.weight to shard", FIRST]);
    let both = [files::f16_tensor("a.weight", &[2, 32], 1), files::f16_tensor("b.weight", &[4, 32], 2)];
    files::write(&directory.path().join(SECOND), &both);
    write_index(directory.path(), &json!({"weight_map": {"a.weight": FIRST, "b.weight": SECOND}}));
    assert_names(&open_error(directory.path()), &["tensor a.weight is in two shards", FIRST, SECOND]);
}

#[test]
fn a_malformed_shard_or_config_is_named() {
    let directory = sharded();
    fs::write(directory.path().join("config.json"), "{").unwrap();
    assert_names(&open_error(directory.path()), &["config.json", "is not JSON"]);
    fs::write(directory.path().join("config.json"), "[]").unwrap();
    assert_names(&open_error(directory.path()), &["config.json", "must be an object, found []"]);
    fs::write(directory.path().join(SECOND), [1, 2]).unwrap();
    assert_names(&open_error(directory.path()), &[SECOND, "is 2 bytes long"]);
}

#[test]
fn a_directory_without_a_model_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("weights.safetensors"), []).unwrap();
    assert_names(&open_error(directory.path()), &["neither model.safetensors nor model.safetensors.index.json"]);
}
