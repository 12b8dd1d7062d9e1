//! [`Store`]: the tensors of one file or of a model directory's shards, by name.

use std::collections::HashMap;
use std::path::Path;
use std::path::PathBuf;

use serde_json::Value;

use super::TensorInfo;
use super::safetensors::SafetensorsFile;
use super::safetensors::kind;
use crate::error::Error;
use crate::error::FileFault;
use crate::error::Result;
use crate::values::Dtype;
use crate::values::OwnedValues;

/// The index of a sharded model.
pub(super) const INDEX_FILE: &str = "model.safetensors.index.json";
/// The weights of a model that is not sharded.
pub(super) const SINGLE_FILE: &str = "model.safetensors";

/// Files and what they hold. Tensors are in the order of the files and, within one, of their data.
#[derive(Debug)]
pub(super) struct Store {
    files: Vec<SafetensorsFile>,
    tensors: Vec<TensorInfo>,
    by_name: HashMap<String, usize>,
}

impl Store {
    /// One safetensors file.
    pub(super) fn open_file(path: &Path) -> Result<Self> {
        Self::from_files(&[path.to_path_buf()])
    }

    /// `model.safetensors` of a directory or, without it, the shards that the index names.
    pub(super) fn open_directory(directory: &Path) -> Result<Self> {
        let single = directory.join(SINGLE_FILE);
        if single.exists() {
            return Self::open_file(&single);
        }
        let index = directory.join(INDEX_FILE);
        if !index.exists() {
            return Err(Error::NoModel { path: directory.display().to_string() });
        }
        Self::open_shards(directory, &index)
    }

    fn open_shards(directory: &Path, index: &Path) -> Result<Self> {
        let fault = |fault| Error::file(index.display(), fault);
        let map = weight_map(index)?;
        let mut shards: Vec<&str> = map.iter().map(|(_, shard)| shard.as_str()).collect();
        shards.sort_unstable();
        shards.dedup();
        for &shard in &shards {
            if !directory.join(shard).is_file() {
                let tensor =
                    map.iter().find(|entry| entry.1 == shard).map_or_else(String::new, |entry| entry.0.clone());
                return Err(fault(FileFault::MissingShard { shard: shard.to_string(), tensor }));
            }
        }
        let paths: Vec<PathBuf> = shards.iter().map(|shard| directory.join(shard)).collect();
        let store = Self::from_files(&paths)?;
        for (tensor, shard) in &map {
            if store.get(tensor).is_none_or(|info| shards[info.file] != shard) {
                return Err(fault(FileFault::NotInShard { tensor: tensor.clone(), shard: shard.clone() }));
            }
        }
        Ok(store)
    }

    fn from_files(paths: &[PathBuf]) -> Result<Self> {
        let mut store = Self { files: Vec::new(), tensors: Vec::new(), by_name: HashMap::new() };
        for (index, path) in paths.iter().enumerate() {
            let (file, tensors) = SafetensorsFile::open(path, index)?;
            store.files.push(file);
            for info in tensors {
                if let Some(first) = store.by_name.insert(info.name.clone(), store.tensors.len()) {
                    let first = base_name(&store.files[store.tensors[first].file].path);
                    let fault = FileFault::InTwoShards { tensor: info.name, first, second: base_name(path) };
                    return Err(Error::file(path.display(), fault));
                }
                store.tensors.push(info);
            }
        }
        Ok(store)
    }

    pub(super) fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    pub(super) fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|&index| &self.tensors[index])
    }

    /// The file of a tensor, for messages.
    pub(super) fn file_name(&self, info: &TensorInfo) -> String {
        self.files[info.file].path.display().to_string()
    }

    /// [`Error::File`] about the file that holds `info`.
    pub(super) fn fault(&self, info: &TensorInfo, fault: FileFault) -> Error {
        Error::file(self.file_name(info), fault)
    }

    pub(super) fn read_at(&self, info: &TensorInfo, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.files[info.file].read_at(info, offset, buffer)
    }

    /// All bytes of a tensor.
    pub(super) fn read(&self, info: &TensorInfo) -> Result<Vec<u8>> {
        let too_large = || {
            Error::TooLarge { what: "tensor", shape: info.shape.clone() }.in_tensor(self.file_name(info), &info.name)
        };
        let length = usize::try_from(info.num_bytes()).map_err(|_| too_large())?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| too_large())?;
        bytes.resize(length, 0);
        self.read_at(info, 0, &mut bytes)?;
        Ok(bytes)
    }

    /// The values of a tensor whose dtype is `dtype`.
    pub(super) fn read_values(&self, info: &TensorInfo, dtype: Dtype) -> Result<OwnedValues> {
        let too_large = || {
            Error::TooLarge { what: "tensor", shape: info.shape.clone() }.in_tensor(self.file_name(info), &info.name)
        };
        let count = usize::try_from(info.num_bytes()).map_err(|_| too_large())? / dtype.size_bytes();
        let mut values = OwnedValues::zeros(dtype, count);
        self.read_at(info, 0, values.as_bytes_mut())?;
        Ok(values)
    }

    /// The values of a tensor that has been checked to be F32.
    pub(super) fn read_f32(&self, info: &TensorInfo) -> Result<Vec<f32>> {
        let mut values = vec![0.0f32; (info.num_bytes() / 4) as usize];
        self.read_at(info, 0, bytemuck::cast_slice_mut(&mut values))?;
        Ok(values)
    }
}

/// The (tensor, shard) pairs of an index, each shard a plain file name.
fn weight_map(index: &Path) -> Result<Vec<(String, String)>> {
    let fault = |fault| Error::file(index.display(), fault);
    let bad = |field: &str, rule, found: &str| {
        fault(FileFault::BadJson { field: field.to_string(), rule, found: found.to_string() })
    };
    let text = std::fs::read(index).map_err(|e| Error::io(index, "read", e))?;
    let root: Value = serde_json::from_slice(&text).map_err(|e| fault(FileFault::NotJson { reason: e.to_string() }))?;
    let map = root.get("weight_map");
    let Some(pairs) = map.and_then(Value::as_object) else {
        return Err(bad("weight_map", "an object", &map.map_or("nothing".to_string(), kind)));
    };
    let mut shards = Vec::with_capacity(pairs.len());
    for (tensor, shard) in pairs {
        let Some(shard) = shard.as_str() else {
            return Err(bad(&format!("weight_map entry of {tensor}"), "a string", &kind(shard)));
        };
        if !is_plain_name(shard) {
            return Err(fault(FileFault::ShardOutside { tensor: tensor.clone(), shard: shard.to_string() }));
        }
        shards.push((tensor.clone(), shard.to_string()));
    }
    Ok(shards)
}

/// Whether `name` is a file in the same directory on every operating system: no separators, no drive, no `..`.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', ':', '\0'])
}

fn base_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
