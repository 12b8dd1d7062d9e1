//! Plain Rust on arrays of eight lanes, for CPUs without an own file here.

use crate::cpu::simd::Simd;
use crate::values::bf16;
use crate::values::f16;

/// Needs nothing of the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalar;

const LANES: usize = 8;
type F = [f32; LANES];
type I = [i32; LANES];

#[inline(always)]
fn lanes<T>(f: impl FnMut(usize) -> T) -> [T; LANES] {
    std::array::from_fn(f)
}

impl Simd for Scalar {
    const LANES: usize = LANES;
    type F = F;
    type I = I;
    type Table16 = [f32; 16];
    type Table32 = [f32; 32];

    #[inline(always)]
    fn splat(self, value: f32) -> F {
        [value; LANES]
    }
    #[inline(always)]
    fn splat_i(self, value: i32) -> I {
        [value; LANES]
    }
    #[inline(always)]
    fn load(self, src: &[f32]) -> F {
        lanes(|i| src[i])
    }
    #[inline(always)]
    fn load_f16(self, src: &[f16]) -> F {
        lanes(|i| src[i].to_f32())
    }
    #[inline(always)]
    fn load_bf16(self, src: &[bf16]) -> F {
        lanes(|i| src[i].to_f32())
    }
    #[inline(always)]
    fn load_words(self, src: &[u8]) -> I {
        lanes(|i| i32::from_le_bytes([src[4 * i], src[4 * i + 1], src[4 * i + 2], src[4 * i + 3]]))
    }
    #[inline(always)]
    fn load_nibbles(self, src: &[u8]) -> I {
        lanes(|i| i32::from(src[i / 2] >> (4 - 4 * (i % 2))))
    }
    #[inline(always)]
    fn load_bytes(self, src: &[u8]) -> I {
        lanes(|i| i32::from(src[i]))
    }
    #[inline(always)]
    fn load_i8(self, src: &[i8]) -> I {
        lanes(|i| i32::from(src[i]))
    }
    #[inline(always)]
    fn store(self, values: F, dst: &mut [f32]) {
        dst[..LANES].copy_from_slice(&values);
    }
    #[inline(always)]
    fn store_f16(self, values: F, dst: &mut [f16]) {
        dst[..LANES].copy_from_slice(&values.map(f16::from_f32));
    }
    #[inline(always)]
    fn store_bf16(self, values: F, dst: &mut [bf16]) {
        dst[..LANES].copy_from_slice(&values.map(bf16::from_f32));
    }
    #[inline(always)]
    fn store_bytes(self, values: I, dst: &mut [u8]) {
        dst[..LANES].copy_from_slice(&values.map(|v| v as u8));
    }
    #[inline(always)]
    fn add(self, a: F, b: F) -> F {
        lanes(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: F, b: F) -> F {
        lanes(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: F, b: F) -> F {
        lanes(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: F, b: F) -> F {
        lanes(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn mul_add(self, a: F, b: F, c: F) -> F {
        // `f32::mul_add` is a library call without hardware FMA.
        lanes(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn min(self, a: F, b: F) -> F {
        lanes(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn max(self, a: F, b: F) -> F {
        lanes(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn reduce_add(self, a: F) -> f32 {
        ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))
    }
    #[inline(always)]
    fn to_bits(self, a: F) -> I {
        a.map(|v| v.to_bits() as i32)
    }
    #[inline(always)]
    fn from_bits(self, a: I) -> F {
        a.map(|v| f32::from_bits(v as u32))
    }
    #[inline(always)]
    fn round_i(self, a: F) -> I {
        a.map(|v| v.round_ties_even() as i32)
    }
    #[inline(always)]
    fn to_float(self, a: I) -> F {
        a.map(|v| v as f32)
    }
    #[inline(always)]
    fn add_i(self, a: I, b: I) -> I {
        lanes(|i| a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    fn and(self, a: I, b: I) -> I {
        lanes(|i| a[i] & b[i])
    }
    #[inline(always)]
    fn shr<const N: i32>(self, a: I) -> I {
        a.map(|v| ((v as u32) >> N) as i32)
    }
    #[inline(always)]
    fn max_i(self, a: I, b: I) -> I {
        lanes(|i| a[i].max(b[i]))
    }
    #[inline(always)]
    fn reduce_max_i(self, a: I) -> i32 {
        a.into_iter().fold(i32::MIN, i32::max)
    }
    #[inline(always)]
    fn count_gt(self, count: I, a: F, b: F) -> I {
        lanes(|i| count[i].wrapping_add(i32::from(a[i] > b[i])))
    }
    #[inline(always)]
    fn table16(self, values: &[f32; 16]) -> [f32; 16] {
        *values
    }
    #[inline(always)]
    fn table32(self, values: &[f32; 32]) -> [f32; 32] {
        *values
    }
    #[inline(always)]
    fn lookup16(self, table: [f32; 16], index: I) -> F {
        index.map(|i| table[(i & 15) as usize])
    }
    #[inline(always)]
    fn lookup32(self, table: [f32; 32], index: I) -> F {
        index.map(|i| table[(i & 31) as usize])
    }

    // For quantizing and dequantizing.

    #[inline(always)]
    fn lookup256(self, table: &[f32; 256], index: I) -> F {
        index.map(|i| table[(i & 255) as usize])
    }
}
