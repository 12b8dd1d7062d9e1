//! The swizzles of shared memory: how tensor maps store rows, and wgmma reads them, without bank conflicts.

use crate::numeric::Unsupported;

/// A swizzling mode. Blocks of 16 bytes change places within rows of the mode's width; eight rows, one after the other
/// 128 bytes apart at most, make up the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Swizzle {
    /// Nothing moves.
    None,
    /// Two blocks change places in every other 128 bytes: address bit 4 is exclusive-ored with bit 7.
    Bytes32,
    /// Address bits 4 and 5 with bits 7 and 8.
    Bytes64,
    /// Address bits 4 to 6 with bits 7 to 9.
    Bytes128,
}

impl Swizzle {
    /// The mode of a matrix descriptor's bits 62 and 63.
    pub(super) fn from_descriptor(field: u64) -> Self {
        match field {
            1 => Self::Bytes128,
            2 => Self::Bytes64,
            3 => Self::Bytes32,
            _ => Self::None,
        }
    }

    /// Width of a row of the pattern in bytes: 16 without swizzle.
    pub fn row_bytes(self) -> u32 {
        match self {
            Self::None => 16,
            Self::Bytes32 => 32,
            Self::Bytes64 => 64,
            Self::Bytes128 => 128,
        }
    }

    /// After how many bytes the pattern repeats. It starts at multiples of this unless a base offset says otherwise.
    pub fn pattern_bytes(self) -> u32 {
        match self {
            Self::None => 16,
            _ => 8 * self.row_bytes(),
        }
    }

    /// Where the byte that would be at `address` lies. Its own inverse.
    ///
    /// `base_offset` is that of the matrix descriptor: bits 7 to 9 of the address at which the pattern starts.
    #[inline]
    pub fn apply(self, address: u32, base_offset: u32) -> u32 {
        let blocks = self.row_bytes() / 16;
        address ^ (((address >> 7).wrapping_sub(base_offset) & (blocks - 1)) << 4)
    }

    /// The mode of a tensor map's swizzle by its width in bytes; 0 is none.
    ///
    /// # Errors
    /// Another width than 0, 32, 64 and 128.
    pub fn from_row_bytes(row_bytes: u32) -> Result<Self, Unsupported> {
        match row_bytes {
            0 => Ok(Self::None),
            32 => Ok(Self::Bytes32),
            64 => Ok(Self::Bytes64),
            128 => Ok(Self::Bytes128),
            _ => Err(Unsupported::new(format!("a swizzle of {row_bytes} bytes, not 0, 32, 64 or 128"))),
        }
    }
}
