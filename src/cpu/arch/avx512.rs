//! AVX-512 with VBMI and VNNI: Ice Lake, Zen 4 and later. 16 lanes.

use std::arch::x86_64::*;
use std::mem::transmute;

use crate::cpu::arch::aligned_head;
use crate::cpu::arch::first;
use crate::cpu::arch::first_mut;
use crate::cpu::arch::intrinsic;
use crate::cpu::arch::memory;
use crate::cpu::simd::Op;
use crate::cpu::simd::Simd;
use crate::values::bf16;
use crate::values::f16;

/// Proof that this CPU has AVX-512 F, BW, VL, DQ, VBMI and VNNI, and BF16 where the parameter says so. Only
/// [`Avx512::detect`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512<const BF16: bool>(());

impl<const BF16: bool> Avx512<BF16> {
    /// `None` when the CPU lacks a feature that [`Avx512::run`] enables.
    pub fn detect() -> Option<Self> {
        let present = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && (!BF16 || is_x86_feature_detected!("avx512bf16"));
        present.then_some(Self(()))
    }
}

impl Avx512<false> {
    /// Evaluates `op` in code compiled for these features.
    pub fn run<O: Op>(self, op: O) -> O::Output {
        // Enables exactly the features that `detect` tests.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni,avx2,fma,f16c")]
        fn compiled<O: Op>(isa: Avx512<false>, op: O) -> O::Output {
            op.eval(isa)
        }
        // SAFETY: a value of `Avx512` exists only if `detect` saw all of these features.
        unsafe { compiled(self, op) }
    }
}

impl Avx512<true> {
    /// Evaluates `op` in code compiled for these features.
    pub fn run<O: Op>(self, op: O) -> O::Output {
        // Enables exactly the features that `detect` tests.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni,avx512bf16,avx2,fma,f16c")]
        fn compiled<O: Op>(isa: Avx512<true>, op: O) -> O::Output {
            op.eval(isa)
        }
        // SAFETY: a value of `Avx512<true>` exists only if `detect` saw all of these features.
        unsafe { compiled(self, op) }
    }
}

impl<const BF16: bool> Simd for Avx512<BF16> {
    const LANES: usize = 16;
    type F = __m512;
    type I = __m512i;
    type Table16 = __m512;
    type Table32 = [__m512; 2];
    /// `[byte of an entry][64 entries]`: a permutation of bytes looks up 64 indices at once.
    type Table256 = [[__m512i; 4]; 4];

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        intrinsic!(_mm512_set1_ps(value))
    }

    #[inline(always)]
    fn splat_i(self, value: i32) -> __m512i {
        intrinsic!(_mm512_set1_epi32(value))
    }

    #[inline(always)]
    fn load(self, src: &[f32]) -> __m512 {
        let src = first(src, 16);
        memory!(_mm512_loadu_ps(src.as_ptr()))
    }

    #[inline(always)]
    fn load_f16(self, src: &[f16]) -> __m512 {
        let src = first(src, 16);
        memory!(_mm512_cvtph_ps(_mm256_loadu_si256(src.as_ptr().cast())))
    }

    #[inline(always)]
    fn load_bf16(self, src: &[bf16]) -> __m512 {
        let src = first(src, 16);
        memory!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(
            src.as_ptr().cast()
        )))))
    }

    #[inline(always)]
    fn load_nibbles(self, src: &[u8]) -> __m512i {
        let src = first(src, 8);
        // Every half of the register holds all sixteen codes; byte 0 of lane i takes the eight bits from code i up.
        memory!({
            let all = _mm512_set1_epi64(src.as_ptr().cast::<i64>().read_unaligned());
            let from = _mm512_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24, 36, 32, 44, 40, 52, 48, 60, 56);
            _mm512_multishift_epi64_epi8(from, all)
        })
    }

    #[inline(always)]
    fn load_bytes(self, src: &[u8]) -> __m512i {
        let src = first(src, 16);
        memory!(_mm512_cvtepu8_epi32(_mm_loadu_si128(src.as_ptr().cast())))
    }

    #[inline(always)]
    fn load_i8(self, src: &[i8]) -> __m512i {
        let src = first(src, 16);
        memory!(_mm512_cvtepi8_epi32(_mm_loadu_si128(src.as_ptr().cast())))
    }

    #[inline(always)]
    fn store(self, values: __m512, dst: &mut [f32]) {
        let dst = first_mut(dst, 16);
        memory!(_mm512_storeu_ps(dst.as_mut_ptr(), values))
    }

    #[inline(always)]
    fn store_f16(self, values: __m512, dst: &mut [f16]) {
        let dst = first_mut(dst, 16);
        memory!(_mm256_storeu_si256(dst.as_mut_ptr().cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values)))
    }

    #[inline(always)]
    fn store_bf16(self, values: __m512, dst: &mut [bf16]) {
        let dst = first_mut(dst, 16);
        // Adds half of the last place kept, and one more when that place is odd; a NaN is made quiet instead.
        memory!({
            let bits = _mm512_castps_si512(values);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
            let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x40_0000));
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(values, values);
            let high = _mm512_srli_epi32::<16>(_mm512_mask_blend_epi32(nan, rounded, quiet));
            _mm256_storeu_si256(dst.as_mut_ptr().cast(), _mm512_cvtepi32_epi16(high))
        })
    }

    #[inline(always)]
    fn store_bytes(self, values: __m512i, dst: &mut [u8]) {
        let dst = first_mut(dst, 16);
        memory!(_mm_storeu_si128(dst.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(values)))
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        intrinsic!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        intrinsic!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn reduce_add(self, a: __m512) -> f32 {
        intrinsic!(_mm512_reduce_add_ps(a))
    }

    #[inline(always)]
    fn to_bits(self, a: __m512) -> __m512i {
        intrinsic!(_mm512_castps_si512(a))
    }

    #[inline(always)]
    fn from_bits(self, a: __m512i) -> __m512 {
        intrinsic!(_mm512_castsi512_ps(a))
    }

    #[inline(always)]
    fn round_i(self, a: __m512) -> __m512i {
        intrinsic!(_mm512_cvtps_epi32(a))
    }

    #[inline(always)]
    fn to_float(self, a: __m512i) -> __m512 {
        intrinsic!(_mm512_cvtepi32_ps(a))
    }

    #[inline(always)]
    fn add_i(self, a: __m512i, b: __m512i) -> __m512i {
        intrinsic!(_mm512_add_epi32(a, b))
    }

    #[inline(always)]
    fn and(self, a: __m512i, b: __m512i) -> __m512i {
        intrinsic!(_mm512_and_si512(a, b))
    }

    #[inline(always)]
    fn shr<const N: i32>(self, a: __m512i) -> __m512i {
        intrinsic!(_mm512_srl_epi32(a, _mm_cvtsi32_si128(N)))
    }

    #[inline(always)]
    fn signed_byte<const N: i32>(self, a: __m512i) -> __m512i {
        intrinsic!(_mm512_srai_epi32::<24>(_mm512_sll_epi32(a, _mm_cvtsi32_si128(24 - N))))
    }

    #[inline(always)]
    fn max_i(self, a: __m512i, b: __m512i) -> __m512i {
        intrinsic!(_mm512_max_epi32(a, b))
    }

    #[inline(always)]
    fn reduce_max_i(self, a: __m512i) -> i32 {
        intrinsic!(_mm512_reduce_max_epi32(a))
    }

    #[inline(always)]
    fn count_gt(self, count: __m512i, a: __m512, b: __m512) -> __m512i {
        intrinsic!({
            let greater = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b);
            _mm512_mask_sub_epi32(count, greater, count, _mm512_set1_epi32(-1))
        })
    }

    // For multiplying.

    const NATIVE_BF16: bool = BF16;
    const DOT4_BIAS: i32 = 0;
    type TableBf16 = __m512i;

    #[inline(always)]
    unsafe fn load_ptr(self, src: *const f32) -> __m512 {
        // SAFETY: the token proves the instruction, the caller promises the floats.
        unsafe { _mm512_loadu_ps(src) }
    }

    #[inline(always)]
    unsafe fn load_words_ptr(self, src: *const u32) -> __m512i {
        // SAFETY: the token proves the instruction, the caller promises the words.
        unsafe { _mm512_loadu_si512(src.cast()) }
    }

    #[inline(always)]
    unsafe fn splat_ptr(self, src: *const u32) -> __m512i {
        // SAFETY: the caller promises one word.
        self.splat_i(unsafe { src.cast::<i32>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store_ptr(self, values: __m512, dst: *mut f32) {
        // SAFETY: the token proves the instruction, the caller promises the room.
        unsafe { _mm512_storeu_ps(dst, values) }
    }

    #[inline(always)]
    fn prefetch(self, src: *const u8) {
        intrinsic!(_mm_prefetch::<_MM_HINT_T1>(src.cast()))
    }

    #[inline(always)]
    fn xor(self, a: __m512i, b: __m512i) -> __m512i {
        intrinsic!(_mm512_xor_si512(a, b))
    }

    #[inline(always)]
    fn mul_i(self, a: __m512i, b: __m512i) -> __m512i {
        intrinsic!(_mm512_mullo_epi32(a, b))
    }

    #[inline(always)]
    fn reduce_add_i(self, a: __m512i) -> i32 {
        intrinsic!(_mm512_reduce_add_epi32(a))
    }

    #[inline(always)]
    fn dot4(self, sum: __m512i, unsigned: __m512i, signed: __m512i) -> __m512i {
        intrinsic!(_mm512_dpbusd_epi32(sum, unsigned, signed))
    }

    #[inline(always)]
    fn dot_bf16(self, sum: __m512, a: __m512i, b: __m512i) -> __m512 {
        if BF16 {
            // SAFETY: this token exists only where the CPU has BF16; the cast is between vectors of the same bits.
            return unsafe {
                _mm512_dpbf16_ps(sum, transmute::<__m512i, __m512bh>(a), transmute::<__m512i, __m512bh>(b))
            };
        }
        intrinsic!({
            let low = |v| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(v));
            let high = |v| _mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32(-65536)));
            _mm512_fmadd_ps(high(a), high(b), _mm512_fmadd_ps(low(a), low(b), sum))
        })
    }

    #[inline(always)]
    fn table_bf16(self, values: &[f32; 16]) -> __m512i {
        // Twice over: a lookup of 16-bit entries uses five bits of the index, of which the upper then does not matter.
        let halves = values.map(|v| bf16::from_f32(v).to_bits());
        let table = [halves, halves];
        memory!(_mm512_loadu_si512(table.as_ptr().cast()))
    }

    #[inline(always)]
    fn lookup_bf16(self, table: __m512i, index: __m512i) -> __m512i {
        intrinsic!(_mm512_permutexvar_epi16(index, table))
    }

    // Tables.

    #[inline(always)]
    fn table16(self, values: &[f32; 16]) -> __m512 {
        self.load(values)
    }

    #[inline(always)]
    fn table32(self, values: &[f32; 32]) -> [__m512; 2] {
        [self.load(&values[..16]), self.load(&values[16..])]
    }

    #[inline(always)]
    fn lookup16(self, table: __m512, index: __m512i) -> __m512 {
        intrinsic!(_mm512_permutexvar_ps(index, table))
    }

    #[inline(always)]
    fn lookup32(self, table: [__m512; 2], index: __m512i) -> __m512 {
        intrinsic!(_mm512_permutex2var_ps(table[0], index, table[1]))
    }

    #[inline(always)]
    fn table256(self, values: &[f32; 256]) -> [[__m512i; 4]; 4] {
        let mut planes = [[0; 256]; 4];
        for (i, values) in values.chunks_exact(16).enumerate() {
            let mut bits = self.to_bits(self.load(values));
            for plane in &mut planes {
                self.store_bytes(bits, &mut plane[16 * i..]);
                bits = self.shr::<8>(bits);
            }
        }
        let mut table = [[self.splat_i(0); 4]; 4];
        for (table, plane) in table.iter_mut().zip(&planes) {
            for (table, entries) in table.iter_mut().zip(plane.chunks_exact(64)) {
                *table = memory!(_mm512_loadu_si512(entries.as_ptr().cast()));
            }
        }
        table
    }

    #[inline(always)]
    fn lookup_bytes<const IN_LANE: bool>(self, table: &[[__m512i; 4]; 4], index: __m512i) -> [__m512; 4] {
        // Unpacking interleaves within quarters, so the bytes are first put where it takes them from.
        let order = if IN_LANE { &LANES_FOR_UNPACKING } else { &VECTORS_FOR_UNPACKING };
        memory!({
            let index = _mm512_permutexvar_epi8(_mm512_loadu_si512(order.as_ptr().cast()), index);
            let upper = _mm512_movepi8_mask(index);
            let mut planes = [index; 4];
            for (plane, table) in planes.iter_mut().zip(table) {
                let low = _mm512_permutex2var_epi8(table[0], index, table[1]);
                *plane = _mm512_mask_blend_epi8(upper, low, _mm512_permutex2var_epi8(table[2], index, table[3]));
            }
            let [a, b, c, d] = planes;
            let (low, high) = (_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d));
            let (low_after, high_after) = (_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d));
            [
                _mm512_castsi512_ps(_mm512_unpacklo_epi16(low, high)),
                _mm512_castsi512_ps(_mm512_unpackhi_epi16(low, high)),
                _mm512_castsi512_ps(_mm512_unpacklo_epi16(low_after, high_after)),
                _mm512_castsi512_ps(_mm512_unpackhi_epi16(low_after, high_after)),
            ]
        })
    }

    // For quantizing and dequantizing.

    #[inline(always)]
    fn lookup256(self, table: &[f32; 256], index: __m512i) -> __m512 {
        // The mask keeps every index within the table.
        memory!(_mm512_i32gather_ps::<4>(_mm512_and_si512(index, _mm512_set1_epi32(255)), table.as_ptr()))
    }

    #[inline(always)]
    fn min_i(self, a: __m512i, b: __m512i) -> __m512i {
        intrinsic!(_mm512_min_epi32(a, b))
    }

    #[inline(always)]
    fn store_nibbles(self, [a, b, c, d]: [__m512i; 4], dst: &mut [u8]) {
        // Byte j of lane i is lane i of vector j; the permutation puts the vectors one after the other.
        intrinsic!({
            let ab = _mm512_or_si512(a, _mm512_slli_epi32::<8>(b));
            let cd = _mm512_or_si512(_mm512_slli_epi32::<16>(c), _mm512_slli_epi32::<24>(d));
            let order = _mm512_loadu_si512(LANES_TO_BYTES.as_ptr().cast());
            store_byte_pairs(_mm512_permutexvar_epi8(order, _mm512_or_si512(ab, cd)), dst);
        });
    }

    #[inline(always)]
    fn pack_nibbles(self, src: &[u8], dst: &mut [u8]) {
        let src = first(src, 64);
        memory!(store_byte_pairs(_mm512_loadu_si512(src.as_ptr().cast()), dst));
    }

    #[inline(always)]
    fn copy_streaming(self, src: &[u8], dst: &mut [u8]) {
        let head = aligned_head(dst, 64);
        let (head_src, src) = src.split_at(head);
        let (head_dst, dst) = dst.split_at_mut(head);
        head_dst.copy_from_slice(head_src);
        let (src, tail_src) = src.split_at(src.len() / 64 * 64);
        let (dst, tail_dst) = dst.split_at_mut(src.len());
        tail_dst.copy_from_slice(tail_src);
        for (src, dst) in src.chunks_exact(64).zip(dst.chunks_exact_mut(64)) {
            // SAFETY: the receiver proves AVX-512; both chunks have 64 bytes, and `aligned_head` has aligned those of `dst`.
            unsafe { _mm512_stream_si512(dst.as_mut_ptr().cast(), _mm512_loadu_si512(src.as_ptr().cast())) }
        }
        // Non-temporal stores are ordered by this alone.
        intrinsic!(_mm_sfence());
    }
}

/// Byte `16 * j + i` comes from byte `4 * i + j`.
static LANES_TO_BYTES: [u8; 64] = {
    let mut order = [0; 64];
    let mut n = 0;
    while n < 64 {
        order[n] = (4 * (n % 16) + n / 16) as u8;
        n += 1;
    }
    order
};

/// Byte `16 * q + 4 * v + i` comes from byte v of lane `4 * q + i`.
static LANES_FOR_UNPACKING: [u8; 64] = order_for_unpacking(4, 1);
/// Byte `16 * q + 4 * v + i` comes from byte `16 * v + 4 * q + i`.
static VECTORS_FOR_UNPACKING: [u8; 64] = order_for_unpacking(1, 16);

const fn order_for_unpacking(lane_step: usize, vector_step: usize) -> [u8; 64] {
    let mut order = [0; 64];
    let mut n = 0;
    while n < 64 {
        let (lane, vector) = (n / 16 * 4 + n % 4, n / 4 % 4);
        order[n] = (lane * lane_step + vector * vector_step) as u8;
        n += 1;
    }
    order
}

/// Joins neighbouring bytes, each 0 to 15, into bytes of two codes, the first in the high half: 32 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store_byte_pairs(bytes: __m512i, dst: &mut [u8]) {
    let dst = first_mut(dst, 32);
    let words = _mm512_maddubs_epi16(bytes, _mm512_set1_epi16(0x0110));
    // SAFETY: `dst` has 32 bytes, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(dst.as_mut_ptr().cast(), _mm512_cvtepi16_epi8(words)) }
}
