//! Dense checkpoint -> quantized checkpoint.

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
use crate::checkpoint::LeftDense;
use crate::checkpoint::LeftReason;
use crate::checkpoint::Linear;
use crate::checkpoint::ModelWriter;
use crate::checkpoint::Output;
use crate::checkpoint::Stored;
use crate::device::Device;
use crate::error::Error;
use crate::error::Result;
use crate::formats::Recipe;
use crate::ops;
use crate::quantize::Distortion;
use crate::values::Dtype;

/// What [`quantize`] is to do.
pub struct QuantizeOptions<'a> {
    /// The format of the linear layers, and how its scales are chosen.
    pub recipe: Recipe,
    /// Whether to leave a linear layer dense, by module name.
    pub skip: &'a dyn Fn(&str) -> bool,
    /// The most bytes a shard of an output directory may have; a larger single weight still gets a shard.
    pub max_shard_bytes: u64,
    /// Whether an existing output is replaced.
    pub overwrite: bool,
}

impl QuantizeOptions<'_> {
    /// Every linear layer as `recipe` says, shards of at most [`DEFAULT_MAX_SHARD_BYTES`], nothing overwritten.
    pub fn new(recipe: impl Into<Recipe>) -> Self {
        Self { recipe: recipe.into(), skip: &|_| false, max_shard_bytes: DEFAULT_MAX_SHARD_BYTES, overwrite: false }
    }
}

/// Quantizes the linear layers of `source` into `output`: a file if `source` is one, else a directory with its other files.
///
/// Embeddings, norms, output heads and what else [`Checkpoint::left_dense`] names are copied as they are. NF4, FP4 and
/// INT8 per row are written as bitsandbytes writes them, so that transformers loads the directory; the other formats in
/// lowbit's own way.
///
/// # Errors
/// [`Error::AlreadyQuantized`] and [`Error::NothingToDo`] for a checkpoint without dense linear layers; those of
/// [`Output::create`]; [`Error::Tensor`] when a weight is empty or holds a NaN or an infinity; [`Error::Io`]. After any of
/// them `output` is as it was.
pub fn quantize(
    source: &Checkpoint,
    output: &Path,
    options: &QuantizeOptions<'_>,
    device: &Device,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Report> {
    let (chosen, left_dense) = choose(source, options.skip)?;
    let format = options.recipe.format;
    let (steps, units) =
        plan(source, &chosen, |linear, dtype| checkpoint::plan_format(&linear.name, format, linear.shape, dtype));
    let output = Output::create(output, source.kind(), options.overwrite, Some(source.path()))?;
    let writer = ModelWriter::new(output, &units, options.max_shard_bytes);
    let mut report = Report { left_dense, ..Report::default() };
    let transform = |piece: Piece| match piece {
        Piece::Values { linear, tensor, values } => {
            let matrix = ops::quantize(values.as_values(), linear.shape, options.recipe, device)
                .map_err(|e| e.in_tensor(source.file_name(&tensor), &tensor.name))?;
            report.add(LinearReport {
                name: linear.name.clone(),
                shape: linear.shape,
                format,
                bytes_before: tensor.num_bytes(),
                bytes_after: matrix.storage_bytes() as u64,
                distortion: Some(Distortion::of_matrix(values.as_values(), &matrix, device)?),
            });
            Ok(Piece::Matrix { linear, tensor, matrix })
        }
        other => Ok(other),
    };
    let (output, total_bytes) = pipeline::run(source, &steps, writer, transform, progress)?;
    report.set_totals(source, total_bytes);
    let skipped = skip_modules(&report.left_dense, &chosen);
    let dtype = source_dtype(source, &chosen);
    complete(source, output, |config| checkpoint::quantized_config(config, format, dtype, &skipped))?;
    Ok(report)
}

/// The linear layers to quantize, and what stays dense. Refuses what cannot be meant.
pub(super) fn choose(source: &Checkpoint, skip: &dyn Fn(&str) -> bool) -> Result<(Vec<Linear>, Vec<LeftDense>)> {
    let path = || source.path().display().to_string();
    let linears = source.linears();
    let total = linears.len();
    let quantized = linears.iter().filter(|linear| matches!(linear.kind, Stored::Quantized(_))).count();
    if quantized > 0 {
        return Err(Error::AlreadyQuantized { path: path(), quantized, linears: total });
    }
    let (skipped, chosen): (Vec<Linear>, Vec<Linear>) = linears.into_iter().partition(|linear| skip(&linear.name));
    let mut left = source.left_dense();
    check_empty(source, &left, skip)?;
    if chosen.is_empty() {
        let rule = match total {
            0 => format!("none of its {} tensors is a dense one's weight", source.tensors().count()),
            _ => format!("all {total} are skipped"),
        };
        return Err(Error::NothingToDo { path: path(), action: "quantize", rule });
    }
    for Linear { name, .. } in skipped {
        if let Some(info) = source.tensor(&format!("{name}.weight")) {
            let (name, shape, dtype) = (info.name.clone(), info.shape.clone(), info.dtype);
            left.push(LeftDense { name, shape, dtype, reason: LeftReason::Skipped });
        }
    }
    Ok((chosen, left))
}

/// A linear layer without elements is a mistake in the file, unless the caller leaves it alone.
fn check_empty(source: &Checkpoint, left: &[LeftDense], skip: &dyn Fn(&str) -> bool) -> Result<()> {
    let is_empty = |left: &&LeftDense| left.reason == LeftReason::Empty && !skip(module_of(&left.name));
    match left.iter().find(is_empty).and_then(|left| source.tensor(&left.name)) {
        None => Ok(()),
        Some(info) => {
            let error = Error::Empty { what: "weight", shape: info.shape.clone() };
            Err(error.in_tensor(source.file_name(info), &info.name))
        }
    }
}

fn module_of(tensor: &str) -> &str {
    tensor.strip_suffix(".weight").unwrap_or(tensor)
}

/// The dtype the model computes in: that of its configuration, or of its first linear layer.
fn source_dtype(source: &Checkpoint, linears: &[Linear]) -> Dtype {
    let named = source.config().and_then(checkpoint::config_dtype);
    let first = linears.iter().find_map(|linear| match linear.kind {
        Stored::Dense(dtype) => Some(dtype),
        Stored::Quantized(_) => None,
    });
    named.or(first).unwrap_or(Dtype::F32)
}

/// The modules that a loader which converts every linear layer must be told to leave: none when only the output head is
/// dense, which it finds by itself.
///
/// transformers takes a name for the beginning of a module's name, so one that is also the beginning of a quantized
/// layer's name gets an anchor.
fn skip_modules(left: &[LeftDense], quantized: &[Linear]) -> Vec<String> {
    let is_linear = |left: &LeftDense| {
        let reasons = [LeftReason::Router, LeftReason::Conv1d, LeftReason::Dtype, LeftReason::Skipped];
        left.shape.len() == 2 && reasons.contains(&left.reason)
    };
    if !left.iter().any(is_linear) {
        return Vec::new();
    }
    let mut layers: Vec<&str> = quantized.iter().map(|linear| linear.name.as_str()).collect();
    layers.sort_unstable();
    let anchored = |name: &str| match layers.get(layers.partition_point(|layer| *layer < name)) {
        Some(layer) if layer.starts_with(name) => format!("{name}$"),
        _ => name.to_string(),
    };
    let named = left.iter().filter(|left| is_linear(left) || left.reason == LeftReason::OutputHead);
    named.map(|left| anchored(module_of(&left.name))).collect()
}
