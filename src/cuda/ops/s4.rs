//! [`S4`]: a symmetric INT4 matrix in device memory, for the 4-bit matrix instructions.

use crate::cuda::CudaDevice;
use crate::cuda::DeviceBuffer;
use crate::error::Error;
use crate::error::Result;
use crate::formats::Format;
use crate::formats::QuantMatrix;
use crate::formats::Symmetry;
use crate::formats::integer;
use crate::layout::s4_rows;
use crate::shape::Granularity;
use crate::shape::MatShape;

/// Columns of K that share a scale where scales are per group: those of a stage of the kernel.
pub const GROUP_COLUMNS: usize = 128;

/// Scales of one group of K lie together, for so many rows of W: the columns of the kernel's largest tile.
const SCALE_ALIGNMENT: usize = 128;

/// A symmetric INT4 matrix with a scale per tensor, per row, or per group of a multiple of 128 columns: codes in the layout
/// [`s4_rows`], scales transposed.
#[derive(Clone, Debug)]
pub struct S4 {
    format: Format,
    shape: MatShape,
    codes: DeviceBuffer,
    scales: DeviceBuffer,
}

/// Why a matrix of `format` and `shape` cannot be an [`S4`]; `None` when it can.
pub fn rule(format: Format, shape: MatShape) -> Option<String> {
    let Format::Int4 { granularity, symmetry: Symmetry::Symmetric } = format else {
        return Some("4-bit matrix instructions take symmetric int4".into());
    };
    match granularity {
        Granularity::PerGroup(size) if !size.get().is_multiple_of(GROUP_COLUMNS) && size.get() < shape.k() => {
            Some(format!("groups of {} must be a multiple of {GROUP_COLUMNS}", size.get()))
        }
        Granularity::PerGroup(_) => None,
        Granularity::PerRow | Granularity::PerTensor => {
            let most = largest_k();
            (shape.k() > most).then(|| format!("K = {} is above {most}, where sums in 32 bits may overflow", shape.k()))
        }
    }
}

/// The largest K whose sum of products of codes -8 ..= 7 with codes -7 ..= 7 fits 32 bits.
fn largest_k() -> usize {
    (1 << 31) / (8 * 7)
}

impl S4 {
    /// Brings `matrix` into the order of the kernels and copies it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when there is a [`rule`] against it; out of memory.
    pub fn upload(device: &CudaDevice, matrix: &QuantMatrix) -> Result<Self> {
        let (format, shape) = (matrix.format(), matrix.shape());
        if let Some(rule) = rule(format, shape) {
            let (subject, device) = (format!("{format} {shape}"), device.name().into());
            return Err(Error::Unsupported { op: "uploading", subject, device, rule });
        }
        let codes = s4_rows::pack(shape, matrix.codes());
        let scales = pack_scales(format, shape, &matrix.scales().to_f32());
        Ok(Self {
            format,
            shape,
            codes: DeviceBuffer::upload(device, &codes)?,
            scales: DeviceBuffer::upload(device, bytemuck::cast_slice(&scales))?,
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

    /// Whether there is a scale for each [`GROUP_COLUMNS`] of K, and not one for all.
    pub fn is_grouped(&self) -> bool {
        integer::is_grouped(self.format)
    }

    /// In the layout [`s4_rows`].
    pub fn codes(&self) -> &DeviceBuffer {
        &self.codes
    }

    /// f32 [parts, N rounded up to 128], zeros beyond N: one part, or one for each [`GROUP_COLUMNS`] of K.
    pub fn scales(&self) -> &DeviceBuffer {
        &self.scales
    }

    /// Bytes of device memory.
    pub fn memory_bytes(&self) -> usize {
        self.codes.bytes() + self.scales.bytes()
    }
}

/// The scales in the order of [`S4::scales`]: that of a longer group, a row or the tensor is repeated.
fn pack_scales(format: Format, shape: MatShape, scales: &[f32]) -> Vec<f32> {
    let parts = if integer::is_grouped(format) { shape.k().div_ceil(GROUP_COLUMNS) } else { 1 };
    let part_len = shape.n().next_multiple_of(SCALE_ALIGNMENT);
    let mut packed = vec![0.0; parts * part_len];
    for (part, packed) in packed.chunks_exact_mut(part_len).enumerate() {
        for (row, scale) in packed.iter_mut().enumerate().take(shape.n()) {
            *scale = scales[format.scale_index(shape, row, part * GROUP_COLUMNS)];
        }
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::GroupSize;

    fn int4(granularity: Granularity) -> Format {
        Format::Int4 { granularity, symmetry: Symmetry::Symmetric }
    }

    fn group(size: usize) -> Granularity {
        Granularity::PerGroup(GroupSize::new(size).unwrap())
    }

    #[test]
    fn groups_are_whole_stages_or_the_whole_row() {
        let rule = |format, n, k| rule(format, MatShape::new(n, k).unwrap());
        for granularity in [Granularity::PerRow, Granularity::PerTensor, group(128), group(384)] {
            assert_eq!(rule(int4(granularity), 3, 1000), None, "{granularity}");
        }
        assert_eq!(rule(int4(group(64)), 3, 64), None);
        assert!(rule(int4(group(64)), 3, 65).unwrap().contains("64 must be a multiple of 128"));
        assert!(rule(int4(group(192)), 3, 1000).unwrap().contains("192"));
        let asymmetric = Format::Int4 { granularity: Granularity::PerRow, symmetry: Symmetry::Asymmetric };
        assert!(rule(asymmetric, 3, 64).unwrap().contains("symmetric"));
        assert!(rule(Format::Int8 { granularity: Granularity::PerRow }, 3, 64).is_some());
    }

    /// 38,347,922 products of -8 and 7 are -2^31 and 16 more than it; another 56 would be below.
    #[test]
    fn sums_fit_up_to_the_largest_k() {
        let k = largest_k();
        assert!(i32::try_from(k as i64 * -56).is_ok() && i32::try_from((k as i64 + 1) * -56).is_err());
        let rule = |granularity, k| rule(int4(granularity), MatShape::new(1, k).unwrap());
        assert_eq!(rule(Granularity::PerRow, k), None);
        assert!(rule(Granularity::PerTensor, k + 1).unwrap().contains("38347923 is above 38347922"));
        assert_eq!(rule(group(128), k + 1), None);
    }

    #[test]
    fn scales_of_a_part_of_k_lie_together() {
        let shape = MatShape::new(3, 300).unwrap();
        let scales: Vec<f32> = (0..6).map(|i| i as f32 + 1.0).collect();
        let packed = pack_scales(int4(group(256)), shape, &scales);
        let expected = [[1.0, 3.0, 5.0, 0.0], [1.0, 3.0, 5.0, 0.0], [2.0, 4.0, 6.0, 0.0]];
        assert_eq!(packed.len(), 3 * 128);
        for (part, expected) in packed.chunks(128).zip(expected) {
            assert_eq!(part[..4], expected);
        }
        assert_eq!(pack_scales(int4(Granularity::PerRow), shape, &scales)[..4], [1.0, 2.0, 3.0, 0.0]);
        assert_eq!(pack_scales(int4(Granularity::PerTensor), shape, &[7.0])[..4], [7.0, 7.0, 7.0, 0.0]);
    }
}
