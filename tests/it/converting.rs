//! Converting and comparing whole checkpoints in tests.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use lowbit::Device;
use lowbit::Recipe;
use lowbit::checkpoint;
use lowbit::convert;
use lowbit::convert::QuantizeOptions;
use lowbit::convert::Report;
use serde_json::Value;

use crate::files;
use crate::files::RawTensor;

/// Quantizes `source` into `output` on the CPU.
pub fn quantize(source: &Path, output: &Path, options: &QuantizeOptions<'_>) -> lowbit::Result<Report> {
    convert::quantize(&checkpoint::open(source)?, output, options, &Device::cpu(), &mut |_| {})
}

/// Quantizes a directory of the test data; the result and the directory that holds it.
pub fn quantized(source: &str, recipe: impl Into<Recipe>) -> (tempfile::TempDir, PathBuf, Report) {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let report = quantize(&files::data(source), &output, &QuantizeOptions::new(recipe)).unwrap();
    (directory, output, report)
}

pub fn json_file(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// What the official reader sees in a file. Each tensor must be aligned to its elements.
pub fn officially_read(path: &Path) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let bytes = fs::read(path).unwrap();
    let header_bytes = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert!(header_bytes.is_multiple_of(8), "{path:?}");
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<_> = file
        .iter()
        .map(|(name, view)| {
            let offset = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
            assert!(offset.is_multiple_of(view.dtype().bitsize() / 8), "{name} lies at {offset}");
            (name.to_string(), view.shape().to_vec(), view.data().to_vec())
        })
        .collect();
    tensors.sort();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    tensors
}

/// The first difference between two lists of tensors.
pub fn difference(ours: &[RawTensor], theirs: &[RawTensor]) -> Option<String> {
    if ours.len() != theirs.len() {
        return Some(format!("{} tensors, expected {}", ours.len(), theirs.len()));
    }
    ours.iter().zip(theirs).find_map(|(a, b)| {
        let same = (&a.name, a.dtype, &a.shape) == (&b.name, b.dtype, &b.shape);
        let byte = a.bytes.iter().zip(&b.bytes).position(|(a, b)| a != b);
        (!same || a.bytes != b.bytes).then(|| {
            format!(
                "{} {} {:?}, expected {} {} {:?}, byte {byte:?}",
                a.name, a.dtype, a.shape, b.name, b.dtype, b.shape
            )
        })
    })
}

pub fn tensors_in(directory: &Path) -> Vec<RawTensor> {
    files::read_all(&checkpoint::open(directory).unwrap())
}
