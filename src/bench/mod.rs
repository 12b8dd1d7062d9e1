//! Strategies side by side: what each way to multiply takes, on one device, over shapes and batch sizes.
//!
//! [`run`] measures the device's ceilings, then for each shape the dense product and every strategy that exists for each
//! format. A product is compared with the reference before it is timed, and a wrong one is an error. Weights come from memory:
//! as many copies are multiplied in turn as are more than the last cache twice. What is compared is measured in turns too, so
//! that a machine that slows down does so for all. Time is that of the wall clock on the CPU, and on a GPU that of events around
//! a replayed CUDA graph; nothing is modelled.

mod ceilings;
pub mod check;
mod data;
mod dense;
mod measure;
pub mod models;
mod report;
mod timing;
mod weights;

use std::time::Duration;

pub use ceilings::Ceilings;
pub use models::LayerShape;
pub use report::How;
pub use report::Row;
pub use timing::Times;

use crate::device::Device;
use crate::error::Error;
use crate::error::Result;
use crate::formats::Recipe;
use crate::strategy::Activations;
use crate::strategy::Strategy;
use crate::values::Dtype;

/// A format to measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Its name in the rows.
    pub name: String,
    /// How weights are quantized.
    pub recipe: Recipe,
    /// What activations are rounded to.
    pub activations: Activations,
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The matrices.
    pub shapes: Vec<LayerShape>,
    /// Rows of x.
    pub batches: Vec<usize>,
    /// The formats.
    pub layers: Vec<Layer>,
    /// The strategies, of which those are measured that exist.
    pub strategies: Vec<Strategy>,
    /// The type of x and y.
    pub dtype: Dtype,
    /// Samples of each product.
    pub samples: usize,
    /// A sample repeats its product until it takes so long.
    pub min_time: Duration,
    /// Bytes that the copies of one matrix in one format take at most.
    pub memory_bytes: usize,
}

/// What [`run`] tells as it goes.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The ceilings, first.
    Ceilings(&'a Ceilings),
    /// What is measured next, and how many of all combinations of shape and M are done.
    Next {
        /// Combinations done.
        done: usize,
        /// All of them.
        total: usize,
        /// The shape.
        shape: &'a LayerShape,
        /// Rows of x.
        m: usize,
    },
    /// A strategy that does not exist here, and the rule.
    Missing {
        /// The shape.
        shape: &'a LayerShape,
        /// Rows of x.
        m: usize,
        /// The format's name.
        format: &'a str,
        /// The strategy.
        strategy: Strategy,
        /// Why.
        error: &'a Error,
    },
    /// A measurement.
    Row(&'a Row),
}

/// Measures on `device` and calls `on` with each result as it is there; an error of `on` ends it.
///
/// # Errors
/// [`Error::Invalid`] for settings with nothing to measure, [`Error::WrongProduct`] for a wrong result, those of preparing
/// weights, out of memory, the driver's.
pub fn run<E: From<Error>>(
    settings: &Settings,
    device: &Device,
    on: &mut dyn FnMut(Event<'_>) -> Result<(), E>,
) -> Result<(), E> {
    check_settings(settings)?;
    let ceilings = Ceilings::measure(device, settings.dtype)?;
    on(Event::Ceilings(&ceilings))?;
    let total = settings.shapes.len() * settings.batches.len();
    let mut done = 0;
    for shape in &settings.shapes {
        let weights = measure::load(settings, device, shape)?;
        for &m in &settings.batches {
            on(Event::Next { done, total, shape, m })?;
            measure::measure(settings, device, &ceilings, shape, m, &weights, on)?;
            done += 1;
        }
    }
    Ok(())
}

fn check_settings(settings: &Settings) -> Result<()> {
    let Settings { shapes, batches, samples, .. } = settings;
    let rule = "a benchmark needs at least one";
    for (what, count) in [("shapes", shapes.len()), ("batch sizes", batches.len()), ("samples", *samples)] {
        if count == 0 {
            return Err(Error::Invalid { what, value: "0".into(), rule });
        }
    }
    match batches.contains(&0) {
        true => Err(Error::Invalid { what: "batch size", value: "0".into(), rule: "must be at least 1" }),
        false => Ok(()),
    }
}
