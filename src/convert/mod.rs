//! Whole checkpoints: dense to quantized and back, streamed.
//!
//! One thread reads ahead by one tensor, the caller's thread converts (each operation uses all cores), one thread writes.
//! Linear layers' weights are held whole, everything else is copied in pieces, so memory is bounded by a few times the
//! largest weight and not by the model.

mod dequantize;
mod measure;
mod pipeline;
mod quantize;
mod report;

use std::collections::HashSet;

use serde_json::Value;

use crate::checkpoint;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::Linear;
use crate::checkpoint::Output;
use crate::checkpoint::TensorInfo;
use crate::checkpoint::TensorSpec;
use crate::checkpoint::Unit;
use crate::error::Result;
use crate::values::Dtype;
use pipeline::Step;

pub use dequantize::DequantizeOptions;
pub use dequantize::dequantize;
pub use measure::Measured;
pub use measure::measure;
pub use pipeline::Progress;
pub use quantize::QuantizeOptions;
pub use quantize::quantize;
pub use report::LinearReport;
pub use report::Report;

/// The size above which transformers began another shard for years, in bytes.
pub const DEFAULT_MAX_SHARD_BYTES: u64 = 5_000_000_000;

/// The steps that turn `source` into the output, and the tensors each makes there. Of the linear layers in `chosen` the
/// tensors are those that `planned` says, everything else is copied.
fn plan(source: &Checkpoint, chosen: &[Linear], planned: impl Fn(&Linear, Dtype) -> Unit) -> (Vec<Step>, Vec<Unit>) {
    let chosen: HashSet<&str> = chosen.iter().map(|linear| linear.name.as_str()).collect();
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

/// Writes what an output directory has beside the weights, and puts the output in its place. `config` is what becomes of
/// the source's configuration.
fn complete(source: &Checkpoint, output: Output, config: impl FnOnce(&Value) -> Value) -> Result<()> {
    if let Some(directory) = source.model_dir() {
        if let Some(before) = source.config() {
            checkpoint::write_config(&output, &config(before))?;
        }
        checkpoint::copy_other_files(directory, &output)?;
    }
    output.commit()
}

/// The bytes of all these tensors.
fn total_bytes<'a>(tensors: impl Iterator<Item = &'a TensorInfo>) -> u64 {
    tensors.map(TensorInfo::num_bytes).sum()
}
