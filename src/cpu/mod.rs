//! The CPU backend: [`Isa`] says which CPU, `arch` holds the intrinsics, `kernels` the algorithms.

mod arch;
mod isa;
mod simd;

pub use isa::Isa;

// Stand-ins until the kernels land.
use crate::error::Result;
use crate::formats::*;
use crate::shape::*;
use crate::strategy::*;
use crate::values::*;
use std::sync::Arc;
pub fn quantize(_: Isa, values: Values<'_>, shape: MatShape, recipe: Recipe) -> Result<QuantMatrix> {
    crate::reference::quantize(values, shape, recipe.format)
}
pub fn quantize_blockwise(
    _: Isa,
    values: Values<'_>,
    map: &[f32; 256],
    block: BlockSize,
) -> Result<(Vec<u8>, Vec<f32>)> {
    Ok(crate::reference::blockwise8(&values.to_f32(), map, block.get()))
}
pub fn quantize_rows(_: Isa, values: Values<'_>, k: usize, t: f32) -> QuantizedRows {
    crate::reference::quantize_rows(&values.to_f32(), k, 127.0, t)
}
pub fn dequantize_into(_: Isa, m: &QuantMatrix, out: ValuesMut<'_>) -> Result<()> {
    let v = crate::reference::dequantize(m);
    with_slice!(ValuesMut, out, s => for (o, v) in s.iter_mut().zip(v) { *o = Element::from_f32(v); });
    Ok(())
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
