//! Tensor maps: what `cp.async.bulk.tensor` knows of a tensor in global memory and of the box that it copies.
//!
//! A `CUtensorMap` is 128 opaque bytes that only the driver knows how to write. Those of this crate have a layout of
//! their own, and start with a mark by which an instruction tells them from anything else.

use crate::matrix::swizzle::Swizzle;
use std::error::Error;
use std::fmt;

/// Size of an encoded tensor map, that of `CUtensorMap`.
pub const TENSOR_MAP_BYTES: usize = 128;
/// Alignment of a tensor map in the memory of the device.
pub(crate) const TENSOR_MAP_ALIGNMENT: u64 = 64;
/// Most dimensions of a tensor.
const MAX_RANK: usize = 5;

/// The first bytes of every encoded map.
const MARK: [u8; 8] = *b"simTMAP\x01";
const ALIGNMENT: u64 = 16;
const MAX_DIM: u64 = 1 << 32;
const STRIDE_LIMIT: u64 = 1 << 40;
const MAX_BOX_DIM: u32 = 256;
const MAX_ELEMENT_STRIDE: u32 = 8;

/// A tensor in global memory and the box that one instruction copies, as `cuTensorMapEncodeTiled` takes them.
///
/// Without interleaving; elements outside the tensor are zeros. Lists hold one value a dimension, the innermost first.
///
/// ```
/// use ptx_sim::Swizzle;
/// use ptx_sim::TensorMap;
///
/// // 100 rows of 256 f16 values, copied 64 rows of 64 values at a time.
/// let map = TensorMap {
///     global_address: 0x7f00_0000_0000,
///     element_bytes: 2,
///     dims: vec![256, 100],
///     strides_bytes: vec![512],
///     box_dims: vec![64, 64],
///     element_strides: vec![1, 1],
///     swizzle: Swizzle::Bytes128,
/// };
/// assert_eq!(TensorMap::decode(&map.encode()?)?, map);
/// # Ok::<(), ptx_sim::TensorMapError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorMap {
    /// Address of the element whose coordinates are all zero.
    pub global_address: u64,
    /// Size of an element: 1, 2, 4 or 8 bytes. A copy moves bits, so that nothing else of the type matters.
    pub element_bytes: u32,
    /// Elements of the tensor; as many dimensions as the tensor has.
    pub dims: Vec<u64>,
    /// Bytes from one element to the next, for the dimensions after the innermost.
    pub strides_bytes: Vec<u64>,
    /// Elements that the box spans.
    pub box_dims: Vec<u32>,
    /// Of the elements that the box spans, one in this many is copied. That of the innermost dimension has no effect.
    pub element_strides: Vec<u32>,
    /// How the rows of the box lie in shared memory.
    pub swizzle: Swizzle,
}

/// A rule of tensor maps and the values that break it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorMapError(String);

impl fmt::Display for TensorMapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for TensorMapError {}

impl TensorMap {
    /// Dimensions of the tensor.
    pub(crate) fn rank(&self) -> usize {
        self.dims.len()
    }

    /// Bytes of the box along the innermost dimension.
    pub(crate) fn row_bytes(&self) -> u32 {
        self.box_dims[0] * self.element_bytes
    }

    /// Elements of the box in shared memory along a dimension.
    pub(crate) fn box_elements(&self, dimension: usize) -> u32 {
        if dimension == 0 {
            return self.box_dims[0];
        }
        self.box_dims[dimension].div_ceil(self.element_strides[dimension])
    }

    /// Rows of the box in shared memory, of [`TensorMap::row_bytes`] each.
    pub(crate) fn box_rows(&self) -> u64 {
        (1..self.rank()).map(|dimension| u64::from(self.box_elements(dimension))).product()
    }

    /// Bytes of the box in shared memory: what a copy to it adds to the bytes that its mbarrier has received, whether
    /// they lie inside the tensor or not.
    pub(crate) fn box_bytes(&self) -> u64 {
        self.box_rows() * u64::from(self.row_bytes())
    }

    /// The bytes of the map, to be given to a kernel at a multiple of 64.
    ///
    /// # Errors
    ///
    /// A rule of `cuTensorMapEncodeTiled` that the values break, or a row of the box narrower than its swizzle, which
    /// this crate does not know how to lay out.
    pub fn encode(&self) -> Result<[u8; TENSOR_MAP_BYTES], TensorMapError> {
        self.check()?;
        let mut bytes = Vec::with_capacity(TENSOR_MAP_BYTES);
        bytes.extend(MARK);
        bytes.extend(self.global_address.to_le_bytes());
        let swizzle_bytes = if self.swizzle == Swizzle::None { 0 } else { self.swizzle.row_bytes() };
        bytes.extend([self.rank() as u8, self.element_bytes as u8, swizzle_bytes as u8]);
        self.dims.iter().chain(&self.strides_bytes).for_each(|value| bytes.extend(value.to_le_bytes()));
        self.box_dims.iter().chain(&self.element_strides).for_each(|value| bytes.extend((*value as u16).to_le_bytes()));
        let mut encoded = [0; TENSOR_MAP_BYTES];
        encoded[..bytes.len()].copy_from_slice(&bytes);
        Ok(encoded)
    }

    /// The map that [`TensorMap::encode`] wrote.
    ///
    /// # Errors
    ///
    /// Bytes that it did not write.
    pub fn decode(bytes: &[u8; TENSOR_MAP_BYTES]) -> Result<Self, TensorMapError> {
        let mut fields = Fields { bytes, at: 0 };
        let mark = fields.integer(MARK.len()).to_le_bytes();
        if mark != MARK {
            return Err(TensorMapError(format!(
                "no tensor map: 128 bytes that start with {mark:02x?}, not {MARK:02x?}"
            )));
        }
        let global_address = fields.integer(8);
        let (rank, element_bytes) = (fields.integer(1) as usize, fields.integer(1) as u32);
        let swizzle = Swizzle::from_row_bytes(fields.integer(1) as u32);
        let swizzle = swizzle.map_err(|error| TensorMapError(format!("a damaged tensor map: {error}")))?;
        let rank = checked_rank(rank)?;
        let map = Self {
            global_address,
            element_bytes,
            dims: (0..rank).map(|_| fields.integer(8)).collect(),
            strides_bytes: (1..rank).map(|_| fields.integer(8)).collect(),
            box_dims: (0..rank).map(|_| fields.integer(2) as u32).collect(),
            element_strides: (0..rank).map(|_| fields.integer(2) as u32).collect(),
            swizzle,
        };
        map.check()?;
        Ok(map)
    }

    fn check(&self) -> Result<(), TensorMapError> {
        let rank = checked_rank(self.rank())?;
        let lengths = [self.strides_bytes.len() + 1, self.box_dims.len(), self.element_strides.len()];
        if lengths != [rank; 3] {
            let [strides, boxes, steps] = lengths;
            return Err(TensorMapError(format!(
                "a tensor of {rank} dimensions takes {} strides and {rank} box sizes and element strides, \
                 not {}, {boxes} and {steps}",
                rank - 1,
                strides - 1
            )));
        }
        if !matches!(self.element_bytes, 1 | 2 | 4 | 8) {
            return Err(TensorMapError(format!("elements of {} bytes, not 1, 2, 4 or 8", self.element_bytes)));
        }
        if !self.global_address.is_multiple_of(ALIGNMENT) {
            return Err(TensorMapError(format!("an address of {:#x}, not a multiple of 16", self.global_address)));
        }
        each("elements of the tensor", &self.dims, |dim| (1..=MAX_DIM).contains(&dim), "1 to 2^32")?;
        let fits = |stride: u64| stride.is_multiple_of(ALIGNMENT) && stride < STRIDE_LIMIT;
        each("bytes of stride", &self.strides_bytes, fits, "a multiple of 16 below 2^40")?;
        each("elements of the box", &self.box_dims, |dim| (1..=MAX_BOX_DIM).contains(&dim), "1 to 256")?;
        let fits = |step: u32| (1..=MAX_ELEMENT_STRIDE).contains(&step);
        each("as element stride", &self.element_strides, fits, "1 to 8")?;
        self.check_row()
    }

    fn check_row(&self) -> Result<(), TensorMapError> {
        let (row, width) = (self.row_bytes(), self.swizzle.row_bytes());
        if !u64::from(row).is_multiple_of(ALIGNMENT) {
            return Err(TensorMapError(format!("a box of {row} bytes along dimension 0, not a multiple of 16")));
        }
        if self.swizzle == Swizzle::None || row == width {
            return Ok(());
        }
        if row > width {
            return Err(TensorMapError(format!("a box of {row} bytes along dimension 0, with a swizzle of {width}")));
        }
        Err(TensorMapError(format!(
            "a box of {row} bytes along dimension 0 with a wider swizzle, of {width} bytes, is not simulated"
        )))
    }
}

fn checked_rank(rank: usize) -> Result<usize, TensorMapError> {
    if (1..=MAX_RANK).contains(&rank) {
        return Ok(rank);
    }
    Err(TensorMapError(format!("a tensor of {rank} dimensions, not 1 to 5")))
}

/// Says which of the values breaks a rule.
fn each<T: Copy + fmt::Display>(
    what: &str,
    values: &[T],
    fits: impl Fn(T) -> bool,
    rule: &str,
) -> Result<(), TensorMapError> {
    match values.iter().find(|&&value| !fits(value)) {
        Some(value) => Err(TensorMapError(format!("{value} {what}, not {rule}"))),
        None => Ok(()),
    }
}

/// Reads little-endian fields one after the other.
struct Fields<'a> {
    bytes: &'a [u8; TENSOR_MAP_BYTES],
    at: usize,
}

impl Fields<'_> {
    /// `size` ≤ 8 bytes. [`MAX_RANK`] dimensions end at byte 111.
    fn integer(&mut self, size: usize) -> u64 {
        let mut value = [0; 8];
        value[..size].copy_from_slice(&self.bytes[self.at..self.at + size]);
        self.at += size;
        u64::from_le_bytes(value)
    }
}
