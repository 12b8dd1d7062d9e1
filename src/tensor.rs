//! [`Tensor`]: row-major activations and dense weights in f32, f16 or bf16.

use crate::error::Error;
use crate::error::Result;
use crate::shape::MatShape;
use crate::values::Dtype;
use crate::values::Element;
use crate::values::OwnedValues;
use crate::values::Values;
use crate::values::ValuesMut;

/// A row-major array of floating-point values.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: OwnedValues,
}

impl Tensor {
    /// Takes the values of a row-major array of `shape`.
    ///
    /// # Errors
    /// [`Error::Length`] when `values` does not have as many elements as `shape`.
    pub fn new(values: impl Into<OwnedValues>, shape: &[usize]) -> Result<Self> {
        let data = values.into();
        let expected = num_values(shape)?;
        let found = data.as_values().len();
        if expected != found {
            let rule = format!("shape {shape:?}");
            return Err(Error::Length { what: "tensor", expected, found, rule });
        }
        Ok(Self { shape: shape.to_vec(), data })
    }

    /// A tensor of zeros.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when `shape` does not fit the address space.
    pub fn zeros(dtype: Dtype, shape: &[usize]) -> Result<Self> {
        Ok(Self { shape: shape.to_vec(), data: OwnedValues::zeros(dtype, num_values(shape)?) })
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its element type.
    pub fn dtype(&self) -> Dtype {
        self.data.as_values().dtype()
    }

    /// The values, row-major.
    pub fn values(&self) -> Values<'_> {
        self.data.as_values()
    }

    /// The values, row-major, to be written.
    pub fn values_mut(&mut self) -> ValuesMut<'_> {
        self.data.as_values_mut()
    }

    /// The values as a slice of `E`, if that is their type.
    pub fn as_slice<E: Element>(&self) -> Option<&[E]> {
        (E::DTYPE == self.dtype()).then(|| bytemuck::cast_slice(self.data.as_bytes()))
    }

    /// The values converted to `dtype`, rounding to nearest even.
    pub fn to_dtype(&self, dtype: Dtype) -> Self {
        Self { shape: self.shape.clone(), data: OwnedValues::from_f32(dtype, &self.values().to_f32()) }
    }

    /// The shape as a weight matrix [out, in].
    ///
    /// # Errors
    /// [`Error::Shape`] unless it has two dimensions; those of [`MatShape::new`].
    pub fn mat_shape(&self) -> Result<MatShape> {
        match self.shape[..] {
            [n, k] => MatShape::new(n, k),
            _ => Err(Error::Shape { what: "weight [out, in]", expected: vec![0, 0], found: self.shape.clone() }),
        }
    }
}

/// The product of `shape`, checked.
fn num_values(shape: &[usize]) -> Result<usize> {
    let too_large = || Error::TooLarge { what: "tensor", shape: shape.to_vec() };
    let count = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side)).ok_or_else(too_large)?;
    match count.checked_mul(4).map(isize::try_from) {
        Some(Ok(_)) => Ok(count),
        _ => Err(too_large()),
    }
}
