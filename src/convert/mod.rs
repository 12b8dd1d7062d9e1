//! Whole checkpoints: dense to quantized and back, streamed.
//!
//! One thread reads ahead by one tensor, the caller's thread converts (each operation uses all cores), one thread writes.
//! Linear layers' weights are held whole, everything else is copied in pieces, so memory is bounded by a few times the
//! largest weight and not by the model.

mod chunks;
mod measure;
mod pipeline;
mod report;

use std::path::Path;

use crate::checkpoint;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::LeftDense;
use crate::checkpoint::LeftReason;
use crate::checkpoint::Linear;
use crate::checkpoint::ModelWriter;
use crate::checkpoint::Output;
use crate::checkpoint::Stored;
use crate::checkpoint::StoredDtype;
use crate::checkpoint::TensorInfo;
use crate::checkpoint::TensorSpec;
use crate::checkpoint::Unit;
use crate::device::Device;
use crate::error::Error;
use crate::error::Result;
use crate::formats::Recipe;
use crate::ops;
use crate::values::Dtype;
use pipeline::Piece;
use pipeline::Step;

pub use measure::Measured;
pub use measure::measure;
pub use pipeline::Progress;
pub use report::LinearReport;
pub use report::Report;

/// The size above which transformers begins another shard, in bytes.
pub const DEFAULT_MAX_SHARD_BYTES: u64 = 5_000_000_000;

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
    let names: Vec<&str> = chosen.iter().map(|linear| linear.name.as_str()).collect();
    let (steps, units) =
        plan(source, &names, |linear, dtype| checkpoint::plan_format(&linear.name, format, linear.shape, dtype));
    let output = Output::create(output, source.model_dir().is_some(), options.overwrite, Some(source.path()))?;
    let writer = ModelWriter::new(output, &units, options.max_shard_bytes);
    let mut report = Report { left_dense, ..Report::default() };
    let transform = |piece: Piece| match piece {
        Piece::Values { module, tensor, values } => {
            let shape = chosen.iter().find(|linear| linear.name == module).map(|linear| linear.shape);
            let shape = shape.ok_or_else(|| missing(source, &module))?;
            let matrix = ops::quantize(values.as_values(), shape, options.recipe, device)
                .map_err(|e| e.in_tensor(source.file_name(&tensor), &tensor.name))?;
            let distortion = chunks::distortion(values.as_values(), &matrix, device)?;
            report.add(LinearReport {
                name: module.clone(),
                shape,
                format,
                bytes_before: tensor.num_bytes(),
                bytes_after: matrix.storage_bytes() as u64,
                distortion: Some(distortion),
            });
            Ok(Piece::Matrix { module, tensor, matrix })
        }
        other => Ok(other),
    };
    let (output, total_bytes) = pipeline::run(source, &steps, writer, transform, progress)?;
    report.set_totals(source, total_bytes);
    if let Some(directory) = source.model_dir() {
        if let Some(config) = source.config() {
            let dtype = source_dtype(source, &chosen);
            let skipped = skip_modules(&report.left_dense, &names);
            checkpoint::write_config(&output, &checkpoint::quantized_config(config, format, dtype, &skipped))?;
        }
        checkpoint::copy_other_files(directory, &output)?;
    }
    output.commit()?;
    Ok(report)
}

/// The linear layers to quantize, and what stays dense. Refuses what cannot be meant.
fn choose(source: &Checkpoint, skip: &dyn Fn(&str) -> bool) -> Result<(Vec<Linear>, Vec<LeftDense>)> {
    let path = || source.path().display().to_string();
    let linears = source.linears();
    let quantized = linears.iter().filter(|linear| matches!(linear.kind, Stored::Quantized(_))).count();
    if quantized > 0 {
        return Err(Error::AlreadyQuantized { path: path(), quantized, linears: linears.len() });
    }
    let total = linears.len();
    let (skipped, chosen): (Vec<Linear>, Vec<Linear>) = linears.into_iter().partition(|linear| skip(&linear.name));
    if chosen.is_empty() {
        let rule = match total {
            0 => format!("none of its {} tensors is a dense one's weight", source.tensors().count()),
            _ => format!("all {total} are skipped"),
        };
        return Err(Error::NothingToDo { path: path(), action: "quantize", rule });
    }
    let mut left = source.left_dense();
    let empty = |left: &&LeftDense| left.reason == LeftReason::Empty && !skip(module_of(&left.name));
    if let Some((info, left)) = left.iter().find(empty).and_then(|left| Some((source.tensor(&left.name)?, left))) {
        let error = Error::Empty { what: "weight", shape: left.shape.clone() };
        return Err(error.in_tensor(source.file_name(info), &info.name));
    }
    for Linear { name, .. } in skipped {
        let Some(info) = source.tensor(&format!("{name}.weight")) else { continue };
        let (name, shape, dtype) = (info.name.clone(), info.shape.clone(), info.dtype);
        left.push(LeftDense { name, shape, dtype, reason: LeftReason::Skipped });
    }
    Ok((chosen, left))
}

fn module_of(tensor: &str) -> &str {
    tensor.strip_suffix(".weight").unwrap_or(tensor)
}

/// The steps that turn `source` into the output, and the tensors each makes there. Of the linear layers in `chosen` the
/// tensors are those that `planned` says, everything else is copied.
fn plan(source: &Checkpoint, chosen: &[&str], planned: impl Fn(&Linear, Dtype) -> Unit) -> (Vec<Step>, Vec<Unit>) {
    let chosen: std::collections::HashSet<&str> = chosen.iter().copied().collect();
    let (mut steps, mut units) = (Vec::new(), Vec::new());
    for info in source.tensors() {
        let linear = source.linear_of(info).filter(|linear| chosen.contains(linear.name.as_str()));
        let owner = source.quantized_module_of(info).filter(|owner| chosen.contains(owner));
        match (linear, owner) {
            (Some(linear), _) => {
                units.push(planned(&linear, info.dtype.as_float().unwrap_or(Dtype::F32)));
                steps.push(Step::Convert { tensor: info.clone(), linear });
            }
            // Scales and the like are read with the codes.
            (None, Some(_)) => {}
            (None, None) => {
                units.push(vec![TensorSpec::new(&info.name, info.dtype, &info.shape)]);
                steps.push(Step::Copy(info.clone()));
            }
        }
    }
    (steps, units)
}

fn missing(source: &Checkpoint, module: &str) -> Error {
    Error::NotFound { path: source.path().display().to_string(), what: "linear layer", name: module.to_string() }
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
/// transformers matches a name as the beginning of a module's name, so one that is also the beginning of a quantized
/// layer's gets an anchor.
fn skip_modules(left: &[LeftDense], quantized: &[&str]) -> Vec<String> {
    let is_linear = |left: &&LeftDense| {
        let reasons = [LeftReason::Router, LeftReason::Conv1d, LeftReason::Dtype, LeftReason::Skipped];
        left.shape.len() == 2 && reasons.contains(&left.reason)
    };
    if !left.iter().any(|left| is_linear(&left)) {
        return Vec::new();
    }
    let named = left.iter().filter(|left| is_linear(left) || left.reason == LeftReason::OutputHead);
    let anchored = |name: &str| match quantized.iter().any(|layer| layer.starts_with(name)) {
        true => format!("{name}$"),
        false => name.to_string(),
    };
    named.map(|left| anchored(module_of(&left.name))).collect()
}

/// What [`dequantize`] is to do.
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
    let linears: Vec<Linear> =
        source.linears().into_iter().filter(|linear| matches!(linear.kind, Stored::Quantized(_))).collect();
    if linears.is_empty() {
        let rule = format!("none of its {} tensors is a quantized one's weight", source.tensors().count());
        return Err(Error::NothingToDo { path: source.path().display().to_string(), action: "dequantize", rule });
    }
    let names: Vec<&str> = linears.iter().map(|linear| linear.name.as_str()).collect();
    let (steps, units) = plan(source, &names, |linear, _| vec![dense_spec(linear, dtype)]);
    let output = Output::create(output, source.model_dir().is_some(), options.overwrite, Some(source.path()))?;
    let writer = ModelWriter::new(output, &units, options.max_shard_bytes);
    let mut report = Report { left_dense: source.left_dense(), ..Report::default() };
    let transform = |piece: Piece| match piece {
        Piece::Matrix { module, tensor, matrix } => {
            let values = chunks::dequantize(&matrix, dtype, device)?;
            report.add(LinearReport {
                name: module.clone(),
                shape: matrix.shape(),
                format: matrix.format(),
                bytes_before: matrix.storage_bytes() as u64,
                bytes_after: values.as_bytes().len() as u64,
                distortion: None,
            });
            Ok(Piece::Values { module, tensor, values })
        }
        other => Ok(other),
    };
    let (output, total_bytes) = pipeline::run(source, &steps, writer, transform, progress)?;
    report.set_totals(source, total_bytes);
    if let Some(directory) = source.model_dir() {
        if let Some(config) = source.config() {
            checkpoint::write_config(&output, &checkpoint::dense_config(config, dtype))?;
        }
        checkpoint::copy_other_files(directory, &output)?;
    }
    output.commit()?;
    Ok(report)
}

fn dense_spec(linear: &Linear, dtype: Dtype) -> TensorSpec {
    let shape = [linear.shape.n(), linear.shape.k()];
    TensorSpec::new(format!("{}.weight", linear.name), StoredDtype::from(dtype), &shape)
}

/// The bytes of all tensors of a checkpoint.
fn total_bytes<'a>(tensors: impl Iterator<Item = &'a TensorInfo>) -> u64 {
    tensors.map(TensorInfo::num_bytes).sum()
}
