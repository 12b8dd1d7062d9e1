//! [`Output`]: the result matrix, written by several threads, each its own columns.
#![allow(unsafe_code)]

use std::marker::PhantomData;

use crate::cpu::simd::Simd;
use crate::values::ValuesMut;
use crate::values::bf16;
use crate::values::f16;

#[derive(Clone, Copy)]
enum Pointer {
    F32(*mut f32),
    F16(*mut f16),
    Bf16(*mut bf16),
}

/// y `[M, N]` in any float type, with the bias that is added to every row.
pub struct Output<'a> {
    pointer: Pointer,
    m: usize,
    n: usize,
    bias: Option<&'a [f32]>,
    borrow: PhantomData<&'a mut f32>,
}

// SAFETY: the pointer stands for a mutable borrow of plain numbers; `write` leaves it to its caller that no two threads
// write the same place.
unsafe impl Sync for Output<'_> {}

impl<'a> Output<'a> {
    /// # Panics
    /// When `y` is not a multiple of `n` long, or `bias` not `n`.
    pub fn new(y: ValuesMut<'a>, n: usize, bias: Option<&'a [f32]>) -> Self {
        assert!(y.len().is_multiple_of(n) && bias.is_none_or(|b| b.len() == n));
        let m = y.len() / n;
        let pointer = match y {
            ValuesMut::F32(y) => Pointer::F32(y.as_mut_ptr()),
            ValuesMut::F16(y) => Pointer::F16(y.as_mut_ptr()),
            ValuesMut::Bf16(y) => Pointer::Bf16(y.as_mut_ptr()),
        };
        Self { pointer, m, n, bias, borrow: PhantomData }
    }

    /// Out-features.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Rows.
    pub fn m(&self) -> usize {
        self.m
    }

    /// Writes `values` plus bias, rounded to nearest even, to row `m` from column `first` on. `values` are spoilt.
    ///
    /// # Safety
    /// No other thread writes or reads this part of the row meanwhile.
    ///
    /// # Panics
    /// When the place is not within the matrix.
    #[inline(always)]
    pub unsafe fn write<S: Simd>(&self, simd: S, m: usize, first: usize, values: &mut [f32]) {
        assert!(m < self.m && first + values.len() <= self.n);
        if let Some(bias) = self.bias {
            for (value, bias) in values.iter_mut().zip(&bias[first..]) {
                *value += bias;
            }
        }
        let (at, len) = (m * self.n + first, values.len());
        // SAFETY: within the slice that `new` borrowed, by the assertion; the caller promises that it is not shared.
        unsafe {
            match self.pointer {
                Pointer::F32(y) => std::slice::from_raw_parts_mut(y.add(at), len).copy_from_slice(values),
                Pointer::F16(y) => narrow_f16(simd, std::slice::from_raw_parts_mut(y.add(at), len), values),
                Pointer::Bf16(y) => narrow_bf16(simd, std::slice::from_raw_parts_mut(y.add(at), len), values),
            }
        }
    }
}

/// Rounds `values`; whole vectors, then one by one. Not one function with a closure for the vectors: a closure is compiled
/// without the instruction set.
#[inline(always)]
fn narrow_f16<S: Simd>(simd: S, y: &mut [f16], values: &[f32]) {
    let whole = values.len() / S::LANES * S::LANES;
    for (y, v) in y[..whole].chunks_exact_mut(S::LANES).zip(values.chunks_exact(S::LANES)) {
        simd.store_f16(simd.load(v), y);
    }
    for (y, v) in y[whole..].iter_mut().zip(&values[whole..]) {
        *y = f16::from_f32(*v);
    }
}

/// As [`narrow_f16`].
#[inline(always)]
pub fn narrow_bf16<S: Simd>(simd: S, y: &mut [bf16], values: &[f32]) {
    let whole = values.len() / S::LANES * S::LANES;
    for (y, v) in y[..whole].chunks_exact_mut(S::LANES).zip(values.chunks_exact(S::LANES)) {
        simd.store_bf16(simd.load(v), y);
    }
    for (y, v) in y[whole..].iter_mut().zip(&values[whole..]) {
        *y = bf16::from_f32(*v);
    }
}
