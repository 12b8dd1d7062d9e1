//! The matrix descriptor of wgmma: where in shared memory the elements of an operand are.
//!
//! ```text
//! bit  63 62 | 61..52 | 51..49      | 48..46 | 45..32      | 31 30 | 29..16       | 15 14 | 13..0
//!      swizzle   0      base offset     0      stride / 16     0     leading / 16    0      start / 16
//! ```
//!
//! An operand is K x 32 bytes of one row or column of the product each ("mn" below: a row of A or a column of B).
//! Memory is made of blocks of 16 bytes, `T = 16 / element size` elements. With `W` blocks in a row of the swizzle (1
//! without), `L` the leading and `S` the stride byte offset, the block that holds element `(mn, k)` is at
//!
//! - K-major, without swizzle: `16 (mn % 8) + S (mn / 8) + L (k / T)`;
//! - K-major, swizzled: `16 W (mn % 8) + S (mn / 8) + 16 (k / T)`; `L` is not used;
//! - MN-major, without swizzle: `16 (k % 8) + S (mn / T) + L (k / 8)`;
//! - MN-major, swizzled: `16 ((mn / T) % W) + L (mn / (T W)) + 16 W (k % 8) + S (k / 8)`;
//!
//! from the start address, and the swizzle is applied to the sum (PTX ISA, "Shared Memory Matrix Layout" and "Strides").
//! It follows that a start address inside a swizzled row selects a later part of K, which is how kernels step through a
//! row of 128 bytes.

use crate::matrix::swizzle::Swizzle;
use crate::numeric::Unsupported;

/// Bytes that lie side by side in every layout.
pub const BLOCK_BYTES: u32 = 16;

/// Which dimension of an operand is contiguous in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Major {
    /// K: `imm-trans` 0.
    K,
    /// M of A, N of B: `imm-trans` 1, of 16-bit elements.
    Mn,
}

/// A decoded matrix descriptor; offsets are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatrixDescriptor {
    /// Address in shared memory, a multiple of 16.
    pub start: u32,
    /// Leading dimension byte offset.
    pub leading: u32,
    /// Stride dimension byte offset.
    pub stride: u32,
    /// Bits 7 to 9 of the address at which the swizzle's pattern starts.
    pub base_offset: u32,
    /// The swizzle.
    pub swizzle: Swizzle,
}

impl MatrixDescriptor {
    /// Decodes a register.
    ///
    /// # Errors
    /// Bits that the format leaves unused are set, as by an address or offset too large for its field; a base offset
    /// without swizzle.
    pub fn decode(bits: u64) -> Result<Self, Unsupported> {
        let encoded = |shift: u32| ((bits >> shift & 0x3fff) << 4) as u32;
        let unused = 0x3ff << 52 | 7 << 46 | 3 << 30 | 3 << 14;
        if bits & unused != 0 {
            let set = bits & unused;
            return Err(Unsupported::new(format!("matrix descriptor {bits:#018x} with unused bits {set:#018x} set")));
        }
        let descriptor = Self {
            start: encoded(0),
            leading: encoded(16),
            stride: encoded(32),
            base_offset: (bits >> 49 & 7) as u32,
            swizzle: Swizzle::from_descriptor(bits >> 62),
        };
        if descriptor.swizzle == Swizzle::None && descriptor.base_offset != 0 {
            let base_offset = descriptor.base_offset;
            return Err(Unsupported::new(format!(
                "matrix descriptor {bits:#018x}: base offset {base_offset}, no swizzle"
            )));
        }
        Ok(descriptor)
    }

    /// The address of the first byte of element `(mn, k)`, whose size is `element_bytes`: 1, 2 or 4.
    ///
    /// Does not check that the address lies in shared memory; it wraps at 2^32.
    #[inline]
    pub fn element_address(&self, major: Major, element_bytes: u32, mn: u32, k: u32) -> u32 {
        let per_block = BLOCK_BYTES / element_bytes;
        let width = self.swizzle.row_bytes();
        let swizzled = self.swizzle != Swizzle::None;
        let (offset, within) = match major {
            Major::K => {
                let step = if swizzled { BLOCK_BYTES } else { self.leading };
                (width * (mn % 8) + self.stride * (mn / 8) + step * (k / per_block), k % per_block)
            }
            Major::Mn if swizzled => {
                let per_row = width / element_bytes;
                let block = BLOCK_BYTES * (mn % per_row / per_block);
                let tile = self.leading * (mn / per_row) + self.stride * (k / 8);
                (block + tile + width * (k % 8), mn % per_block)
            }
            Major::Mn => (width * (k % 8) + self.stride * (mn / per_block) + self.leading * (k / 8), mn % per_block),
        };
        self.swizzle.apply(self.start.wrapping_add(offset), self.base_offset) + element_bytes * within
    }

    /// The blocks of an operand of `extent` rows or columns and 32 bytes of K, in the order in which they are read.
    pub fn blocks(&self, major: Major, element_bytes: u32, extent: u32) -> impl Iterator<Item = Block> + use<> {
        let (descriptor, per_block) = (*self, BLOCK_BYTES / element_bytes);
        let (outer, inner) = match major {
            Major::K => (extent, 2 * per_block),
            Major::Mn => (2 * per_block, extent),
        };
        (0..outer).flat_map(move |outer| {
            (0..inner).step_by(per_block as usize).map(move |inner| {
                let (mn, k) = if major == Major::K { (outer, inner) } else { (inner, outer) };
                Block { address: descriptor.element_address(major, element_bytes, mn, k), mn, k }
            })
        })
    }
}

/// 16 bytes of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// Address in shared memory; a multiple of 16.
    pub address: u32,
    /// The row of A or column of B of its first element. The others follow along the major dimension.
    pub mn: u32,
    /// The `k` of its first element.
    pub k: u32,
}
