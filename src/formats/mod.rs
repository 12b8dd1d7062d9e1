//! What the bits mean: pure data and the scalar decoding of one value.
//!
//! No policy (which codes to choose), no SIMD, no files, no threads, no device. One file per format:
//! [`nf4`], [`fp4`], [`int8`], [`dynamic8`], [`affine`] (INT4 and INT8 with zero points), [`int4_channel_group`]; [`integer`] says which of them
//! multiply with rounded activations; [`absmax`] is the scale array that
//! bitsandbytes' formats share, [`nibbles`] the order of 4-bit codes, [`tables`] the codebooks.

pub mod absmax;
pub mod affine;
pub mod dynamic8;
pub mod fp4;
pub mod int4_channel_group;
pub mod int8;
pub mod integer;
mod matrix;
pub mod nf4;
pub mod nibbles;
mod recipe;
pub mod tables;

use std::fmt;

pub use absmax::AbsmaxKind;
pub use absmax::NestedAbsmax;
pub use absmax::Scales;
pub use affine::AffineInt8;
pub use affine::Int4;
pub use affine::Symmetry;
pub use dynamic8::Dynamic8;
pub use fp4::Fp4;
pub use int4_channel_group::GroupSteps;
pub use int4_channel_group::Int4ChannelGroup;
pub use int8::Int8;
pub use matrix::Parts;
pub use matrix::QuantMatrix;
pub use nf4::Nf4;
pub use recipe::Recipe;
pub use recipe::ScaleRule;

use crate::shape::BlockSize;
use crate::shape::Granularity;
use crate::shape::MatShape;

/// Every format a [`QuantMatrix`] can have. Each case is documented in the module of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// [`nf4`]: `NF4[code] * absmax`, blocks of the flattened matrix.
    Nf4 {
        /// Values per absmax.
        block_size: BlockSize,
        /// How the absmax values are stored.
        absmax: AbsmaxKind,
    },
    /// [`fp4`]: `FP4[code] * absmax`, blocks of the flattened matrix.
    Fp4 {
        /// Values per absmax.
        block_size: BlockSize,
        /// How the absmax values are stored.
        absmax: AbsmaxKind,
    },
    /// [`dynamic8`]: `map[code] * absmax`, blocks of the flattened matrix.
    Dynamic8 {
        /// Values per absmax.
        block_size: BlockSize,
    },
    /// [`int8`]: `code * absmax / 127`; per row it is LLM.int8()'s weight format.
    Int8 {
        /// Which values share an absmax.
        granularity: Granularity,
    },
    /// [`affine`] with 4 bits: `(code - zero_point) * scale`.
    Int4 {
        /// Which values share a scale.
        granularity: Granularity,
        /// Whether the zero point is fixed or stored.
        symmetry: Symmetry,
    },
    /// [`affine`] with 8 bits: `(code - zero_point) * scale`.
    AffineInt8 {
        /// Which values share a scale.
        granularity: Granularity,
        /// Whether the zero point is fixed or stored.
        symmetry: Symmetry,
    },
    /// [`int4_channel_group`]: `(code * multiplier + offset - 128) * scale`, integers per group of 64, a scale per row.
    Int4ChannelGroup,
}

impl Format {
    /// Bits per code, scales not counted.
    pub fn code_bits(self) -> usize {
        match self {
            Self::Nf4 { .. } | Self::Fp4 { .. } | Self::Int4 { .. } | Self::Int4ChannelGroup => 4,
            Self::Dynamic8 { .. } | Self::Int8 { .. } | Self::AffineInt8 { .. } => 8,
        }
    }

    /// The 16 values of a 4-bit format before scaling, by code; of [`Format::Int4`] with zero point 0. Those of
    /// [`Format::Int4ChannelGroup`] differ from group to group: `None`.
    pub fn codebook(self) -> Option<[f32; 16]> {
        match self {
            Self::Nf4 { .. } => Some(tables::NF4),
            Self::Fp4 { .. } => Some(tables::FP4),
            Self::Int4 { .. } => Some(std::array::from_fn(|code| code as f32)),
            Self::Dynamic8 { .. } | Self::Int8 { .. } | Self::AffineInt8 { .. } | Self::Int4ChannelGroup => None,
        }
    }

    /// The block size of the formats whose blocks run over the flattened matrix, `None` for those that count within rows.
    pub fn flat_block(self) -> Option<BlockSize> {
        match self {
            Self::Nf4 { block_size, .. } | Self::Fp4 { block_size, .. } | Self::Dynamic8 { block_size } => {
                Some(block_size)
            }
            Self::Int8 { .. } | Self::Int4 { .. } | Self::AffineInt8 { .. } | Self::Int4ChannelGroup => None,
        }
    }

    /// The granularity of the formats whose scales belong to rows, `None` for those with flattened blocks.
    pub fn granularity(self) -> Option<Granularity> {
        match self {
            Self::Int8 { granularity } | Self::Int4 { granularity, .. } | Self::AffineInt8 { granularity, .. } => {
                Some(granularity)
            }
            Self::Int4ChannelGroup => Some(Granularity::PerRow),
            Self::Nf4 { .. } | Self::Fp4 { .. } | Self::Dynamic8 { .. } => None,
        }
    }

    /// The zero point all codes share, where there is one: 8 for symmetric 4-bit codes, 128 for symmetric 8-bit ones.
    pub fn fixed_zero_point(self) -> Option<u8> {
        match self {
            Self::Int4 { symmetry: Symmetry::Symmetric, .. } => Some(8),
            Self::AffineInt8 { symmetry: Symmetry::Symmetric, .. } => Some(128),
            _ => None,
        }
    }

    /// Whether each scale has a zero point stored beside it.
    pub fn has_zero_points(self) -> bool {
        matches!(
            self,
            Self::Int4 { symmetry: Symmetry::Asymmetric, .. } | Self::AffineInt8 { symmetry: Symmetry::Asymmetric, .. }
        )
    }

    /// Bytes of codes in a matrix of `shape`.
    pub fn num_code_bytes(self, shape: MatShape) -> usize {
        match self.code_bits() {
            4 => shape.num_values().div_ceil(2),
            _ => shape.num_values(),
        }
    }

    /// How many scales (absmax values) a matrix of `shape` has.
    pub fn num_scales(self, shape: MatShape) -> usize {
        match (self.flat_block(), self.granularity()) {
            (Some(block), _) => shape.num_values().div_ceil(block.get()),
            (None, Some(granularity)) => granularity.num_scales(shape),
            (None, None) => unreachable!("a format has flattened blocks or a granularity"),
        }
    }

    /// The index of the scale of the value at (`row`, `col`).
    pub fn scale_index(self, shape: MatShape, row: usize, col: usize) -> usize {
        match (self.flat_block(), self.granularity()) {
            (Some(block), _) => (row * shape.k() + col) / block.get(),
            (None, Some(granularity)) => granularity.scale_index(shape, row, col),
            (None, None) => unreachable!("a format has flattened blocks or a granularity"),
        }
    }
}

/// The short name with its parameters, such as `nf4 block 64 double-quant`.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Nf4 { block_size, absmax } => write!(f, "nf4 block {}{absmax}", block_size.get()),
            Self::Fp4 { block_size, absmax } => write!(f, "fp4 block {}{absmax}", block_size.get()),
            Self::Dynamic8 { block_size } => write!(f, "dynamic8 block {}", block_size.get()),
            Self::Int8 { granularity } => write!(f, "int8 {granularity}"),
            Self::Int4 { granularity, symmetry } => write!(f, "int4 {granularity} {symmetry}"),
            Self::AffineInt8 { granularity, symmetry } => write!(f, "affine int8 {granularity} {symmetry}"),
            Self::Int4ChannelGroup => f.write_str("int4_channel_group"),
        }
    }
}
