//! Quantized checkpoint -> dense checkpoint.

use std::path::Path;

use super::DEFAULT_MAX_SHARD_BYTES;
use super::LinearReport;
use super::Progress;
use super::Report;
use super::complete;
use super::pipeline;
use super::pipeline::Piece;
use super::plan;
use crate::checkpoint;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::Linear;
use crate::checkpoint::ModelWriter;
use crate::checkpoint::Output;
use crate::checkpoint::Stored;
use crate::checkpoint::StoredDtype;
use crate::checkpoint::TensorSpec;
use crate::device::Device;
use crate::error::Error;
use crate::error::Result;
use crate::ops;
use crate::values::Dtype;
use crate::values::OwnedValues;

/// What [`dequantize`] is to do.
#[derive(Clone, Copy, Debug)]
pub struct DequantizeOptions {
    /// The dtype of the dense weights.
    pub dtype: Dtype,
    /// The most bytes a shard of an output directory may have; a larger single weight still gets a shard.
    pub max_shard_bytes: u64,
    /// Whether an existing output is replaced.
    pub overwrite: bool,
}

impl DequantizeOptions {
    /// Weights in `dtype`, shards of at most [`DEFAULT_MAX_SHARD_BYTES`], nothing overwritten.
    pub fn new(dtype: Dtype) -> Self {
        Self { dtype, max_shard_bytes: DEFAULT_MAX_SHARD_BYTES, overwrite: false }
    }
}

/// Writes the quantized linear layers of `source` as dense tensors into `output`: a file if `source` is one, else a
/// directory with its other files. Tensors that are dense already are copied as they are, whatever their dtype.
///
/// # Errors
/// [`Error::NothingToDo`] for a checkpoint without quantized layers; those of [`Output::create`] and
/// [`Checkpoint::load_matrix`]; [`Error::Io`]. After any of them `output` is as it was.
pub fn dequantize(
    source: &Checkpoint,
    output: &Path,
    options: &DequantizeOptions,
    device: &Device,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Report> {
    let dtype = options.dtype;
    let linears = quantized_linears(source)?;
    let (steps, units) = plan(source, &linears, |linear, _| vec![dense_spec(linear, dtype)]);
    let output = Output::create(output, source.kind(), options.overwrite, Some(source.path()))?;
    let writer = ModelWriter::new(output, &units, options.max_shard_bytes);
    let mut report = Report { left_dense: source.left_dense(), ..Report::default() };
    let transform = |piece: Piece| match piece {
        Piece::Matrix { linear, tensor, matrix } => {
            let mut values = OwnedValues::zeros(dtype, matrix.shape().num_values());
            ops::dequantize(&matrix, values.as_values_mut(), device)?;
            report.add(LinearReport {
                name: linear.name.clone(),
                shape: linear.shape,
                format: matrix.format(),
                bytes_before: matrix.storage_bytes() as u64,
                bytes_after: values.as_bytes().len() as u64,
                distortion: None,
            });
            Ok(Piece::Values { linear, tensor, values })
        }
        other => Ok(other),
    };
    let (output, total_bytes) = pipeline::run(source, &steps, writer, transform, progress)?;
    report.set_totals(source, total_bytes);
    complete(source, output, |config| checkpoint::dense_config(config, dtype))?;
    Ok(report)
}

fn quantized_linears(source: &Checkpoint) -> Result<Vec<Linear>> {
    let mut linears = source.linears();
    linears.retain(|linear| matches!(linear.kind, Stored::Quantized(_)));
    if linears.is_empty() {
        let rule = format!("none of its {} tensors is a quantized one's weight", source.tensors().count());
        return Err(Error::NothingToDo { path: source.path().display().to_string(), action: "dequantize", rule });
    }
    Ok(linears)
}

fn dense_spec(linear: &Linear, dtype: Dtype) -> TensorSpec {
    let shape = [linear.shape.n(), linear.shape.k()];
    TensorSpec::new(format!("{}.weight", linear.name), StoredDtype::from(dtype), &shape)
}
