//! What is computed ([`Activations`]) and how ([`Strategy`]): the first belongs to a layer, the second only to speed.

use std::fmt;

/// What the activations are rounded to before they are multiplied. Fixed when a layer's weights are prepared.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activations {
    /// Not at all: f32, f16 or bf16 as they come, sums in f32. With bf16 activations the dequantized weights may be rounded
    /// to bf16 as well, as bitsandbytes does.
    #[default]
    Float,
    /// Each row to i8 in -127..=127 by its absmax, sums in i32: LLM.int8(), and W4A8.
    Int8 {
        /// Columns that hold a magnitude of `threshold` or more stay in floating point (6.0 in the paper); 0 turns that off.
        threshold: f32,
    },
    /// Each row to -7..=7 by its absmax, sums in i32: W4A4.
    Int4,
}

impl fmt::Display for Activations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float => f.write_str("float activations"),
            Self::Int8 { threshold: 0.0 } => f.write_str("int8 activations"),
            Self::Int8 { threshold } => write!(f, "int8 activations with threshold {threshold}"),
            Self::Int4 => f.write_str("int4 activations"),
        }
    }
}

/// Which way to compute a product. Never changes what is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strategy {
    /// The fastest for this device, shape and format.
    #[default]
    Auto,
    /// Streams the codes once per few rows of x, decoding in registers: for small M.
    Gemv,
    /// Decodes W tile by tile within the product, into cache or, on a GPU, into the operands of its tensor cores; integer codes
    /// are multiplied as integers.
    Fused,
    /// Writes the whole of W as floats, then multiplies densely: the comparison.
    DequantizeThenMultiply,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Gemv => "gemv",
            Self::Fused => "fused",
            Self::DequantizeThenMultiply => "dequantize-then-multiply",
        })
    }
}

/// Activations rounded per row, as LLM.int8() does.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedRows {
    /// `[m, k]` codes; zero in outlier columns.
    pub codes: Vec<i8>,
    /// The largest magnitude of each row, outlier elements not counted.
    pub absmax: Vec<f32>,
    /// The columns that hold an element of magnitude `threshold` or more, ascending.
    pub outlier_columns: Vec<usize>,
}
