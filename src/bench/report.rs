//! What one measurement says.

use super::Ceilings;
use super::Times;
use super::models::LayerShape;
use crate::strategy::Activations;
use crate::strategy::Strategy;
use crate::values::Dtype;

/// Who computed a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Dense weights, by this library.
    Dense(&'static str),
    /// Low-bit weights by one strategy.
    Strategy(Strategy),
    /// Low-bit weights by [`Strategy::Auto`], which chose this one.
    Auto(Strategy),
}

impl How {
    /// What is asked for.
    pub fn name(self) -> String {
        match self {
            Self::Dense(_) => "dense".into(),
            Self::Strategy(strategy) => strategy.to_string(),
            Self::Auto(_) => Strategy::Auto.to_string(),
        }
    }

    /// The library, or the strategy that `auto` chose.
    pub fn chosen(self) -> Option<String> {
        match self {
            Self::Dense(library) => Some(library.into()),
            Self::Strategy(_) => None,
            Self::Auto(strategy) => Some(strategy.to_string()),
        }
    }
}

/// One product, timed.
#[derive(Clone, Debug)]
pub struct Row {
    /// N x K, and the layers that have it.
    pub shape: LayerShape,
    /// Rows of x.
    pub m: usize,
    /// The format's name; of dense weights their type.
    pub format: String,
    /// What activations are rounded to.
    pub activations: Activations,
    /// The type of x and y.
    pub dtype: Dtype,
    /// Who computed it.
    pub how: How,
    /// Seconds per product.
    pub times: Times,
    /// Products in each sample.
    pub products: usize,
    /// Copies of the weights that were multiplied in turn.
    pub copies: usize,
    /// Whether the copies together are more than twice the last cache, so that each came from memory.
    pub cold: bool,
    /// Bytes of one copy: codes, scales, zero points.
    pub weight_bytes: usize,
    /// Bytes that must move: one copy of the weights, x and y.
    pub bytes: usize,
    /// 2 M N K.
    pub operations: f64,
    /// The larger floor of bytes and operations over the median. The floor of operations is that of floating point: products
    /// of rounded activations can pass 1.
    pub share_of_ceiling: f64,
    /// Median of the dense product over the median, at this shape and M.
    pub speedup_over_dense: Option<f64>,
    /// Median of dequantize-then-multiply over the median, at this shape, M and format; `None` where that was not measured.
    pub speedup_over_dequantize: Option<f64>,
}

impl Row {
    /// [`Row::bytes`] per second.
    pub fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.times.median()
    }

    /// [`Row::operations`] per second.
    pub fn operations_per_second(&self) -> f64 {
        self.operations / self.times.median()
    }
}

/// What the rows of one shape and M share.
pub(super) struct Context<'a> {
    pub shape: &'a LayerShape,
    pub m: usize,
    pub ceilings: &'a Ceilings,
}

impl Context<'_> {
    pub fn operations(&self) -> f64 {
        2.0 * self.m as f64 * self.shape.shape.num_values() as f64
    }
}
