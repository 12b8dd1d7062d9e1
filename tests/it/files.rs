//! Building small safetensors files and model directories for tests.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use lowbit::checkpoint;
use lowbit::checkpoint::Checkpoint;
use lowbit::formats::NestedAbsmax;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

/// A directory of the committed test data.
pub fn data(name: &str) -> PathBuf {
    crate::support::data("checkpoints").join(name)
}

/// A tensor: name, dtype as in the header, shape, bytes.
#[derive(Clone)]
pub struct RawTensor {
    pub name: String,
    pub dtype: &'static str,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

pub fn tensor(name: &str, dtype: &'static str, shape: &[usize], bytes: Vec<u8>) -> RawTensor {
    RawTensor { name: name.to_string(), dtype, shape: shape.to_vec(), bytes }
}

pub fn f32_tensor(name: &str, shape: &[usize], values: &[f32]) -> RawTensor {
    tensor(name, "F32", shape, bytemuck::cast_slice(values).to_vec())
}

pub fn f16_tensor(name: &str, shape: &[usize], seed: u32) -> RawTensor {
    let values: Vec<u8> = noise(shape.iter().product(), seed)
        .iter()
        .flat_map(|&v| lowbit::values::f16::from_f32(v).to_le_bytes())
        .collect();
    tensor(name, "F16", shape, values)
}

/// Fixed pseudo-random values in -1..1.
pub fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The bytes of a file with this header text and data section.
pub fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// The bytes of a well-formed file.
pub fn serialize(tensors: &[RawTensor]) -> Vec<u8> {
    let (mut header, mut data) = (Map::new(), Vec::new());
    for RawTensor { name, dtype, shape, bytes } in tensors {
        let begin = data.len();
        data.extend_from_slice(bytes);
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, data.len()]});
        header.insert(name.clone(), entry);
    }
    with_header(&Value::Object(header).to_string(), &data)
}

pub fn write(path: &Path, tensors: &[RawTensor]) {
    fs::write(path, serialize(tensors)).unwrap();
}

/// All tensors of a checkpoint, with their bytes.
pub fn read_all(checkpoint: &Checkpoint) -> Vec<RawTensor> {
    let mut tensors: Vec<RawTensor> = checkpoint
        .tensors()
        .map(|info| tensor(&info.name, info.dtype.name(), &info.shape, checkpoint.read(&info.name).unwrap()))
        .collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    tensors
}

/// The error message of opening `path`, which must fail.
pub fn open_error(path: &Path) -> String {
    checkpoint::open(path).expect_err("a malformed checkpoint was opened").to_string()
}

/// Asserts that `message` contains each of `parts`.
pub fn assert_names(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in the message: {message}");
    }
}

/// The names in a directory, sorted.
pub fn names_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The tensors of one small 4-bit weight, 40 values in 1 block, named `l`.
pub fn small_4bit(quant_type: &str, nested: bool) -> Vec<RawTensor> {
    let format = match quant_type {
        "nf4" => lowbit::Recipe::from(lowbit::Nf4::default()).format,
        _ => lowbit::Recipe::from(lowbit::Fp4::default()).format,
    };
    let mut state = format!(r#"{{"quant_type": "{quant_type}", "blocksize": 64, "dtype": "bfloat16", "shape": [5, 8]"#);
    let mut tensors = vec![
        tensor("l.weight", "U8", &[20, 1], (0..20).map(|i| i * 13).collect()),
        f32_tensor("l.weight.quant_map", &[16], &format.codebook().unwrap()),
    ];
    if nested {
        state += r#", "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 1e-05"#;
        tensors.push(tensor("l.weight.absmax", "U8", &[1], vec![200]));
        tensors.push(f32_tensor("l.weight.nested_absmax", &[1], &[2.0]));
        tensors.push(f32_tensor("l.weight.nested_quant_map", &[256], &NestedAbsmax::default_map()[..]));
    } else {
        tensors.push(f32_tensor("l.weight.absmax", &[1], &[1.5]));
    }
    state += "}";
    let name = format!("l.weight.quant_state.bitsandbytes__{quant_type}");
    tensors.push(tensor(&name, "U8", &[state.len()], state.into_bytes()));
    tensors
}

/// An LLM.int8() weight named `l`.
pub fn small_int8() -> Vec<RawTensor> {
    vec![
        tensor("l.weight", "I8", &[2, 3], vec![1, 2, 3, 4, 5, 6]),
        f32_tensor("l.SCB", &[2], &[1.0, 2.0]),
        tensor("l.weight_format", "U8", &[], vec![0]),
    ]
}

/// Runs `check` on a file with these tensors, `m.safetensors`.
pub fn in_file<T>(tensors: &[RawTensor], check: impl FnOnce(&Path) -> T) -> T {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.safetensors");
    write(&path, tensors);
    check(&path)
}
