//! The scales of a matrix: f32 values, or bitsandbytes' nested ("double quantized") absmax.

use std::borrow::Cow;
use std::fmt;

use crate::formats::tables;
use crate::shape::BlockSize;

/// How the absmax values of NF4 and FP4 are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AbsmaxKind {
    /// One f32 each.
    #[default]
    F32,
    /// One byte each: [`NestedAbsmax`]. bitsandbytes' `compress_statistics`, "double quantization" of QLoRA.
    Nested,
}

impl fmt::Display for AbsmaxKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "",
            Self::Nested => " double-quant",
        })
    }
}

/// Absmax values in 8 bits, quantized blockwise with a 256-entry map.
///
/// ```text
/// absmax[i] = map[codes[i]] * absmax2[i / 256] + offset        two f32 roundings
/// ```
/// 8.125 bits per absmax, so 0.127 bits per weight at block size 64. `offset` is the mean of the absmax values.
#[derive(Clone, Debug, PartialEq)]
pub struct NestedAbsmax {
    /// One code per absmax value.
    pub codes: Vec<u8>,
    /// The absmax of each 256 (`absmax - offset`): bitsandbytes' `nested_absmax`.
    pub absmax: Vec<f32>,
    /// What was subtracted from all absmax values: bitsandbytes' `nested_offset`.
    pub offset: f32,
    /// The values of the codes: bitsandbytes' `nested_quant_map`.
    pub map: Box<[f32; 256]>,
}

impl NestedAbsmax {
    /// Absmax values per entry of [`NestedAbsmax::absmax`].
    pub const BLOCK_SIZE: BlockSize = BlockSize::B256;

    /// The map that bitsandbytes uses.
    pub fn default_map() -> Box<[f32; 256]> {
        Box::new(tables::DYNAMIC_MAP)
    }

    /// The absmax value `index`.
    ///
    /// # Panics
    /// When `index` is out of range.
    pub fn get(&self, index: usize) -> f32 {
        let scaled = self.map[usize::from(self.codes[index])] * self.absmax[index / Self::BLOCK_SIZE.get()];
        scaled + self.offset
    }
}

/// The scales of a matrix, one per block, group, row or tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Scales {
    /// f32 values: absmax for NF4, FP4, INT8 and the dynamic map; the scale itself for affine formats.
    F32(Vec<f32>),
    /// Double-quantized absmax values.
    Nested(NestedAbsmax),
}

impl Scales {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Nested(nested) => nested.codes.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Scale `index`.
    ///
    /// # Panics
    /// When `index` is out of range.
    pub fn get(&self, index: usize) -> f32 {
        match self {
            Self::F32(values) => values[index],
            Self::Nested(nested) => nested.get(index),
        }
    }

    /// All scales as f32.
    pub fn to_f32(&self) -> Cow<'_, [f32]> {
        match self {
            Self::F32(values) => Cow::Borrowed(values),
            Self::Nested(nested) => Cow::Owned((0..nested.codes.len()).map(|i| nested.get(i)).collect()),
        }
    }

    /// Bytes of storage; the 256-entry map, the same in every matrix, is not counted.
    pub fn storage_bytes(&self) -> usize {
        match self {
            Self::F32(values) => values.len() * 4,
            Self::Nested(nested) => nested.codes.len() + nested.absmax.len() * 4 + 4,
        }
    }
}
