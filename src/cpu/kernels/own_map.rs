//! Blockwise 8-bit quantization with a map of the caller's own, by bisection. The map that everybody uses has a faster
//! kernel of its own ([`blockwise8`](crate::cpu::kernels::blockwise8)).

use rayon::prelude::*;

use crate::error::Error;
use crate::error::Result;
use crate::shape::BlockSize;
use crate::values::Element;
use crate::values::Values;
use crate::values::with_slice;

/// The code and the absmax of each block of `values`: nearest, a value on a midpoint goes down; full blocks multiply by
/// `1 / max(absmax, 1e-38)`, a short last one divides.
///
/// # Errors
/// [`Error::Invalid`] when `map` does not ascend or is not finite, [`Error::NonFinite`] for a NaN or an infinity.
pub fn quantize_blockwise(values: Values<'_>, map: &[f32; 256], block_size: BlockSize) -> Result<(Vec<u8>, Vec<f32>)> {
    if let Some(pair) = map.windows(2).find(|pair| !(pair[0].is_finite() && pair[0] <= pair[1] && pair[1].is_finite()))
    {
        let value = format!("{}, {}", pair[0], pair[1]);
        return Err(Error::Invalid { what: "map", value, rule: "must be finite and ascend" });
    }
    if let Some(index) = (0..values.len()).find(|&i| !values.get(i).is_finite()) {
        return Err(Error::NonFinite { what: "values", index, value: values.get(index) });
    }
    let midpoints: Vec<f32> = map.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect();
    let mut codes = vec![0; values.len()];
    let mut absmax = vec![0.0; values.len().div_ceil(block_size.get())];
    with_slice!(Values, values, values => {
        let blocks = codes.par_chunks_mut(block_size.get()).zip(&mut absmax).zip(values.par_chunks(block_size.get()));
        blocks.for_each(|((codes, absmax), values)| {
            *absmax = quantize_block(values, &midpoints, codes.len() == block_size.get(), codes);
        });
    });
    Ok((codes, absmax))
}

/// The codes of one block; returns its absmax.
fn quantize_block<E: Element>(values: &[E], midpoints: &[f32], full: bool, codes: &mut [u8]) -> f32 {
    let absmax = values.iter().fold(0.0f32, |max, v| max.max(v.to_f32().abs()));
    let divisor = absmax.max(1e-38);
    let reciprocal = 1.0 / divisor;
    for (code, value) in codes.iter_mut().zip(values) {
        let s = if full { value.to_f32() * reciprocal } else { value.to_f32() / divisor };
        *code = midpoints.partition_point(|&midpoint| midpoint < s.clamp(-1.0, 1.0)) as u8;
    }
    absmax
}
