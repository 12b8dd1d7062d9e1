//! One measurement as one line of JSON that needs no other line to be understood.

use serde_json::Value;
use serde_json::json;

use super::machine::Machine;
use crate::bench::Ceilings;
use crate::bench::Row;

/// Seconds are per product, rates per second.
pub fn row(machine: &Machine, ceilings: &Ceilings, row: &Row) -> Value {
    let shape = row.shape.shape;
    json!({
        "n": shape.n(),
        "k": shape.k(),
        "m": row.m,
        "layers": row.shape.layers,
        "format": row.format,
        "activations": row.activations.to_string(),
        "dtype": row.dtype.to_string(),
        "strategy": row.how.name(),
        "chosen": row.how.chosen(),
        "seconds": {
            "median": row.times.median(),
            "min": row.times.min(),
            "max": row.times.max(),
        },
        "samples": row.times.samples().len(),
        "products_per_sample": row.products,
        "weight_bytes": row.weight_bytes,
        "bytes": row.bytes,
        "bytes_per_second": row.bytes_per_second(),
        "operations": row.operations,
        "operations_per_second": row.operations_per_second(),
        "share_of_ceiling": row.share_of_ceiling,
        "speedup_over_dense": row.speedup_over_dense,
        "speedup_over_dequantize": row.speedup_over_dequantize,
        "weight_copies": row.copies,
        "weights_from_memory": row.cold,
        "ceiling": {
            "bytes_per_second": ceilings.bytes_per_second,
            "bytes_by": ceilings.bytes_by,
            "operations_per_second": ceilings.operations_per_second,
            "operations_by": ceilings.library,
            "dtype": ceilings.dtype.to_string(),
        },
        "device": machine.device,
        "cpu": machine.cpu,
        "threads": machine.threads,
        "driver": machine.driver,
        "cublaslt": machine.cublaslt,
        "lowbit": env!("CARGO_PKG_VERSION"),
        "command": machine.command,
    })
}
