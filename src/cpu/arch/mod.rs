//! One file per instruction set: its token and its [`Simd`](crate::cpu::simd::Simd). The only intrinsics of the crate.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
pub mod scalar;

/// Evaluates intrinsics that touch no memory, within a method of an instruction set's token.
#[cfg(target_arch = "x86_64")]
macro_rules! intrinsic {
    ($body:expr) => {{
        // SAFETY: the method's receiver is the token, which exists only where the CPU has these instructions.
        unsafe { $body }
    }};
}

/// Evaluates intrinsics that read or write through the pointer of a slice that [`first`] or [`first_mut`] has measured.
#[cfg(target_arch = "x86_64")]
macro_rules! memory {
    ($body:expr) => {{
        // SAFETY: the receiver is the token, so the CPU has these instructions; the slice is as long as what is moved, and
        // the loads and stores used need no alignment.
        unsafe { $body }
    }};
}

#[cfg(target_arch = "x86_64")]
use intrinsic;
#[cfg(target_arch = "x86_64")]
use memory;

/// The first `len` elements; the one bounds check of a load.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn first<T>(src: &[T], len: usize) -> &[T] {
    &src[..len]
}

/// The first `len` elements; the one bounds check of a store.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn first_mut<T>(dst: &mut [T], len: usize) -> &mut [T] {
    &mut dst[..len]
}

/// How many of the first bytes of `dst` lie before the next multiple of `align`: all when it ends before.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn aligned_head(dst: &[u8], align: usize) -> usize {
    dst.as_ptr().align_offset(align).min(dst.len())
}
