//! [`W8`]: a matrix in an 8-bit format in device memory, as it is stored or in tiles.

use crate::cuda::CudaDevice;
use crate::cuda::DeviceBuffer;
use crate::cuda::args::DivisorArgs;
use crate::cuda::args::W8Args;
use crate::error::Error;
use crate::error::Result;
use crate::formats::Format;
use crate::formats::QuantMatrix;
use crate::layout::wgmma_w8;
use crate::layout::wgmma_w8::RowOrder;
use crate::layout::wgmma_w8::Tiles;
use crate::shape::Granularity;
use crate::shape::MatShape;

/// How 8-bit codes lie in device memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeOrder {
    /// Row after row.
    Rows,
    /// The layout [`wgmma_w8`], which the kernels of sm_90a multiply; on devices of compute capability 9.0.
    Tiles,
}

impl CodeOrder {
    /// Refuses tiles where the kernels that read and write them are not made for the device.
    pub(super) fn check(self, device: &CudaDevice) -> Result<()> {
        if self == Self::Rows || device.limits().has_wgmma() {
            return Ok(());
        }
        Err(Error::Unsupported {
            op: "multiplying by codes",
            subject: "codes in tiles".into(),
            device: device.name().into(),
            rule: "compute capability 9.0 alone has wgmma".into(),
        })
    }

    /// Eights of `rows` rows in tiles; 0 in rows.
    pub(super) fn row_atoms(self, rows: usize) -> usize {
        match self {
            Self::Rows => 0,
            Self::Tiles => rows.div_ceil(wgmma_w8::ATOM_ROWS),
        }
    }
}

/// INT8, affine INT8 or the dynamic 8-bit map: codes [N, K], one byte each, with scales per tensor, row, group or block of the
/// flattened matrix.
#[derive(Clone, Debug)]
pub struct W8 {
    format: Format,
    shape: MatShape,
    tiles: Option<Tiles>,
    codes: DeviceBuffer,
    scales: DeviceBuffer,
    zero_points: Option<DeviceBuffer>,
    map: Option<DeviceBuffer>,
}

impl W8 {
    /// Copies the arrays of `matrix`, its codes in `order`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless its codes have 8 bits, and for tiles on a device without wgmma; [`Error::TooLarge`] when
    /// tiles exceed the address space; out of memory.
    pub fn upload(device: &CudaDevice, matrix: &QuantMatrix, order: CodeOrder) -> Result<Self> {
        let format = matrix.format();
        if format.code_bits() != 8 {
            return Err(Error::Unsupported {
                op: "uploading",
                subject: format.to_string(),
                device: device.name().into(),
                rule: "an 8-bit matrix has 8-bit codes".into(),
            });
        }
        let floats = |values: &[f32]| DeviceBuffer::upload(device, bytemuck::cast_slice(values));
        order.check(device)?;
        let is_dynamic = matches!(format, Format::Dynamic8 { .. });
        let shape = matrix.shape();
        let tiles = match order {
            CodeOrder::Rows => None,
            CodeOrder::Tiles => Some(Tiles::new(RowOrder::Paired, shape.n(), shape.k())?),
        };
        Ok(Self {
            format,
            shape,
            tiles,
            codes: match tiles {
                None => DeviceBuffer::upload(device, matrix.codes())?,
                Some(tiles) => DeviceBuffer::upload(device, &wgmma_w8::pack(tiles, matrix.codes()))?,
            },
            scales: floats(&matrix.scales().to_f32())?,
            zero_points: matrix.zero_points().map(|points| DeviceBuffer::upload(device, points)).transpose()?,
            map: is_dynamic.then(|| floats(matrix.map())).transpose()?,
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

    /// How the codes lie.
    pub fn order(&self) -> CodeOrder {
        if self.tiles.is_some() { CodeOrder::Tiles } else { CodeOrder::Rows }
    }

    /// Eights of rows of the codes in tiles; 0 in rows.
    pub(super) fn row_atoms(&self) -> usize {
        self.tiles.map_or(0, Tiles::row_atoms)
    }

    /// One byte each, [N, K] in [`W8::order`]: two's complement for [`Format::Int8`], unsigned otherwise.
    pub fn codes(&self) -> &DeviceBuffer {
        &self.codes
    }

    /// f32, one per tensor, row, group or block.
    pub fn scales(&self) -> &DeviceBuffer {
        &self.scales
    }

    /// u8, one per scale, for [`Symmetry::Asymmetric`](crate::formats::Symmetry::Asymmetric).
    pub fn zero_points(&self) -> Option<&DeviceBuffer> {
        self.zero_points.as_ref()
    }

    /// Bytes of device memory.
    pub fn memory_bytes(&self) -> usize {
        let optional = [&self.zero_points, &self.map].into_iter().flatten().map(DeviceBuffer::bytes).sum::<usize>();
        self.codes.bytes() + self.scales.bytes() + optional
    }

    /// What kernels are told of it.
    pub(super) fn args(&self) -> W8Args {
        let ScaleRows { row_len, groups_per_row, group } = ScaleRows::new(self.format, self.shape);
        let address = |buffer: &Option<DeviceBuffer>| buffer.as_ref().map_or(0, DeviceBuffer::ptr);
        W8Args {
            codes: self.codes.ptr(),
            scales: self.scales.ptr(),
            zero_points: address(&self.zero_points),
            map: address(&self.map),
            row_len: DivisorArgs::new(row_len),
            group: DivisorArgs::new(group),
            cols: DivisorArgs::new(self.shape.k() as u64),
            groups_per_row,
            row_atoms: self.row_atoms() as u64,
            zero_point: self.format.fixed_zero_point().unwrap_or(0).into(),
            is_affine: matches!(self.format, Format::AffineInt8 { .. }).into(),
        }
    }
}

/// Where the scale of value i of the flattened matrix is: `(i / row_len) * groups_per_row + (i % row_len) / group`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ScaleRows {
    row_len: u64,
    groups_per_row: u64,
    group: u64,
}

impl ScaleRows {
    fn new(format: Format, shape: MatShape) -> Self {
        // Where groups do not end short at a row's end, rows do not matter, and one division finds the scale.
        let flat = |values: usize| Self { row_len: values as u64, groups_per_row: 1, group: values as u64 };
        match (format.flat_block(), format.granularity()) {
            (Some(block), _) => flat(block.get()),
            (None, None | Some(Granularity::PerTensor)) => flat(shape.num_values()),
            (None, Some(granularity)) => {
                let group = granularity.group_len(shape);
                if shape.k().is_multiple_of(group) {
                    return flat(group);
                }
                let groups_per_row = granularity.groups_per_row(shape) as u64;
                Self { row_len: shape.k() as u64, groups_per_row, group: group as u64 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::Symmetry;
    use crate::shape::BlockSize;
    use crate::shape::GroupSize;

    #[test]
    fn every_value_finds_the_scale_that_its_format_names() {
        let affine = |granularity| Format::AffineInt8 { granularity, symmetry: Symmetry::Asymmetric };
        let groups = |size| Granularity::PerGroup(GroupSize::new(size).unwrap());
        let mut formats = vec![Format::Dynamic8 { block_size: BlockSize::B32 }];
        for granularity in [Granularity::PerTensor, Granularity::PerRow, groups(1), groups(5), groups(7), groups(1000)]
        {
            formats.extend([Format::Int8 { granularity }, affine(granularity)]);
        }
        for (n, k) in [(1, 1), (3, 35), (5, 64), (2, 1001)] {
            let shape = MatShape::new(n, k).unwrap();
            for &format in &formats {
                let rows = ScaleRows::new(format, shape);
                for i in 0..shape.num_values() as u64 {
                    let found = i / rows.row_len * rows.groups_per_row + i % rows.row_len / rows.group;
                    let (row, col) = (i as usize / k, i as usize % k);
                    assert_eq!(found as usize, format.scale_index(shape, row, col), "{format} {shape} at {i}");
                }
            }
        }
    }
}
