//! bitsandbytes' blockwise 8-bit quantization with a 256-entry map (arXiv 2110.02861).
//!
//! ```text
//! value[i] = map[code[i]] * absmax[i / B]       i over the flattened matrix, B the block size
//! ```
//! The map is [`tables::DYNAMIC_MAP`](crate::formats::tables::DYNAMIC_MAP) unless the matrix brings its own. One byte per
//! code; 8 + 32/B bits per weight.

use crate::formats::Format;
use crate::formats::Recipe;
use crate::shape::BlockSize;

/// How to quantize to 8 bits with the dynamic map: blocks of 4096 unless set, as in bitsandbytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dynamic8 {
    block_size: BlockSize,
}

impl Dynamic8 {
    /// Values per absmax, over the flattened matrix.
    pub fn block_size(mut self, block_size: BlockSize) -> Self {
        self.block_size = block_size;
        self
    }
}

impl Default for Dynamic8 {
    fn default() -> Self {
        Self { block_size: BlockSize::B4096 }
    }
}

impl From<Dynamic8> for Recipe {
    fn from(builder: Dynamic8) -> Self {
        Format::Dynamic8 { block_size: builder.block_size }.into()
    }
}
