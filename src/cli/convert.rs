//! `lowbit quantize` and `lowbit dequantize`.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use regex::Regex;
use serde_json::Value;
use serde_json::json;

use super::Failure;
use super::args::DequantizeArgs;
use super::args::QuantizeArgs;
use super::output;
use super::progress::Bar;
use crate::checkpoint;
use crate::convert;
use crate::convert::DequantizeOptions;
use crate::convert::QuantizeOptions;
use crate::convert::Report;
use crate::device::Device;

/// `lowbit quantize`.
pub fn quantize(args: &QuantizeArgs, json: bool) -> Result<(), Failure> {
    let recipe = args.format.recipe().map_err(Failure::Usage)?;
    let target = args.output.clone().unwrap_or_else(|| default_output(&args.input, args.format.name.as_str()));
    let skip = skip_any(&args.skip);
    let options = QuantizeOptions { recipe, skip: &skip, max_shard_bytes: args.max_shard_size, overwrite: args.force };
    let begin = Instant::now();
    let mut bar = Bar::new();
    let source = checkpoint::open(&args.input)?;
    let report = convert::quantize(&source, &target, &options, &Device::best()?, &mut |p| bar.show(p))?;
    drop(bar);
    let elapsed = begin.elapsed();
    if json {
        return Ok(output::print_json(&report_json(&report, &target, elapsed))?);
    }
    let mut text = format!(
        "{} of {} linears to {}: {} -> {}, {:.3} bits per weight, relative RMSE {:.4}, SQNR {:.2} dB, {:.2} s",
        report.linears.len(),
        args.input.display(),
        recipe.format,
        output::bytes(report.bytes_before),
        output::bytes(report.bytes_after),
        bits_per_weight(&report),
        report.distortion.relative_rmse(),
        report.distortion.sqnr_db(),
        elapsed.as_secs_f64()
    );
    let left = output::left_text(&report.left_dense);
    if !left.is_empty() {
        text = format!("{text}\n{left}");
    }
    Ok(output::print_text(&format!("{text}\nwrote {}", target.display()))?)
}

/// `lowbit dequantize`.
pub fn dequantize(args: &DequantizeArgs, json: bool) -> Result<(), Failure> {
    let options =
        DequantizeOptions { dtype: args.dtype.into(), max_shard_bytes: args.max_shard_size, overwrite: args.force };
    let begin = Instant::now();
    let mut bar = Bar::new();
    let source = checkpoint::open(&args.input)?;
    let report = convert::dequantize(&source, &args.output, &options, &Device::best()?, &mut |p| bar.show(p))?;
    drop(bar);
    let elapsed = begin.elapsed();
    if json {
        return Ok(output::print_json(&report_json(&report, &args.output, elapsed))?);
    }
    Ok(output::print_text(&format!(
        "{} linears of {} to {}: {} -> {}, {:.2} s\nwrote {}",
        report.linears.len(),
        args.input.display(),
        options.dtype,
        output::bytes(report.bytes_before),
        output::bytes(report.bytes_after),
        elapsed.as_secs_f64(),
        args.output.display()
    ))?)
}

/// A predicate that holds for names any of the expressions matches.
pub fn skip_any(expressions: &[Regex]) -> impl Fn(&str) -> bool + '_ {
    |name| expressions.iter().any(|expression| expression.is_match(name))
}

/// Bits per weight of the quantized linears, scales included.
pub fn bits_per_weight(report: &Report) -> f64 {
    let bytes: u64 = report.linears.iter().map(|linear| linear.bytes_after).sum();
    bytes as f64 * 8.0 / report.distortion.count as f64
}

/// `model/` -> `model-nf4/`, `model.safetensors` -> `model-nf4.safetensors`.
fn default_output(input: &Path, format: &str) -> PathBuf {
    // The name of `.` or `..` is only known to the file system.
    let input =
        if input.file_name().is_some() { input.to_path_buf() } else { input.canonicalize().unwrap_or_default() };
    let stem = input.file_stem().unwrap_or_default().to_string_lossy();
    match input.extension() {
        Some(extension) if extension == "safetensors" => input.with_file_name(format!("{stem}-{format}.safetensors")),
        _ => input.with_file_name(format!("{}-{format}", input.file_name().unwrap_or_default().to_string_lossy())),
    }
}

fn report_json(report: &Report, target: &Path, elapsed: Duration) -> Value {
    let linears: Value = report
        .linears
        .iter()
        .map(|linear| {
            json!({
                "name": linear.name,
                "shape": [linear.shape.n(), linear.shape.k()],
                "format": linear.format.to_string(),
                "bytes_before": linear.bytes_before,
                "bytes_after": linear.bytes_after,
                "distortion": linear.distortion.as_ref().map(output::distortion_json),
            })
        })
        .collect();
    json!({
        "output": target.display().to_string(),
        "seconds": elapsed.as_secs_f64(),
        "bytes_before": report.bytes_before,
        "bytes_after": report.bytes_after,
        "distortion": (report.distortion.count > 0).then(|| output::distortion_json(&report.distortion)),
        "linears": linears,
        "left_dense": output::left_json(&report.left_dense),
    })
}
