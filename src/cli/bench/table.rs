//! Measurements for people: what was measured with, then a table per shape.

use super::machine::Machine;
use crate::bench::Ceilings;
use crate::bench::How;
use crate::bench::Row;
use crate::bench::Settings;
use crate::cli::output;

/// The device and its ceilings.
pub fn heading(machine: &Machine, settings: &Settings, ceilings: &Ceilings) -> String {
    let Machine { cpu, threads, device, driver, cublaslt, .. } = machine;
    let gpu = driver.as_ref().map_or(String::new(), |version| format!(", driver for CUDA {version}"));
    let dense = cublaslt.as_ref().map_or(String::new(), |version| format!(", cuBLASLt {version}"));
    let Ceilings { bytes_per_second, bytes_by, operations_per_second, dtype, library } = ceilings;
    format!(
        "{device}{gpu}{dense}; host {cpu}, {threads} threads\n\
         ceilings: {bytes_by} {:.1} GB/s, dense {dtype} {:.3} TFLOP/s ({library})\n\
         x and y {}; {} samples; each product was compared with the reference first",
        bytes_per_second / 1e9,
        operations_per_second / 1e12,
        settings.dtype,
        settings.samples,
    )
}

/// The rows of one shape.
pub fn shape(rows: &[&Row]) -> String {
    let mut table = output::table(&[
        "format",
        "strategy",
        "M",
        "median",
        "min..max",
        "GB/s",
        "TFLOP/s",
        "of ceiling",
        "vs dense",
        "vs dequantize",
    ]);
    for row in rows {
        let unit = Unit::of(row.times.median());
        table.add_row([
            row.format.clone(),
            strategy(row.how),
            row.m.to_string(),
            format!("{} {}", unit.number(row.times.median()), unit.name),
            format!("{}..{}", unit.number(row.times.min()), unit.number(row.times.max())),
            format!("{:.1}", row.bytes_per_second() / 1e9),
            format!("{:.3}", row.operations_per_second() / 1e12),
            format!("{:.0} %", 100.0 * row.share_of_ceiling),
            speedup(row.speedup_over_dense),
            speedup(row.speedup_over_dequantize),
        ]);
    }
    format!("\n{}\n{table}\n{}", title(rows[0]), copies(rows))
}

/// `N x K` and who has it.
fn title(row: &Row) -> String {
    let shape = row.shape.shape;
    let layers = row.shape.layers.join(", ");
    let layers = if layers.is_empty() { layers } else { format!(": {layers}") };
    format!("N {} x K {}{layers}", shape.n(), shape.k())
}

fn strategy(how: How) -> String {
    match how.chosen() {
        Some(chosen) => format!("{} ({chosen})", how.name()),
        None => how.name(),
    }
}

fn speedup(factor: Option<f64>) -> String {
    factor.map_or(String::new(), |factor| format!("{factor:.2}"))
}

/// How many copies of the weights took turns.
fn copies(rows: &[&Row]) -> String {
    let mut seen: Vec<String> = Vec::new();
    for row in rows {
        let warm = if row.cold { "" } else { " (not more than the cache twice)" };
        let text = format!("{} of {}{warm}", row.copies, row.format);
        if !seen.contains(&text) {
            seen.push(text);
        }
    }
    format!("copies of the weights in turn: {}", seen.join(", "))
}

/// A unit of time with the power of ten that makes numbers readable.
struct Unit {
    name: &'static str,
    seconds: f64,
}

impl Unit {
    fn of(seconds: f64) -> Self {
        match seconds {
            ..1e-3 => Self { name: "us", seconds: 1e-6 },
            ..1.0 => Self { name: "ms", seconds: 1e-3 },
            _ => Self { name: "s", seconds: 1.0 },
        }
    }

    /// With three or four digits that say something.
    fn number(&self, seconds: f64) -> String {
        match seconds / self.seconds {
            number @ ..10.0 => format!("{number:.3}"),
            number @ ..100.0 => format!("{number:.2}"),
            number => format!("{number:.1}"),
        }
    }
}
