//! [`Simd`]: the vector operations that kernels are written in, once for all instruction sets.
//!
//! A value of a type that implements it proves that the CPU has the instructions. All methods are `inline(always)`, so that
//! a kernel evaluated by [`Isa::run`](crate::cpu::Isa::run) is compiled as a whole for the instruction set.

#![allow(unsafe_code)]

use crate::values::bf16;
use crate::values::f16;

/// An operation that can be evaluated on any instruction set.
pub trait Op {
    /// What it returns.
    type Output;
    /// Does it, with the vectors of `simd`. Implementations are `#[inline(always)]`.
    fn eval<S: Simd>(self, simd: S) -> Self::Output;
}

/// Vectors of [`Simd::LANES`] 32-bit lanes.
///
/// Slices given to loads and stores must be at least as long as what is loaded or stored; shorter ones panic.
pub trait Simd: Copy + Send + Sync + 'static {
    /// Lanes per vector.
    const LANES: usize;
    /// f32 lanes.
    type F: Copy;
    /// 32-bit integer lanes.
    type I: Copy;
    /// 16 f32 values to look up.
    type Table16: Copy;
    /// 32 f32 values to look up.
    type Table32: Copy;
    /// 256 f32 values to look up.
    type Table256: Copy;

    /// All lanes `value`.
    fn splat(self, value: f32) -> Self::F;
    /// All lanes `value`.
    fn splat_i(self, value: i32) -> Self::I;

    /// The first lanes of `src`.
    fn load(self, src: &[f32]) -> Self::F;
    /// As [`Simd::load`], widening.
    fn load_f16(self, src: &[f16]) -> Self::F;
    /// As [`Simd::load`], widening.
    fn load_bf16(self, src: &[bf16]) -> Self::F;
    /// `LANES / 2` bytes of 4-bit codes in [`nibbles`](crate::formats::nibbles) order: the low four bits of lane i are the
    /// code of value i, its other bits are arbitrary.
    fn load_nibbles(self, src: &[u8]) -> Self::I;
    /// `LANES` bytes, zero-extended.
    fn load_bytes(self, src: &[u8]) -> Self::I;
    /// `LANES` bytes, sign-extended.
    fn load_i8(self, src: &[i8]) -> Self::I;

    /// Writes all lanes.
    fn store(self, values: Self::F, dst: &mut [f32]);
    /// As [`Simd::store`], rounding to nearest even.
    fn store_f16(self, values: Self::F, dst: &mut [f16]);
    /// As [`Simd::store`], rounding to nearest even.
    fn store_bf16(self, values: Self::F, dst: &mut [bf16]);
    /// Writes the low byte of each lane.
    fn store_bytes(self, values: Self::I, dst: &mut [u8]);

    /// a + b
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// a - b
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// a * b
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// a / b
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// a * b + c; fused where the CPU can, so the last bit may differ between instruction sets.
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The smaller; `b` when either is a NaN.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// The larger; `b` when either is a NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// The sum of all lanes, in an order of the instruction set's own.
    fn reduce_add(self, a: Self::F) -> f32;

    /// The bits of each lane.
    fn to_bits(self, a: Self::F) -> Self::I;
    /// The float of each lane's bits.
    #[expect(clippy::wrong_self_convention, reason = "the receiver is the instruction set, not the value")]
    fn from_bits(self, a: Self::I) -> Self::F;
    /// Rounds to the nearest integer, ties to even. Only for values that an i32 holds.
    fn round_i(self, a: Self::F) -> Self::I;
    /// The integers as floats.
    fn to_float(self, a: Self::I) -> Self::F;

    /// a + b, wrapping
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// a & b
    fn and(self, a: Self::I, b: Self::I) -> Self::I;
    /// a >> N, zeros coming in
    fn shr<const N: i32>(self, a: Self::I) -> Self::I;
    /// Byte N / 8 of each lane, sign-extended; N is 0, 8, 16 or 24.
    fn signed_byte<const N: i32>(self, a: Self::I) -> Self::I;
    /// The larger, as signed integers.
    fn max_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// The largest lane, as signed integers.
    fn reduce_max_i(self, a: Self::I) -> i32;
    /// `count + 1` in the lanes where a > b, else `count`.
    fn count_gt(self, count: Self::I, a: Self::F, b: Self::F) -> Self::I;

    // For multiplying.

    /// Whether [`Simd::dot_bf16`] is one instruction.
    const NATIVE_BF16: bool;
    /// What [`Simd::dot4`] subtracts from each unsigned byte before it multiplies.
    const DOT4_BIAS: i32;
    /// 16 bf16 values to look up.
    type TableBf16: Copy;

    /// The first lanes at `src`.
    ///
    /// # Safety
    /// `src` is valid for reads of [`Simd::LANES`] floats; no alignment needed.
    unsafe fn load_ptr(self, src: *const f32) -> Self::F;
    /// The first lanes at `src`.
    ///
    /// # Safety
    /// `src` is valid for reads of [`Simd::LANES`] words; no alignment needed.
    unsafe fn load_words_ptr(self, src: *const u32) -> Self::I;
    /// All lanes the word at `src`.
    ///
    /// # Safety
    /// `src` is valid for reads of one word.
    unsafe fn splat_ptr(self, src: *const u32) -> Self::I;
    /// Writes all lanes to `dst`.
    ///
    /// # Safety
    /// `dst` is valid for writes of [`Simd::LANES`] floats; no alignment needed.
    unsafe fn store_ptr(self, values: Self::F, dst: *mut f32);
    /// Asks for the cache line at `src`, as far as L2; any address will do.
    fn prefetch(self, src: *const u8);

    /// a ^ b
    fn xor(self, a: Self::I, b: Self::I) -> Self::I;
    /// The low half of a * b
    fn mul_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// The sum of all lanes, wrapping
    fn reduce_add_i(self, a: Self::I) -> i32;

    /// `sum` plus, in each lane, the dot product of four unsigned bytes, less [`Simd::DOT4_BIAS`], with four signed bytes
    /// in -127..=127. Wraps.
    fn dot4(self, sum: Self::I, unsigned: Self::I, signed: Self::I) -> Self::I;
    /// `sum` plus, in each lane, the dot product of two bf16 values with two.
    fn dot_bf16(self, sum: Self::F, a: Self::I, b: Self::I) -> Self::F;
    /// Makes a table; the values are rounded to bf16.
    fn table_bf16(self, values: &[f32; 16]) -> Self::TableBf16;
    /// In each half of each lane the bf16 entry at its low four bits.
    fn lookup_bf16(self, table: Self::TableBf16, index: Self::I) -> Self::I;

    // Tables.

    /// Makes a table.
    fn table16(self, values: &[f32; 16]) -> Self::Table16;
    /// Makes a table.
    fn table32(self, values: &[f32; 32]) -> Self::Table32;
    /// The entries at the low four bits of each lane.
    fn lookup16(self, table: Self::Table16, index: Self::I) -> Self::F;
    /// The entries at the low five bits of each lane.
    fn lookup32(self, table: Self::Table32, index: Self::I) -> Self::F;
    /// Makes a table. It is large, so passed on by reference.
    fn table256(self, values: &[f32; 256]) -> Self::Table256;
    /// The entries at all bytes of `index`: vector v has in lane i that of byte v of lane i or, unless `IN_LANE`, that of byte
    /// `v * LANES + i` of the whole.
    fn lookup_bytes<const IN_LANE: bool>(self, table: &Self::Table256, index: Self::I) -> [Self::F; 4];

    // For quantizing and dequantizing.

    /// The entries at the low eight bits of each lane.
    fn lookup256(self, table: &[f32; 256], index: Self::I) -> Self::F;

    /// The smaller, as signed integers.
    fn min_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Writes `4 * LANES` codes, each lane 0 to 15, in [`nibbles`](crate::formats::nibbles) order: `2 * LANES` bytes.
    fn store_nibbles(self, codes: [Self::I; 4], dst: &mut [u8]);
    /// As [`Simd::store_nibbles`], of the first `4 * LANES` bytes of `src`, each 0 to 15.
    fn pack_nibbles(self, src: &[u8], dst: &mut [u8]);
    /// Copies `src` to `dst`, of the same length, past the caches: for results too large to stay in them. The bytes are
    /// visible to other threads as those of ordinary stores are.
    fn copy_streaming(self, src: &[u8], dst: &mut [u8]);
}
