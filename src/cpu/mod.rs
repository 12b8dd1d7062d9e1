//! The CPU backend: [`Isa`] says which CPU, `arch` holds the intrinsics, `kernels` the algorithms.

mod arch;
mod isa;
mod kernels;
mod simd;

pub use isa::Isa;
pub use kernels::ceiling;
pub use kernels::dequantize::dequantize_into;
pub use kernels::own_map::quantize_blockwise;
pub use kernels::quantize::quantize;

// Stand-ins until the kernels land.
use crate::error::Result;
use crate::formats::*;
use crate::strategy::*;
use crate::values::*;
use std::sync::Arc;
pub fn quantize_rows(_: Isa, values: Values<'_>, k: usize, t: f32) -> QuantizedRows {
    crate::reference::quantize_rows(&values.to_f32(), k, 127.0, t)
}
#[derive(Clone, Debug)]
pub struct Prepared(Arc<QuantMatrix>, Activations);
impl Prepared {
    pub fn matrix(&self) -> &Arc<QuantMatrix> {
        &self.0
    }
    pub fn activations(&self) -> Activations {
        self.1
    }
    pub fn memory_bytes(&self) -> usize {
        0
    }
}
pub fn prepare(m: Arc<QuantMatrix>, a: Activations) -> Result<Prepared> {
    Ok(Prepared(m, a))
}
pub fn matmul(_: Isa, _: Values<'_>, _: &Prepared, _: Option<&[f32]>, _: Strategy, _: ValuesMut<'_>) -> Result<()> {
    todo!()
}
