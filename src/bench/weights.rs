//! The weights of one shape in one format: copies of them on the device, and what their products must be.

use std::sync::Arc;

use super::Layer;
use super::Settings;
use super::ceilings::last_cache_bytes;
use super::check::Expected;
use super::dense::Dense;
use super::report::How;
use crate::device::Device;
use crate::error::Result;
use crate::ops;
use crate::ops::Prepared;
use crate::shape::MatShape;
use crate::strategy::Activations;
use crate::strategy::Strategy;
use crate::tensor::Tensor;
use crate::values::Dtype;
use crate::values::Values;

/// Copies at most: where so many still fit the cache, the product is a matter of the cache, and the row says so.
const MAX_COPIES: usize = 256;

/// Weights to be multiplied in turn, so that each comes from memory.
pub(super) struct Weights {
    /// The format's name, or the type of dense weights.
    pub name: String,
    pub activations: Activations,
    pub expected: Expected,
    pub copy_bytes: usize,
    pub cold: bool,
    copies: Copies,
}

enum Copies {
    Dense(Dense),
    LowBit(Vec<Prepared>),
}

/// How many copies of `copy_bytes` are more than twice the cache, and whether memory and [`MAX_COPIES`] allow so many.
fn rotation(device: &Device, copy_bytes: usize, memory_bytes: usize) -> (usize, bool) {
    let wanted = (2 * last_cache_bytes(device) / copy_bytes.max(1)) + 1;
    let copies = wanted.min(memory_bytes / copy_bytes.max(1)).clamp(1, MAX_COPIES);
    (copies, copies == wanted)
}

impl Weights {
    pub fn dense(device: &Device, shape: MatShape, w: &[f32], settings: &Settings) -> Result<Self> {
        let dtype = super::dense::dense_dtype(device, settings.dtype);
        let copy_bytes = shape.num_values() * dtype.size_bytes();
        let (copies, cold) = rotation(device, copy_bytes, settings.memory_bytes);
        let dense = Dense::new(device, shape, w, settings.dtype, copies)?;
        let expected = Expected::of_dense(dense.values(), shape);
        let (name, copies) = (dtype.to_string(), Copies::Dense(dense));
        Ok(Self { name, activations: Activations::Float, expected, copy_bytes, cold, copies })
    }

    pub fn low_bit(device: &Device, shape: MatShape, w: &[f32], layer: &Layer, settings: &Settings) -> Result<Self> {
        let Layer { ref name, recipe, activations } = *layer;
        let matrix = Arc::new(ops::quantize(Values::F32(w), shape, recipe, device)?);
        let copy_bytes = matrix.storage_bytes();
        let (copies, cold) = rotation(device, copy_bytes, settings.memory_bytes);
        let prepare = |_| {
            // A GPU gets a copy each time; the CPU multiplies the matrix itself.
            let matrix = match device {
                Device::Cpu(_) => Arc::new((*matrix).clone()),
                Device::Cuda(_) => Arc::clone(&matrix),
            };
            ops::prepare(matrix, None, activations, device)
        };
        let copies = Copies::LowBit((0..copies).map(prepare).collect::<Result<_>>()?);
        let expected = Expected::of_matrix(&matrix, activations);
        Ok(Self { name: name.clone(), activations, expected, copy_bytes, cold, copies })
    }

    pub fn num_copies(&self) -> usize {
        match &self.copies {
            Copies::Dense(dense) => dense.num_copies(),
            Copies::LowBit(copies) => copies.len(),
        }
    }

    /// The type in which x and y of `dtype` are multiplied.
    pub fn dtype(&self, dtype: Dtype) -> Dtype {
        match &self.copies {
            Copies::Dense(dense) => dense.values().dtype(),
            Copies::LowBit(_) => dtype,
        }
    }

    /// What can be asked of them: of dense weights their one library, of others each of `strategies`.
    pub fn ways(&self, strategies: &[Strategy], m: usize, dtype: Dtype) -> Result<Vec<How>> {
        match &self.copies {
            Copies::Dense(dense) => Ok(vec![How::Dense(dense.library())]),
            Copies::LowBit(copies) => strategies
                .iter()
                .map(|&strategy| match strategy {
                    Strategy::Auto => Ok(How::Auto(copies[0].choice(m, dtype)?)),
                    _ => Ok(How::Strategy(strategy)),
                })
                .collect(),
        }
    }

    /// y = x · Wᵀ by the copy `turn`, counted round.
    pub fn multiply(&self, how: How, turn: usize, x: &Tensor, y: &mut Tensor) -> Result<()> {
        match (&self.copies, how) {
            (Copies::Dense(dense), _) => dense.multiply(turn, x, y),
            (Copies::LowBit(copies), How::Strategy(strategy)) => {
                ops::matmul_into(x, &copies[turn % copies.len()], strategy, y)
            }
            (Copies::LowBit(copies), How::Auto(_) | How::Dense(_)) => {
                ops::matmul_into(x, &copies[turn % copies.len()], Strategy::Auto, y)
            }
        }
    }
}
