//! [`W4`]: a 4-bit matrix in device memory, in the layout `mma_w4`.

use crate::cuda::CudaDevice;
use crate::cuda::DeviceBuffer;
use crate::cuda::args::W4Args;
use crate::error::Error;
use crate::error::Result;
use crate::formats::Format;
use crate::formats::QuantMatrix;
use crate::formats::Scales;
use crate::layout::mma_w4;
use crate::layout::mma_w4::ScaleOrder;
use crate::layout::mma_w4::TILE_COLS;
use crate::layout::mma_w4::TILE_ROWS;
use crate::layout::mma_w4::Tiles;
use crate::shape::MatShape;

/// The zero point of the codebook of INT4, which is -8 .. 7: zero points are stored as the format has them, 0 .. 15.
const INT4_ZERO: f32 = 8.0;

/// The largest N and K: kernels count rows and columns, those of padding included, in 32 bits.
const MAX_SIDE: usize = u32::MAX as usize - TILE_COLS;

/// A matrix in any 4-bit format: codes in tiles, scales and zero points once per group, a codebook of 16 values.
#[derive(Clone, Debug)]
pub struct W4 {
    format: Format,
    shape: MatShape,
    tiles: Tiles,
    order: ScaleOrder,
    codebook: [f32; 16],
    codes: DeviceBuffer,
    scales: DeviceScales,
    zeros: Option<DeviceBuffer>,
}

#[derive(Clone, Debug)]
enum DeviceScales {
    F32(DeviceBuffer),
    Nested { codes: DeviceBuffer, absmax: DeviceBuffer, map: DeviceBuffer, offset: f32 },
}

impl W4 {
    /// Brings `matrix` into the order of the kernels and copies it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless its codes have 4 bits and its sides fit 32; [`Error::TooLarge`] when the padded codes do
    /// not fit the address space; out of memory.
    pub fn upload(device: &CudaDevice, matrix: &QuantMatrix) -> Result<Self> {
        let (format, shape) = (matrix.format(), matrix.shape());
        let unsupported = |rule: String| Error::Unsupported {
            op: "uploading",
            subject: format!("{format} {shape}"),
            device: device.name().into(),
            rule,
        };
        let codebook = codebook(format).ok_or_else(|| unsupported("a 4-bit matrix has 4-bit codes".into()))?;
        if shape.n().max(shape.k()) > MAX_SIDE {
            return Err(unsupported(format!("N and K must be at most {MAX_SIDE}")));
        }
        let tiles = Tiles::new(shape)?;
        let order = ScaleOrder::new(format, tiles);
        let zeros = matrix.zero_points().map(|zeros| order.pack(format, tiles, zeros));
        Ok(Self {
            format,
            shape,
            tiles,
            order,
            codebook,
            codes: DeviceBuffer::upload(device, &mma_w4::pack(tiles, matrix.codes()))?,
            scales: DeviceScales::upload(device, matrix, order, tiles)?,
            zeros: zeros.map(|zeros| DeviceBuffer::upload(device, &zeros)).transpose()?,
        })
    }

    /// What the codes mean.
    pub fn format(&self) -> Format {
        self.format
    }

    /// N by K.
    pub fn shape(&self) -> MatShape {
        self.shape
    }

    /// Its tiles of codes.
    pub fn tiles(&self) -> Tiles {
        self.tiles
    }

    /// The order of its scales.
    pub fn order(&self) -> ScaleOrder {
        self.order
    }

    /// Whether its scales are double-quantized.
    pub fn is_nested(&self) -> bool {
        matches!(self.scales, DeviceScales::Nested { .. })
    }

    /// Whether each scale has a zero point beside it.
    pub fn has_zeros(&self) -> bool {
        self.zeros.is_some()
    }

    /// Why matrix instructions cannot be fed from it; `None` when they can.
    pub fn fragment_rule(&self) -> Option<String> {
        let shape = self.shape;
        let groups = match self.order {
            ScaleOrder::Tiled { groups, .. } => groups,
            ScaleOrder::Flat { group_len, .. } => {
                return Some(format!(
                    "groups of {group_len} must be 32 or a multiple of 64 and must not run across the rows of {shape}"
                ));
            }
        };
        if shape.k() > MAX_MAGIC_K {
            return Some(format!("K = {} must be at most {MAX_MAGIC_K}", shape.k()));
        }
        let num_scales = self.tiles.row_tiles() * groups * TILE_ROWS;
        let rule = || format!("{num_scales} scales, those of padding included, must be fewer than 2^32");
        u32::try_from(num_scales).is_err().then(rule)
    }

    /// Bytes of device memory.
    pub fn memory_bytes(&self) -> usize {
        let scales = match &self.scales {
            DeviceScales::F32(scales) => scales.bytes(),
            DeviceScales::Nested { codes, absmax, map, .. } => codes.bytes() + absmax.bytes() + map.bytes(),
        };
        self.codes.bytes() + scales + self.zeros.as_ref().map_or(0, DeviceBuffer::bytes)
    }

    /// What kernels are told of it.
    pub(super) fn args(&self) -> W4Args {
        let geometry = Geometry::new(self.format, self.shape, self.order);
        let mut args = W4Args {
            codes: self.codes.ptr(),
            scales: 0,
            nested_codes: 0,
            nested_absmax: 0,
            nested_map: 0,
            zeros: self.zeros.as_ref().map_or(0, DeviceBuffer::ptr),
            row_values: geometry.row_values,
            num_scales: self.format.num_scales(self.shape) as u64,
            n: self.shape.n() as u32,
            k: self.shape.k() as u32,
            row_tiles: self.tiles.row_tiles() as u32,
            k_tiles: self.tiles.k_tiles() as u32,
            group_len: geometry.group_len,
            groups: geometry.groups,
            row_groups: geometry.row_groups,
            group_magic: geometry.group_magic,
            nested_offset: 0.0,
            zero_shift: INT4_ZERO,
            codebook: self.codebook,
        };
        match &self.scales {
            DeviceScales::F32(scales) => args.scales = scales.ptr(),
            DeviceScales::Nested { codes, absmax, map, offset } => {
                (args.nested_codes, args.nested_absmax, args.nested_map) = (codes.ptr(), absmax.ptr(), map.ptr());
                args.nested_offset = *offset;
            }
        }
        args
    }
}

impl DeviceScales {
    fn upload(device: &CudaDevice, matrix: &QuantMatrix, order: ScaleOrder, tiles: Tiles) -> Result<Self> {
        let floats = |values: &[f32]| DeviceBuffer::upload(device, bytemuck::cast_slice(values));
        match matrix.scales() {
            Scales::F32(scales) => Ok(Self::F32(floats(&order.pack(matrix.format(), tiles, scales))?)),
            Scales::Nested(nested) => Ok(Self::Nested {
                codes: DeviceBuffer::upload(device, &order.pack(matrix.format(), tiles, &nested.codes))?,
                // One more: an odd number of groups of 32 in a row has another in its last tile, which is read, times zeros of x.
                absmax: floats(&[&nested.absmax[..], &[0.0]].concat())?,
                map: floats(&nested.map[..])?,
                offset: nested.offset,
            }),
        }
    }
}

/// The codebook of a 4-bit format. That of INT4 has the fixed zero point taken off, so that symmetric codes need none and
/// others a small one.
fn codebook(format: Format) -> Option<[f32; 16]> {
    let codebook = format.codebook()?;
    Some(if matches!(format, Format::Int4 { .. }) { codebook.map(|code| code - INT4_ZERO) } else { codebook })
}

/// The numbers by which kernels find scales; see `W4Args`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Geometry {
    row_values: u64,
    group_len: u32,
    groups: u32,
    row_groups: u32,
    group_magic: u32,
}

impl Geometry {
    fn new(format: Format, shape: MatShape, order: ScaleOrder) -> Self {
        match order {
            ScaleOrder::Flat { group_len, row_values } => {
                // A group size may exceed the sides of the matrix, but then its scales are tiled.
                Self { row_values: row_values as u64, group_len: group_len as u32, ..Self::default() }
            }
            ScaleOrder::Tiled { group_len, groups } => Self {
                row_values: 0,
                group_len: group_len as u32,
                groups: groups as u32,
                row_groups: (format.num_scales(shape) / shape.n()).max(1) as u32,
                group_magic: group_magic(group_len),
            },
        }
    }
}

/// `(2 t * magic) >> 32 == t / (group_len / 64)` for all tiles t of a K up to [`MAX_MAGIC_K`]; 0 for groups of 32.
fn group_magic(group_len: usize) -> u32 {
    let half_tiles = group_len / (TILE_COLS / 2);
    if half_tiles < 2 { 0 } else { ((1u64 << 32) / half_tiles as u64 + 1) as u32 }
}

/// The largest K for which [`group_magic`] is exact: with n = 2 t and d the half tiles of a group, the error of the magic
/// number is at most d / 2^32, so the quotient is right while n d < 2^32; both are below 2^16.
pub(super) const MAX_MAGIC_K: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_magic_number_divides() {
        let half_tiles = MAX_MAGIC_K / 32;
        for tiles_per_group in (1..200).chain([255, 256, 1000, half_tiles / 4, half_tiles / 2 - 1, half_tiles / 2]) {
            let magic = group_magic(64 * tiles_per_group);
            for tile in 0..half_tiles / 2 {
                let group = (2 * tile as u64 * u64::from(magic)) >> 32;
                assert_eq!(group as usize, tile / tiles_per_group, "{tiles_per_group} tiles a group");
            }
        }
    }

    #[test]
    fn int4_has_its_fixed_zero_point_in_the_codebook() {
        use crate::Int4;
        use crate::Recipe;
        let format = Recipe::from(Int4::default()).format;
        assert_eq!(codebook(format).unwrap()[0], -8.0);
        assert_eq!(codebook(format).unwrap()[15], 7.0);
        assert_eq!(codebook(Recipe::from(crate::Int8::default()).format), None);
    }
}
