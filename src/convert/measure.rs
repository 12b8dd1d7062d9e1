//! [`measure`]: several recipes on one checkpoint, nothing written.

use std::time::Duration;
use std::time::Instant;

use super::LinearReport;
use super::Progress;
use super::Report;
use super::quantize::choose;
use super::total_bytes;
use crate::checkpoint::Checkpoint;
use crate::device::Device;
use crate::error::Result;
use crate::formats::Recipe;
use crate::ops;
use crate::quantize::Distortion;

/// What one recipe makes of a checkpoint.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Sizes and errors. `bytes_after` counts codes, scales and dense tensors, not headers or codebooks.
    pub report: Report,
    /// Time spent quantizing, reading not included.
    pub elapsed: Duration,
}

/// Quantizes each linear layer of `source` with each of `recipes` in memory and reports sizes, errors and times.
/// Memory is that of the largest layer a few times over.
///
/// # Errors
/// Those of [`quantize`](super::quantize) that reading and quantizing have.
pub fn measure(
    source: &Checkpoint,
    recipes: &[Recipe],
    skip: &dyn Fn(&str) -> bool,
    device: &Device,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<Measured>> {
    let (linears, left_dense) = choose(source, skip)?;
    let bytes_before = total_bytes(source.tensors());
    let report = Report { left_dense, bytes_before, bytes_after: bytes_before, ..Report::default() };
    let mut measured = vec![Measured { report, elapsed: Duration::ZERO }; recipes.len()];
    let weight = |name: &str| source.tensor(&format!("{name}.weight"));
    let total_bytes = total_bytes(linears.iter().filter_map(|linear| weight(&linear.name)));
    let mut done_bytes = 0;
    for linear in linears {
        let tensor = format!("{}.weight", linear.name);
        let values = source.read_values(&tensor)?;
        let bytes_before = values.as_bytes().len() as u64;
        for (recipe, Measured { report, elapsed }) in recipes.iter().zip(&mut measured) {
            let begin = Instant::now();
            let matrix = ops::quantize(values.as_values(), linear.shape, *recipe, device);
            *elapsed += begin.elapsed();
            let file = || weight(&linear.name).map(|info| source.file_name(info)).unwrap_or_default();
            let matrix = matrix.map_err(|e| e.in_tensor(file(), &tensor))?;
            let bytes_after = matrix.storage_bytes() as u64;
            report.bytes_after = report.bytes_after - bytes_before + bytes_after;
            report.add(LinearReport {
                name: linear.name.clone(),
                shape: linear.shape,
                format: recipe.format,
                bytes_before,
                bytes_after,
                distortion: Some(Distortion::of_matrix(values.as_values(), &matrix, device)?),
            });
        }
        done_bytes += bytes_before;
        progress(Progress { tensor: &tensor, done_bytes, total_bytes });
    }
    Ok(measured)
}
