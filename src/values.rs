//! Floating-point element types, and slices of them whose type is known at run time.

use std::fmt;
use std::ops::Range;

pub use half::bf16;
pub use half::f16;

/// The type of unquantized values: weights before quantization, activations, results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16: the upper half of a binary32.
    Bf16,
}

impl Dtype {
    /// Bytes per value.
    pub fn size_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// The name PyTorch gives it, without `torch.`.
    pub fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        })
    }
}

/// A floating-point element type: `f32`, [`struct@f16`] or [`struct@bf16`].
pub trait Element: Copy + Default + Send + Sync + bytemuck::Pod + 'static {
    /// Its run-time name.
    const DTYPE: Dtype;
    /// Widens, exactly.
    fn to_f32(self) -> f32;
    /// Rounds to nearest, ties to even.
    fn from_f32(value: f32) -> Self;
    /// The slice with its type made a run-time fact.
    fn values(slice: &[Self]) -> Values<'_>;
    /// The mutable slice with its type made a run-time fact.
    fn values_mut(slice: &mut [Self]) -> ValuesMut<'_>;
}

macro_rules! element {
    ($type:ty, $case:ident, $to:expr, $from:expr) => {
        impl Element for $type {
            const DTYPE: Dtype = Dtype::$case;
            #[inline(always)]
            fn to_f32(self) -> f32 {
                $to(self)
            }
            #[inline(always)]
            fn from_f32(value: f32) -> Self {
                $from(value)
            }
            fn values(slice: &[Self]) -> Values<'_> {
                Values::$case(slice)
            }
            fn values_mut(slice: &mut [Self]) -> ValuesMut<'_> {
                ValuesMut::$case(slice)
            }
        }
    };
}
element!(f32, F32, std::convert::identity, std::convert::identity);
element!(f16, F16, f16::to_f32, f16::from_f32);
element!(bf16, Bf16, bf16::to_f32, bf16::from_f32);

/// Runs `$body` with `$slice` bound to the typed slice inside a [`Values`] or [`ValuesMut`].
macro_rules! with_slice {
    ($enum:ident, $values:expr, $slice:ident => $body:expr) => {
        match $values {
            $crate::values::$enum::F32($slice) => $body,
            $crate::values::$enum::F16($slice) => $body,
            $crate::values::$enum::Bf16($slice) => $body,
        }
    };
}
pub(crate) use with_slice;

/// A borrowed slice of values whose type is known at run time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values<'a> {
    /// f32 values.
    F32(&'a [f32]),
    /// f16 values.
    F16(&'a [f16]),
    /// bf16 values.
    Bf16(&'a [bf16]),
}

impl<'a> Values<'a> {
    /// The number of values.
    pub fn len(self) -> usize {
        with_slice!(Values, self, s => s.len())
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The element type.
    pub fn dtype(self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::F16(_) => Dtype::F16,
            Self::Bf16(_) => Dtype::Bf16,
        }
    }

    /// The value at `index`, widened.
    ///
    /// # Panics
    /// When `index` is out of range.
    pub fn get(self, index: usize) -> f32 {
        with_slice!(Values, self, s => s[index].to_f32())
    }

    /// The values in `range`.
    ///
    /// # Panics
    /// When the range is not within the slice.
    pub fn slice(self, range: Range<usize>) -> Values<'a> {
        with_slice!(Values, self, s => Element::values(&s[range]))
    }

    /// Their memory as bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        with_slice!(Values, self, s => bytemuck::cast_slice(s))
    }

    /// All values, widened.
    pub fn to_f32(self) -> Vec<f32> {
        with_slice!(Values, self, s => s.iter().map(|v| v.to_f32()).collect())
    }
}

impl<'a, E: Element> From<&'a [E]> for Values<'a> {
    fn from(slice: &'a [E]) -> Self {
        E::values(slice)
    }
}

/// A mutably borrowed slice of values whose type is known at run time.
#[derive(Debug)]
pub enum ValuesMut<'a> {
    /// f32 values.
    F32(&'a mut [f32]),
    /// f16 values.
    F16(&'a mut [f16]),
    /// bf16 values.
    Bf16(&'a mut [bf16]),
}

impl ValuesMut<'_> {
    /// The number of values.
    pub fn len(&self) -> usize {
        with_slice!(ValuesMut, self, s => s.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element type.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::F16(_) => Dtype::F16,
            Self::Bf16(_) => Dtype::Bf16,
        }
    }

    /// Their memory as writable bytes.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        with_slice!(ValuesMut, self, s => bytemuck::cast_slice_mut(s))
    }
}

impl<'a, E: Element> From<&'a mut [E]> for ValuesMut<'a> {
    fn from(slice: &'a mut [E]) -> Self {
        E::values_mut(slice)
    }
}

/// A vector of values whose type is known at run time.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnedValues {
    /// f32 values.
    F32(Vec<f32>),
    /// f16 values.
    F16(Vec<f16>),
    /// bf16 values.
    Bf16(Vec<bf16>),
}

impl OwnedValues {
    /// `len` zeros.
    pub fn zeros(dtype: Dtype, len: usize) -> Self {
        match dtype {
            Dtype::F32 => Self::F32(vec![0.0; len]),
            Dtype::F16 => Self::F16(vec![f16::ZERO; len]),
            Dtype::Bf16 => Self::Bf16(vec![bf16::ZERO; len]),
        }
    }

    /// The values, rounded to nearest even.
    pub fn from_f32(dtype: Dtype, values: &[f32]) -> Self {
        match dtype {
            Dtype::F32 => Self::F32(values.to_vec()),
            Dtype::F16 => Self::F16(values.iter().map(|&v| f16::from_f32(v)).collect()),
            Dtype::Bf16 => Self::Bf16(values.iter().map(|&v| bf16::from_f32(v)).collect()),
        }
    }

    /// Borrows the values.
    pub fn as_values(&self) -> Values<'_> {
        with_slice!(OwnedValues, self, s => Element::values(s))
    }

    /// Borrows the values mutably.
    pub fn as_values_mut(&mut self) -> ValuesMut<'_> {
        with_slice!(OwnedValues, self, s => Element::values_mut(s))
    }

    /// Their memory as bytes, little endian on every machine Rust code like this runs on.
    pub fn as_bytes(&self) -> &[u8] {
        with_slice!(OwnedValues, self, s => bytemuck::cast_slice(s))
    }

    /// Their memory as writable bytes.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        with_slice!(OwnedValues, self, s => bytemuck::cast_slice_mut(s))
    }
}

impl<E: Element> From<Vec<E>> for OwnedValues {
    fn from(values: Vec<E>) -> Self {
        // The three types are all there are; `cast_vec` between identical types never copies.
        match E::DTYPE {
            Dtype::F32 => Self::F32(bytemuck::cast_vec(values)),
            Dtype::F16 => Self::F16(bytemuck::cast_vec(values)),
            Dtype::Bf16 => Self::Bf16(bytemuck::cast_vec(values)),
        }
    }
}
