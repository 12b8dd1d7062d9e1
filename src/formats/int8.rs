//! INT8 by absmax: symmetric, scaled by the largest magnitude of a row, a tensor or a group.
//!
//! ```text
//! code[i]  = round_half_even(x[i] * ((1 / absmax) * 127))        f32, the reciprocal first
//! value[i] = code[i] * absmax * (1/127)                          f32, left to right
//! ```
//! Per row this is the weight format of LLM.int8() (arXiv 2208.07339): `CB` holds the codes, `SCB` the row absmax (not
//! divided by 127). 8 + 32/K bits per weight. Codes are i8 in -127..=127, one byte each, row-major.

use crate::formats::Format;
use crate::formats::Recipe;
use crate::shape::Granularity;

/// 1/127 as bitsandbytes rounds it to f32.
pub const INV_127: f32 = 1.0 / 127.0;

/// The value of a code.
pub fn value(code: i8, absmax: f32) -> f32 {
    f32::from(code) * absmax * INV_127
}

/// How to quantize to INT8: per row (LLM.int8()) unless set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Int8 {
    granularity: Granularity,
}

impl Int8 {
    /// Which values share an absmax.
    pub fn granularity(mut self, granularity: Granularity) -> Self {
        self.granularity = granularity;
        self
    }
}

impl Default for Int8 {
    fn default() -> Self {
        Self { granularity: Granularity::PerRow }
    }
}

impl From<Int8> for Recipe {
    fn from(builder: Int8) -> Self {
        Format::Int8 { granularity: builder.granularity }.into()
    }
}
