//! [`save`]: quantized layers a program holds into one safetensors file.

use std::path::Path;

use super::ModelWriter;
use super::Output;
use super::OutputKind;
use super::TensorSpec;
use super::plan_matrix;
use crate::error::Result;
use crate::formats::QuantMatrix;
use crate::values::Values;

/// A layer to be written: its module name, such as `model.layers.0.self_attn.q_proj`, its weight and its bias (N values).
#[derive(Clone, Copy, Debug)]
pub struct NamedLayer<'a> {
    /// The module's name; the tensors' names begin with it.
    pub name: &'a str,
    /// The quantized weight.
    pub weight: &'a QuantMatrix,
    /// The bias, written in its own type.
    pub bias: Option<Values<'a>>,
}

/// Whether [`save`] may replace a file that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// A file that exists is an error.
    Keep,
    /// A file that exists is replaced once the new one is complete.
    Replace,
}

/// Writes `layers` into the safetensors file `path`, in bitsandbytes' serialization where the format is its own. The file
/// appears whole or not at all.
///
/// # Errors
/// [`Error::OutputExists`](crate::Error::OutputExists), [`Error::BadOutput`](crate::Error::BadOutput) for a directory,
/// [`Error::Io`](crate::Error::Io).
pub fn save(path: impl AsRef<Path>, layers: &[NamedLayer<'_>], existing: Existing) -> Result<()> {
    let output = Output::create(path.as_ref(), OutputKind::File, existing == Existing::Replace, None)?;
    let units: Vec<_> = layers
        .iter()
        .map(|layer| {
            let bias = layer.bias.map(|bias| TensorSpec::new(bias_name(layer), bias.dtype().into(), &[bias.len()]));
            plan_matrix(layer.name, layer.weight).into_iter().chain(bias).collect()
        })
        .collect();
    let mut writer = ModelWriter::new(output, &units, u64::MAX);
    for layer in layers {
        writer.write_matrix(layer.name, layer.weight)?;
        if let Some(bias) = layer.bias {
            writer.write(&bias_name(layer), bias.as_bytes())?;
        }
    }
    writer.finish()?.0.commit()
}

fn bias_name(layer: &NamedLayer<'_>) -> String {
    format!("{}.bias", layer.name)
}
