//! Affine integers: INT4 and INT8 with scale and zero point.
//!
//! ```text
//! value[i] = (code[i] - zero_point[g]) * scale[g]        g the row, group or tensor that i is in
//!
//! symmetric   zero_point = 2^(b-1), not stored      scale = absmax / (2^(b-1) - 1)
//!             code = clamp(round_half_even(x / scale), -(2^(b-1) - 1), 2^(b-1) - 1) + zero_point
//! asymmetric  lo = min(min x, 0), hi = max(max x, 0)      scale = (hi - lo) / (2^b - 1)
//!             zero_point = min(round_half_even(-lo / scale), 2^b - 1)
//!             code = clamp(round_half_even(x / scale) + zero_point, 0, 2^b - 1)
//! ```
//! An all-zero group has scale 0 and every code at the zero point. With searched scales ([`ScaleRule::Search`]) a symmetric
//! code may also be 0, the value -2^(b-1). Codes of 4 bits lie in [`nibbles`](crate::formats::nibbles) order over the
//! flattened matrix. Bits per weight: b + 32/G, and 8/G more for stored zero points.

use std::fmt;

use crate::formats::Format;
use crate::formats::Recipe;
use crate::formats::ScaleRule;
use crate::shape::Granularity;
use crate::shape::GroupSize;

/// Whether the zero point is fixed in the middle or stored with each scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Symmetry {
    /// Fixed: 8 of 16, 128 of 256.
    #[default]
    Symmetric,
    /// Stored, one byte per scale.
    Asymmetric,
}

impl fmt::Display for Symmetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Symmetric => "symmetric",
            Self::Asymmetric => "asymmetric",
        })
    }
}

/// The value of a code.
pub fn value(code: u8, zero_point: u8, scale: f32) -> f32 {
    f32::from(i16::from(code) - i16::from(zero_point)) * scale
}

/// How to quantize to INT4: symmetric in groups of 128 unless set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Int4 {
    granularity: Granularity,
    symmetry: Symmetry,
    scale_rule: ScaleRule,
}

impl Int4 {
    /// Which values share a scale.
    pub fn granularity(mut self, granularity: Granularity) -> Self {
        self.granularity = granularity;
        self
    }

    /// Whether zero points are stored.
    pub fn symmetry(mut self, symmetry: Symmetry) -> Self {
        self.symmetry = symmetry;
        self
    }

    /// Chooses each scale to minimise the squared error ([`ScaleRule::Search`]). Off unless set.
    pub fn search(mut self, on: bool) -> Self {
        self.scale_rule = if on { ScaleRule::Search } else { ScaleRule::Absmax };
        self
    }
}

impl Default for Int4 {
    fn default() -> Self {
        Self {
            granularity: Granularity::PerGroup(GroupSize::G128),
            symmetry: Symmetry::Symmetric,
            scale_rule: ScaleRule::Absmax,
        }
    }
}

impl From<Int4> for Recipe {
    fn from(builder: Int4) -> Self {
        let Int4 { granularity, symmetry, scale_rule } = builder;
        Self { format: Format::Int4 { granularity, symmetry }, scale_rule }
    }
}

/// How to quantize to affine INT8: asymmetric per row unless set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AffineInt8 {
    granularity: Granularity,
    symmetry: Symmetry,
}

impl AffineInt8 {
    /// Which values share a scale.
    pub fn granularity(mut self, granularity: Granularity) -> Self {
        self.granularity = granularity;
        self
    }

    /// Whether zero points are stored.
    pub fn symmetry(mut self, symmetry: Symmetry) -> Self {
        self.symmetry = symmetry;
        self
    }
}

impl Default for AffineInt8 {
    fn default() -> Self {
        Self { granularity: Granularity::PerRow, symmetry: Symmetry::Asymmetric }
    }
}

impl From<AffineInt8> for Recipe {
    fn from(builder: AffineInt8) -> Self {
        let AffineInt8 { granularity, symmetry } = builder;
        Format::AffineInt8 { granularity, symmetry }.into()
    }
}
