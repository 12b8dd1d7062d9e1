//! Which formats can be multiplied with activations rounded to integers, and up to which K.

use crate::error::Error;
use crate::error::Result;
use crate::formats::Format;
use crate::formats::QuantMatrix;
use crate::formats::Symmetry;
use crate::shape::Granularity;
use crate::strategy::Activations;

/// The largest activation code, and the outlier threshold (0: none); `None` for activations that are not rounded.
pub fn rounding(activations: Activations) -> Option<(u8, f32)> {
    match activations {
        Activations::Float => None,
        Activations::Int8 { threshold } => Some((127, threshold)),
        Activations::Int4 => Some((7, 0.0)),
    }
}

/// Whether the scales of a row of `format` differ by group, so that sums over a row do too.
pub fn is_grouped(format: Format) -> bool {
    matches!(format.granularity(), Some(Granularity::PerGroup(_)))
}

/// The largest |code - zero point|.
fn largest_weight(format: Format) -> usize {
    match format {
        Format::Int4 { symmetry: Symmetry::Symmetric, .. } => 8,
        Format::Int4 { .. } => 15,
        Format::AffineInt8 { symmetry: Symmetry::Symmetric, .. } | Format::Int4ChannelGroup => 128,
        Format::AffineInt8 { .. } => 255,
        _ => 127,
    }
}

/// Checks that `matrix` can be multiplied with such activations, sums in 32 bits, on `device`.
///
/// # Errors
/// [`Error::Unsupported`] for a format whose codes are not integers and for a K at which a sum could overflow,
/// [`Error::Invalid`] for a threshold that is negative or not finite.
pub fn check(matrix: &QuantMatrix, activations: Activations, device: &str) -> Result<()> {
    let Some((max_code, threshold)) = rounding(activations) else { return Ok(()) };
    let (format, k) = (matrix.format(), matrix.shape().k());
    let unsupported = |subject: String, rule: String| Error::Unsupported {
        op: "multiplying",
        subject: format!("{subject} with {activations}"),
        device: device.into(),
        rule,
    };
    if format.granularity().is_none() {
        let rule = "integer activations need integer codes: quantize to int8, int4 or int4_channel_group, or use float activations";
        return Err(unsupported(format.to_string(), rule.into()));
    }
    if !(0.0..f32::INFINITY).contains(&threshold) {
        let rule = "must be 0 (no outliers) or a positive number";
        return Err(Error::Invalid { what: "outlier threshold", value: threshold.to_string(), rule });
    }
    let most = (1usize << 31) / (largest_weight(format) * usize::from(max_code));
    if !is_grouped(format) && k > most {
        let rule = format!("K = {k} is above {most}, where sums in 32 bits may overflow; use float activations");
        return Err(unsupported(format!("{format} {}", matrix.shape()), rule));
    }
    Ok(())
}
