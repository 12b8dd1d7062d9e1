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
    type Table256 = [f32; 256];

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
    fn signed_byte<const N: i32>(self, a: I) -> I {
        a.map(|v| i32::from((v >> N) as i8))
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
    // For multiplying.

    const NATIVE_BF16: bool = false;
    const DOT4_BIAS: i32 = 0;
    type TableBf16 = [u16; 16];

    #[inline(always)]
    unsafe fn load_ptr(self, src: *const f32) -> F {
        // SAFETY: the caller promises as many floats as lanes; an array of them needs no more alignment than one, and the
        // read asks for none.
        unsafe { src.cast::<F>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_words_ptr(self, src: *const u32) -> I {
        // SAFETY: the caller promises as many words as lanes.
        unsafe { src.cast::<I>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn splat_ptr(self, src: *const u32) -> I {
        // SAFETY: the caller promises one word.
        [unsafe { src.cast::<i32>().read_unaligned() }; LANES]
    }
    #[inline(always)]
    unsafe fn store_ptr(self, values: F, dst: *mut f32) {
        // SAFETY: the caller promises room for as many floats as lanes.
        unsafe { dst.cast::<F>().write_unaligned(values) }
    }
    #[inline(always)]
    fn prefetch(self, _src: *const u8) {}
    #[inline(always)]
    fn xor(self, a: I, b: I) -> I {
        lanes(|i| a[i] ^ b[i])
    }
    #[inline(always)]
    fn mul_i(self, a: I, b: I) -> I {
        lanes(|i| a[i].wrapping_mul(b[i]))
    }
    #[inline(always)]
    fn reduce_add_i(self, a: I) -> i32 {
        a.into_iter().fold(0, i32::wrapping_add)
    }
    #[inline(always)]
    fn dot4(self, sum: I, unsigned: I, signed: I) -> I {
        let dot = |a: i32, b: i32| -> i32 {
            let pairs = a.to_le_bytes().into_iter().zip(b.to_le_bytes());
            pairs.map(|(a, b)| i32::from(a) * i32::from(b as i8)).sum()
        };
        lanes(|i| sum[i].wrapping_add(dot(unsigned[i], signed[i])))
    }
    #[inline(always)]
    fn dot_bf16(self, sum: F, a: I, b: I) -> F {
        let low = |v: i32| f32::from_bits((v as u32) << 16);
        let high = |v: i32| f32::from_bits(v as u32 & 0xffff_0000);
        lanes(|i| sum[i] + low(a[i]) * low(b[i]) + high(a[i]) * high(b[i]))
    }
    #[inline(always)]
    fn table_bf16(self, values: &[f32; 16]) -> [u16; 16] {
        values.map(|v| bf16::from_f32(v).to_bits())
    }
    #[inline(always)]
    fn lookup_bf16(self, table: [u16; 16], index: I) -> I {
        index.map(|i| {
            let [low, high] = [i & 15, (i >> 16) & 15].map(|i| u32::from(table[i as usize]));
            (high << 16 | low) as i32
        })
    }

    // Tables.

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
    fn table256(self, values: &[f32; 256]) -> [f32; 256] {
        *values
    }
    #[inline(always)]
    fn lookup_bytes<const IN_LANE: bool>(self, table: &[f32; 256], index: I) -> [F; 4] {
        let byte = |n: usize| (index[n / 4] >> (8 * (n % 4))) & 255;
        std::array::from_fn(|v| lanes(|i| table[byte(if IN_LANE { 4 * i + v } else { v * LANES + i }) as usize]))
    }

    #[inline(always)]
    fn lookup256(self, table: &[f32; 256], index: I) -> F {
        index.map(|i| table[(i & 255) as usize])
    }

    #[inline(always)]
    fn min_i(self, a: I, b: I) -> I {
        lanes(|i| a[i].min(b[i]))
    }
    #[inline(always)]
    fn store_nibbles(self, codes: [I; 4], dst: &mut [u8]) {
        for (byte, pair) in dst[..2 * LANES].iter_mut().zip(codes.as_flattened().chunks_exact(2)) {
            *byte = (pair[0] << 4 | pair[1]) as u8;
        }
    }
    #[inline(always)]
    fn pack_nibbles(self, src: &[u8], dst: &mut [u8]) {
        for (byte, pair) in dst[..2 * LANES].iter_mut().zip(src[..4 * LANES].chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
    }
    #[inline(always)]
    fn copy_streaming(self, src: &[u8], dst: &mut [u8]) {
        dst.copy_from_slice(src);
    }
}
