//! The choice: which backend does what. One match per operation; anything else is [`Error::Unsupported`].

use crate::device::Device;
use crate::error::Error;
use crate::error::Result;
use crate::formats::QuantMatrix;
use crate::formats::Recipe;
use crate::formats::ScaleRule;
use crate::reference;
use crate::shape::MatShape;
use crate::values::Values;

/// Quantizes `values` (row-major, `shape`) as `recipe` says.
///
/// # Errors
/// [`Error::Length`] when `values` does not have `shape`, [`Error::NonFinite`] for a NaN or infinity,
/// [`Error::Unsupported`] for a recipe the device does not have.
pub fn quantize(
    values: Values<'_>,
    shape: MatShape,
    recipe: impl Into<Recipe>,
    device: &Device,
) -> Result<QuantMatrix> {
    let recipe = recipe.into();
    match (device, recipe.scale_rule) {
        (Device::Cpu(_), ScaleRule::Absmax) => reference::quantize(values, shape, recipe.format),
        (Device::Cpu(_), ScaleRule::Search) => Err(Error::Unsupported {
            op: "searching scales",
            subject: recipe.format.to_string(),
            device: device.name(),
            rule: String::new(),
        }),
    }
}
