//! Files <-> [`QuantMatrix`]: safetensors files and model directories, dense, from bitsandbytes or lowbit's own.
//!
//! Files come from the internet: each way in which one can be wrong is an error that names file, tensor, rule and values.
//! Opening reads headers (and the few bytes that describe quantized weights), never weights. There is no memory map, so
//! a file that is cut while it is open is an error too. What is written appears whole or not at all.
//!
//! [`safetensors`] is the container, `bnb` and `native` are what lies in it, `hf` is the directory around it; which
//! tensors are linear layers is decided in `linears`. Nothing here computes: [`convert`](crate::convert) does.

mod bnb;
mod dtype;
mod encoding;
mod hf;
mod layout;
mod linears;
mod native;
mod output;
mod positioned;
pub mod safetensors;
mod save;
mod store;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use serde_json::Value;

pub use dtype::StoredDtype;
pub use encoding::plan_format;
pub use encoding::plan_matrix;
pub use hf::config_dtype;
pub use hf::copy_other_files;
pub use hf::dense_config;
pub use hf::quantized_config;
pub use hf::write_config;
pub use layout::TensorSpec;
pub use layout::Unit;
pub use linears::LeftDense;
pub use linears::LeftReason;
pub use linears::Linear;
pub use linears::Stored;
pub use output::Output;
pub use output::OutputKind;
pub use safetensors::TensorInfo;
pub use save::Existing;
pub use save::NamedLayer;
pub use save::save;
pub use writer::ModelWriter;

use crate::error::Error;
use crate::error::Result;
use crate::formats::QuantMatrix;
use crate::values::Dtype;
use crate::values::OwnedValues;
use encoding::QuantEntry;
use linears::Role;
use store::Store;

/// Opens a `.safetensors` file, or a directory with `model.safetensors` or `model.safetensors.index.json` and its shards.
///
/// # Errors
/// [`Error::Io`] when a file cannot be read, [`Error::File`] when one is malformed or a quantized weight lacks a part,
/// [`Error::NoModel`] for a directory without a model.
pub fn open(path: impl AsRef<Path>) -> Result<Checkpoint> {
    let path = path.as_ref();
    let is_directory = path.is_dir();
    let (store, config) = match is_directory {
        true => (Store::open_directory(path)?, hf::read_config(path)?),
        false => (Store::open_file(path)?, None),
    };
    // LLM.int8() files do not say what was quantized; bitsandbytes dequantizes them to f16.
    let dtype = config.as_ref().and_then(hf::config_dtype).unwrap_or(Dtype::F16);
    let quantized = encoding::find(&store, dtype)?;
    let mut owners = BTreeMap::new();
    for (module, entry) in &quantized {
        owners.extend(entry.tensors.iter().map(|tensor| (tensor.clone(), module.clone())));
    }
    Ok(Checkpoint { path: path.to_path_buf(), is_directory, config, store, quantized, owners })
}

/// An open checkpoint: its tensors, and which of them are the weights of linear layers.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    is_directory: bool,
    config: Option<Value>,
    store: Store,
    quantized: BTreeMap<String, QuantEntry>,
    /// The module of each tensor of a quantized weight.
    owners: BTreeMap<String, String>,
}

impl Checkpoint {
    /// The file or directory that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory, if one was opened.
    pub fn model_dir(&self) -> Option<&Path> {
        self.is_directory.then_some(self.path.as_path())
    }

    /// What an output of the same form is.
    pub fn kind(&self) -> OutputKind {
        if self.is_directory { OutputKind::Directory } else { OutputKind::File }
    }

    /// The directory's `config.json`.
    pub fn config(&self) -> Option<&Value> {
        self.config.as_ref()
    }

    /// All tensors, file by file in the order of the files' names, within a file in the order of their data.
    pub fn tensors(&self) -> impl Iterator<Item = &TensorInfo> {
        self.store.tensors().iter()
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.store.get(name)
    }

    /// The file that holds a tensor of this checkpoint, for messages.
    pub fn file_name(&self, tensor: &TensorInfo) -> String {
        self.store.file_name(tensor)
    }

    /// The outlier threshold of LLM.int8() that `config.json` names.
    pub fn int8_threshold(&self) -> Option<f32> {
        Some(self.config()?.get("quantization_config")?.get("llm_int8_threshold")?.as_f64()? as f32)
    }

    fn find(&self, name: &str) -> Result<&TensorInfo> {
        self.tensor(name).ok_or_else(|| self.not_found("tensor", name))
    }

    fn not_found(&self, what: &'static str, name: &str) -> Error {
        Error::NotFound { path: self.path.display().to_string(), what, name: name.to_string() }
    }

    /// All bytes of a tensor.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TooLarge`] when it does not fit into memory, [`Error::File`] when the file has become
    /// shorter, [`Error::Io`].
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        self.store.read(self.find(name)?)
    }

    /// Fills `buffer` with the bytes of a tensor from byte `offset` on.
    ///
    /// # Errors
    /// Those of [`Checkpoint::read`], and [`Error::Invalid`] when the tensor ends before the buffer is full.
    pub fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let info = self.find(name)?;
        if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > info.num_bytes()) {
            let value = format!("{} bytes from {offset} of {}", buffer.len(), info.num_bytes());
            let error = Error::Invalid { what: "range", value, rule: "must lie within the tensor" };
            return Err(error.in_tensor(self.file_name(info), name));
        }
        self.store.read_at(info, offset, buffer)
    }

    /// The values of an f32, f16 or bf16 tensor, row-major.
    ///
    /// # Errors
    /// Those of [`Checkpoint::read`], and [`Error::Invalid`] for another dtype.
    pub fn read_values(&self, name: &str) -> Result<OwnedValues> {
        let info = self.find(name)?;
        match info.dtype.as_float() {
            Some(dtype) => self.store.read_values(info, dtype),
            None => {
                let error =
                    Error::Invalid { what: "dtype", value: info.dtype.to_string(), rule: "must be F32, F16 or BF16" };
                Err(error.in_tensor(self.file_name(info), name))
            }
        }
    }

    /// The linear layers, in the order of their weights.
    pub fn linears(&self) -> Vec<Linear> {
        self.tensors().filter_map(|info| self.linear_of(info)).collect()
    }

    /// The linear layer whose weight is the tensor `info`.
    pub fn linear_of(&self, info: &TensorInfo) -> Option<Linear> {
        match self.owners.get(&info.name) {
            Some(module) if info.name.strip_suffix(".weight") == Some(module) => {
                let QuantEntry { format, shape, .. } = self.quantized[module];
                Some(Linear { name: module.clone(), shape, kind: Stored::Quantized(format) })
            }
            Some(_) => None,
            None => match linears::role(info, self.model_type()) {
                Role::Linear(linear) => Some(linear),
                Role::Left(_) | Role::Other => None,
            },
        }
    }

    /// The quantized module that a tensor (codes, scales, ...) belongs to.
    pub fn quantized_module_of(&self, info: &TensorInfo) -> Option<&str> {
        self.owners.get(&info.name).map(String::as_str)
    }

    /// What looks like a weight but is not a linear layer's, with the reason.
    pub fn left_dense(&self) -> Vec<LeftDense> {
        let left = |info: &TensorInfo| match linears::role(info, self.model_type()) {
            Role::Left(reason) if !self.owners.contains_key(&info.name) => {
                Some(LeftDense { name: info.name.clone(), shape: info.shape.clone(), dtype: info.dtype, reason })
            }
            _ => None,
        };
        self.tensors().filter_map(left).collect()
    }

    fn model_type(&self) -> Option<&str> {
        self.config()?.get("model_type")?.as_str()
    }

    /// The quantized weight of the linear layer `name`.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no quantized layer of that name, [`Error::File`] when its codebook is not the
    /// format's or the file has become shorter, [`Error::Tensor`] when its arrays do not make a [`QuantMatrix`].
    pub fn load_matrix(&self, name: &str) -> Result<QuantMatrix> {
        let entry = self.quantized.get(name).ok_or_else(|| self.not_found("quantized linear layer", name))?;
        encoding::load(&self.store, name, entry)
    }

    /// The bias of the linear layer `name`, if it has one.
    ///
    /// # Errors
    /// Those of [`Checkpoint::read_values`].
    pub fn load_bias(&self, name: &str) -> Result<Option<OwnedValues>> {
        let bias = format!("{name}.bias");
        self.tensor(&bias).map(|_| self.read_values(&bias)).transpose()
    }
}
