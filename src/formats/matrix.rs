//! [`QuantMatrix`]: a quantized weight matrix that cannot exist with wrong lengths.

use crate::error::Error;
use crate::error::Result;
use crate::formats::AbsmaxKind;
use crate::formats::Format;
use crate::formats::GroupSteps;
use crate::formats::NestedAbsmax;
use crate::formats::Scales;
use crate::formats::affine;
use crate::formats::int4_channel_group;
use crate::formats::int8;
use crate::formats::nibbles;
use crate::formats::tables;
use crate::shape::MatShape;
use crate::values::Dtype;

/// The arrays of a quantized matrix, as a user or a file hands them over; [`QuantMatrix::from_parts`] checks them.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// The codes: [`nibbles`] order for 4 bits, one byte each for 8 bits (two's complement for [`Format::Int8`]).
    pub codes: Vec<u8>,
    /// One scale per block, group, row or tensor.
    pub scales: Scales,
    /// One zero point per scale, for asymmetric formats.
    pub zero_points: Option<Vec<u8>>,
    /// The values of the codes of [`Format::Dynamic8`]; `None` means [`tables::DYNAMIC_MAP`].
    pub map: Option<Box<[f32; 256]>>,
    /// The multipliers and offsets of [`Format::Int4ChannelGroup`].
    pub steps: Option<GroupSteps>,
}

impl Parts {
    /// Codes and f32 scales: all that most formats need.
    pub fn new(codes: Vec<u8>, scales: Vec<f32>) -> Self {
        Self { codes, scales: Scales::F32(scales), zero_points: None, map: None, steps: None }
    }
}

/// A quantized weight matrix W of N out-features by K in-features: codes, scales, and what they mean.
///
/// Immutable. Its arrays have the lengths that format and shape demand, its scales are finite, its zero points are codes.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantMatrix {
    format: Format,
    shape: MatShape,
    dtype: Dtype,
    parts: Parts,
}

impl QuantMatrix {
    /// Checks `parts` against `format` and `shape`.
    ///
    /// `dtype` is the type of the weights before quantization: what bitsandbytes records and dequantizes to.
    ///
    /// # Errors
    /// [`Error::Length`] when an array has the wrong length, [`Error::NonFinite`] when a scale or map value is not finite,
    /// [`Error::Invalid`] when an array is missing, superfluous, or a zero point is not a code, or a group of
    /// [`Format::Int4ChannelGroup`] exceeds a byte.
    pub fn from_parts(format: Format, shape: MatShape, dtype: Dtype, parts: Parts) -> Result<Self> {
        let rule = || format!("{format}, shape {shape}");
        check_len("codes", format.num_code_bytes(shape), parts.codes.len(), rule)?;
        let num_scales = format.num_scales(shape);
        check_len("absmax", num_scales, parts.scales.len(), rule)?;
        check_scales(format, &parts.scales)?;
        check_zero_points(format, num_scales, parts.zero_points.as_deref())?;
        check_steps(format, shape, parts.steps.as_ref())?;
        if let Some(map) = &parts.map {
            if !matches!(format, Format::Dynamic8 { .. }) {
                return Err(invalid("map", "present", "only dynamic8 has a 256-entry map of its own"));
            }
            check_finite("map", &map[..])?;
        }
        Ok(Self { format, shape, dtype, parts })
    }

    /// What the codes mean.
    pub fn format(&self) -> Format {
        self.format
    }

    /// N by K.
    pub fn shape(&self) -> MatShape {
        self.shape
    }

    /// The type of the weights it was made from.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The codes, packed as [`Parts::codes`] says.
    pub fn codes(&self) -> &[u8] {
        &self.parts.codes
    }

    /// The codes of [`Format::Int8`] as signed numbers.
    pub fn codes_i8(&self) -> &[i8] {
        bytemuck::cast_slice(&self.parts.codes)
    }

    /// The scales.
    pub fn scales(&self) -> &Scales {
        &self.parts.scales
    }

    /// The zero points, where the format stores them.
    pub fn zero_points(&self) -> Option<&[u8]> {
        self.parts.zero_points.as_deref()
    }

    /// The zero point of scale `scale_index`: stored, or the one the format fixes; 0 for formats without.
    ///
    /// # Panics
    /// When the index is out of range.
    pub fn zero_point(&self, scale_index: usize) -> u8 {
        match &self.parts.zero_points {
            Some(points) => points[scale_index],
            None => self.format.fixed_zero_point().unwrap_or(0),
        }
    }

    /// The multipliers and offsets of [`Format::Int4ChannelGroup`].
    pub fn steps(&self) -> Option<&GroupSteps> {
        self.parts.steps.as_ref()
    }

    /// The values of the codes of [`Format::Dynamic8`].
    pub fn map(&self) -> &[f32; 256] {
        self.parts.map.as_deref().unwrap_or(&tables::DYNAMIC_MAP)
    }

    /// Takes the arrays back.
    pub fn into_parts(self) -> Parts {
        self.parts
    }

    /// The value at (`row`, `col`), exactly as the format's owner computes it in f32. Slow: this is the definition.
    ///
    /// # Panics
    /// When the position is outside the matrix.
    pub fn value(&self, row: usize, col: usize) -> f32 {
        assert!(col < self.shape.k(), "column {col} of a matrix {}", self.shape);
        let index = row * self.shape.k() + col;
        let scale_index = self.format.scale_index(self.shape, row, col);
        let scale = self.parts.scales.get(scale_index);
        let codes = &self.parts.codes;
        match self.format {
            Format::Nf4 { .. } => tables::NF4[usize::from(nibbles::get(codes, index))] * scale,
            Format::Fp4 { .. } => tables::FP4[usize::from(nibbles::get(codes, index))] * scale,
            Format::Dynamic8 { .. } => self.map()[usize::from(codes[index])] * scale,
            Format::Int8 { .. } => int8::value(codes[index] as i8, scale),
            Format::Int4 { .. } => affine::value(nibbles::get(codes, index), self.zero_point(scale_index), scale),
            Format::AffineInt8 { .. } => affine::value(codes[index], self.zero_point(scale_index), scale),
            Format::Int4ChannelGroup => self.int8(row, col) as f32 * scale,
        }
    }

    /// The int8 value at (`row`, `col`) of [`Format::Int4ChannelGroup`], before the scale of the row.
    ///
    /// # Panics
    /// When the position is outside the matrix, or the format is another.
    pub fn int8(&self, row: usize, col: usize) -> i32 {
        let steps = self.parts.steps.as_ref().expect("int4_channel_group");
        let group = row * int4_channel_group::groups_per_row(self.shape) + col / int4_channel_group::GROUP;
        steps.int8(group, nibbles::get(&self.parts.codes, row * self.shape.k() + col))
    }

    /// Bytes of codes, scales, zero points, multipliers and offsets. Codebooks, the same in every matrix, are not counted.
    pub fn storage_bytes(&self) -> usize {
        let zero_points = self.parts.zero_points.as_ref().map_or(0, Vec::len);
        let steps = self.parts.steps.as_ref().map_or(0, |steps| steps.multipliers.len() + steps.offsets.len());
        self.parts.codes.len() + self.parts.scales.storage_bytes() + zero_points + steps
    }

    /// [`QuantMatrix::storage_bytes`] in bits per weight.
    pub fn bits_per_weight(&self) -> f64 {
        self.storage_bytes() as f64 * 8.0 / self.shape.num_values() as f64
    }
}

fn check_len(what: &'static str, expected: usize, found: usize, rule: impl Fn() -> String) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Length { what, expected, found, rule: rule() }) }
}

fn invalid(what: &'static str, value: impl ToString, rule: &'static str) -> Error {
    Error::Invalid { what, value: value.to_string(), rule }
}

fn check_finite(what: &'static str, values: &[f32]) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(index) => Err(Error::NonFinite { what, index, value: values[index] }),
    }
}

fn check_scales(format: Format, scales: &Scales) -> Result<()> {
    let nested_format = matches!(
        format,
        Format::Nf4 { absmax: AbsmaxKind::Nested, .. } | Format::Fp4 { absmax: AbsmaxKind::Nested, .. }
    );
    match scales {
        Scales::F32(_) if nested_format => Err(invalid("absmax", "f32", "the format says double quantization")),
        Scales::Nested(_) if !nested_format => Err(invalid("absmax", "8-bit", "the format says f32 absmax")),
        Scales::F32(values) => check_finite("absmax", values),
        Scales::Nested(nested) => {
            let expected = nested.codes.len().div_ceil(NestedAbsmax::BLOCK_SIZE.get());
            let rule = || format!("one per 256 of {} absmax values", nested.codes.len());
            check_len("nested_absmax", expected, nested.absmax.len(), rule)?;
            check_finite("nested_absmax", &nested.absmax)?;
            check_finite("nested_offset", &[nested.offset])?;
            check_finite("nested_quant_map", &nested.map[..])
        }
    }
}

fn check_zero_points(format: Format, num_scales: usize, zero_points: Option<&[u8]>) -> Result<()> {
    match (format.has_zero_points(), zero_points) {
        (false, None) => Ok(()),
        (false, Some(_)) => Err(invalid("zero points", "present", "a symmetric format has none")),
        (true, None) => Err(invalid("zero points", "missing", "an asymmetric format has one per scale")),
        (true, Some(points)) => {
            check_len("zero points", num_scales, points.len(), || "one per scale".into())?;
            match points.iter().find(|&&p| format.code_bits() == 4 && p > 15) {
                Some(point) => Err(invalid("zero point", point, "must be a 4-bit code, 0 to 15")),
                None => Ok(()),
            }
        }
    }
}

fn check_steps(format: Format, shape: MatShape, steps: Option<&GroupSteps>) -> Result<()> {
    match (format, steps) {
        (Format::Int4ChannelGroup, None) => {
            Err(invalid("multipliers", "missing", "int4_channel_group has a multiplier and an offset per group"))
        }
        (Format::Int4ChannelGroup, Some(GroupSteps { multipliers, offsets })) => {
            let expected = shape.n() * int4_channel_group::groups_per_row(shape);
            check_len("multipliers", expected, multipliers.len(), || "one per group of 64".into())?;
            check_len("offsets", expected, offsets.len(), || "one per group of 64".into())?;
            match multipliers.iter().zip(offsets).find(|&(&m, &o)| !int4_channel_group::fits(m, o)) {
                Some((multiplier, offset)) => {
                    let value = format!("{multiplier} with offset {offset}");
                    Err(invalid("multiplier", value, "15 * multiplier + offset must be at most 255"))
                }
                None => Ok(()),
            }
        }
        (_, Some(_)) => Err(invalid("multipliers", "present", "only int4_channel_group has them")),
        (_, None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::Symmetry;
    use crate::shape::BlockSize;
    use crate::shape::Granularity;

    fn nf4(absmax: AbsmaxKind) -> Format {
        Format::Nf4 { block_size: BlockSize::B64, absmax }
    }

    #[test]
    fn wrong_lengths_and_companions_are_refused() {
        let shape = MatShape::new(3, 43).unwrap(); // 129 values: 65 bytes, 3 blocks
        let make = |format, parts| QuantMatrix::from_parts(format, shape, Dtype::F32, parts);
        let plain = nf4(AbsmaxKind::F32);
        assert!(make(plain, Parts::new(vec![0; 65], vec![1.0; 3])).is_ok());
        let short = make(plain, Parts::new(vec![0; 64], vec![1.0; 3])).unwrap_err();
        assert_eq!(short.to_string(), "codes has 64 elements, expected 65 (nf4 block 64, shape [3, 43])");
        assert!(matches!(make(plain, Parts::new(vec![0; 65], vec![1.0; 2])), Err(Error::Length { .. })));
        let nan = make(plain, Parts::new(vec![0; 65], vec![1.0, f32::NAN, 1.0]));
        assert!(matches!(nan, Err(Error::NonFinite { index: 1, .. })));
        let missing_nested = make(nf4(AbsmaxKind::Nested), Parts::new(vec![0; 65], vec![1.0; 3]));
        assert!(matches!(missing_nested, Err(Error::Invalid { what: "absmax", .. })));

        let rows = Format::Int4 { granularity: Granularity::PerRow, symmetry: Symmetry::Asymmetric };
        let mut parts = Parts::new(vec![0; 65], vec![1.0; 3]);
        assert!(make(rows, parts.clone()).is_err(), "zero points are missing");
        parts.zero_points = Some(vec![0, 16, 0]);
        assert!(make(rows, parts.clone()).is_err(), "16 is not a 4-bit code");
        parts.zero_points = Some(vec![0, 15, 0]);
        assert!(make(rows, parts.clone()).is_ok());
        assert!(make(plain, parts).is_err(), "nf4 has no zero points");
    }

    #[test]
    fn groups_that_exceed_a_byte_and_wrong_steps_are_refused() {
        let shape = MatShape::new(2, 65).unwrap(); // 130 values, 2 groups a row
        let make = |format, steps: Option<(Vec<u8>, Vec<u8>)>| {
            let mut parts = Parts::new(vec![0xff; 65], vec![1.0; 2]);
            parts.steps = steps.map(|(multipliers, offsets)| GroupSteps { multipliers, offsets });
            QuantMatrix::from_parts(format, shape, Dtype::F32, parts).map_err(|e| e.to_string())
        };
        let format = Format::Int4ChannelGroup;
        let matrix = make(format, Some((vec![0, 1, 16, 17], vec![255, 240, 15, 0]))).unwrap();
        let places = [(0, 63), (0, 64), (1, 0), (1, 64)];
        assert_eq!(places.map(|(row, col)| matrix.int8(row, col)), [127; 4]);
        assert_eq!(matrix.value(0, 63), 127.0);
        let above = make(format, Some((vec![0, 1, 16, 17], vec![255, 240, 16, 0]))).unwrap_err();
        assert_eq!(above, "multiplier = 16 with offset 16: 15 * multiplier + offset must be at most 255");
        assert!(make(format, Some((vec![18, 0, 0, 0], vec![0; 4]))).is_err());
        assert!(make(format, Some((vec![0; 3], vec![0; 4]))).unwrap_err().contains("multipliers has 3"));
        assert!(make(format, Some((vec![0; 4], vec![0; 5]))).unwrap_err().contains("offsets has 5"));
        assert!(make(format, None).unwrap_err().contains("missing"));
        let int4 = Format::Int4 { granularity: Granularity::PerRow, symmetry: Symmetry::Symmetric };
        assert!(make(int4, Some((vec![0; 4], vec![0; 4]))).unwrap_err().contains("only int4_channel_group"));
    }
}
