//! `lowbit inspect`.

use serde_json::Value;
use serde_json::json;

use super::Failure;
use super::args::InspectArgs;
use super::output;
use crate::checkpoint;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::Stored;
use crate::checkpoint::TensorInfo;

/// One line of the listing: a tensor, or a quantized weight with all its parts.
struct Entry {
    name: String,
    format: String,
    shape: Vec<usize>,
    bytes: u64,
    values: u64,
}

impl Entry {
    fn bits_per_value(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.values.max(1) as f64
    }
}

/// `lowbit inspect`.
pub fn inspect(args: &InspectArgs, json: bool) -> Result<(), Failure> {
    let checkpoint = checkpoint::open(&args.input)?;
    let entries: Vec<Entry> = checkpoint.tensors().filter_map(|info| entry(&checkpoint, info)).collect();
    let bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
    let values: u64 = entries.iter().map(|entry| entry.values).sum();
    let linears = checkpoint.linears();
    let quantized = linears.iter().filter(|linear| matches!(linear.kind, Stored::Quantized(_))).count();
    if json {
        return Ok(output::print_json(&json!({
            "path": args.input.display().to_string(),
            "bytes": bytes,
            "values": values,
            "linears": linears.len(),
            "quantized_linears": quantized,
            "tensors": entries.iter().map(entry_json).collect::<Value>(),
            "left_dense": output::left_json(&checkpoint.left_dense()),
        }))?);
    }
    let mut table = output::table(&["tensor", "format", "shape", "bits/weight", "size"]);
    for entry in &entries {
        table.add_row([
            entry.name.clone(),
            entry.format.clone(),
            format!("{:?}", entry.shape),
            format!("{:.3}", entry.bits_per_value()),
            output::bytes(entry.bytes),
        ]);
    }
    let summary = format!(
        "{} linears ({quantized} quantized), {values} weights in {}, {:.3} bits per weight",
        linears.len(),
        output::bytes(bytes),
        bytes as f64 * 8.0 / values.max(1) as f64
    );
    Ok(output::print_text(&format!("{table}\n{summary}"))?)
}

/// The line of a tensor; `None` for the scales and other parts that its codes' line counts.
fn entry(checkpoint: &Checkpoint, info: &TensorInfo) -> Option<Entry> {
    if let Some(module) = checkpoint.quantized_module_of(info) {
        let linear = checkpoint.linear_of(info)?;
        let Stored::Quantized(format) = linear.kind else { return None };
        let parts = checkpoint.tensors().filter(|part| checkpoint.quantized_module_of(part) == Some(module));
        return Some(Entry {
            name: info.name.clone(),
            format: format.to_string(),
            shape: vec![linear.shape.n(), linear.shape.k()],
            bytes: parts.map(TensorInfo::num_bytes).sum(),
            values: linear.shape.num_values() as u64,
        });
    }
    Some(Entry {
        name: info.name.clone(),
        format: info.dtype.to_string(),
        shape: info.shape.clone(),
        bytes: info.num_bytes(),
        values: info.shape.iter().map(|&side| side as u64).product(),
    })
}

fn entry_json(entry: &Entry) -> Value {
    json!({
        "name": entry.name,
        "format": entry.format,
        "shape": entry.shape,
        "bits_per_weight": entry.bits_per_value(),
        "bytes": entry.bytes,
    })
}
