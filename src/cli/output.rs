//! Tables for people, JSON for machines, and how numbers are written.

use std::io;
use std::io::Write;

use comfy_table::CellAlignment;
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use serde_json::Value;
use serde_json::json;

use crate::checkpoint::LeftDense;
use crate::quantize::Distortion;

/// Writes one JSON document and a newline to stdout.
pub fn print_json(value: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{value:#}")
}

/// Writes lines to stdout.
pub fn print_text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")
}

/// A table whose first column is text and whose others are numbers.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header.iter().copied());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// `1.23 GB`, in powers of 1000.
pub fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.2} kB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} MB", count as f64 / 1e6),
        _ => format!("{:.2} GB", count as f64 / 1e9),
    }
}

/// The measures of an error as JSON. An infinite SQNR (no error at all) is null.
pub fn distortion_json(distortion: &Distortion) -> Value {
    json!({
        "rmse": distortion.rmse(),
        "relative_rmse": distortion.relative_rmse(),
        "max_error": distortion.max_error,
        "sqnr_db": distortion.sqnr_db(),
    })
}

/// What was left dense, as JSON.
pub fn left_json(left: &[LeftDense]) -> Value {
    left.iter()
        .map(|left| {
            json!({
                "name": left.name,
                "shape": left.shape,
                "dtype": left.dtype.to_string(),
                "reason": left.reason.to_string(),
            })
        })
        .collect()
}

/// What was left dense, one line per reason with a count and names.
pub fn left_text(left: &[LeftDense]) -> String {
    const SHOWN: usize = 3;
    let mut reasons: Vec<String> = left.iter().map(|left| left.reason.to_string()).collect();
    reasons.sort();
    reasons.dedup();
    let line = |reason: &String| {
        let names: Vec<&str> =
            left.iter().filter(|left| left.reason.to_string() == *reason).map(|left| left.name.as_str()).collect();
        let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
        format!("left as they are ({reason}): {}{more}", names[..names.len().min(SHOWN)].join(", "))
    };
    reasons.iter().map(line).collect::<Vec<_>>().join("\n")
}
