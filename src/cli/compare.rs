//! `lowbit compare`: one row per format.

use serde_json::Value;
use serde_json::json;

use super::Failure;
use super::args;
use super::args::CompareArgs;
use super::convert::bits_per_weight;
use super::convert::skip_any;
use super::output;
use super::progress::Bar;
use crate::checkpoint;
use crate::convert;
use crate::convert::Measured;
use crate::device::Device;
use crate::formats::Recipe;

/// `lowbit compare`.
pub fn compare(args: &CompareArgs, json: bool) -> Result<(), Failure> {
    let source = checkpoint::open(&args.input)?;
    let formats = if args.formats.is_empty() { args::presets() } else { args.formats.clone() };
    let recipes: Vec<Recipe> = formats.iter().map(|(_, recipe)| *recipe).collect();
    let mut bar = Bar::new();
    let skip = skip_any(&args.skip);
    let measured = convert::measure(&source, &recipes, &skip, &Device::best()?, &mut |p| bar.show(p))?;
    drop(bar);
    let rows = || formats.iter().map(|(name, _)| *name).zip(&measured);
    if json {
        return Ok(output::print_json(&rows().map(|(name, measured)| row_json(name, measured)).collect())?);
    }
    let mut table = output::table(&[
        "format",
        "bits/weight",
        "model size",
        "RMSE",
        "relative RMSE",
        "max error",
        "SQNR dB",
        "quantize ms",
    ]);
    for (name, Measured { report, elapsed }) in rows() {
        table.add_row([
            name.to_string(),
            format!("{:.3}", bits_per_weight(report)),
            output::bytes(report.bytes_after),
            format!("{:.3e}", report.distortion.rmse()),
            format!("{:.5}", report.distortion.relative_rmse()),
            format!("{:.3e}", report.distortion.max_error),
            format!("{:.2}", report.distortion.sqnr_db()),
            format!("{:.1}", elapsed.as_secs_f64() * 1e3),
        ]);
    }
    let left = measured.first().map(|measured| output::left_text(&measured.report.left_dense)).unwrap_or_default();
    Ok(output::print_text(&format!("{table}\n{left}"))?)
}

fn row_json(name: &str, measured: &Measured) -> Value {
    let Measured { report, elapsed } = measured;
    json!({
        "format": name,
        "bits_per_weight": bits_per_weight(report),
        "bytes": report.bytes_after,
        "distortion": output::distortion_json(&report.distortion),
        "quantize_seconds": elapsed.as_secs_f64(),
    })
}
