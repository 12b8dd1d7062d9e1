//! AVX2 with FMA and F16C: Haswell, Zen and later. 8 lanes.

use std::arch::x86_64::*;

use crate::cpu::arch::aligned_head;
use crate::cpu::arch::first;
use crate::cpu::arch::first_mut;
use crate::cpu::arch::intrinsic;
use crate::cpu::arch::memory;
use crate::cpu::simd::Op;
use crate::cpu::simd::Simd;
use crate::values::bf16;
use crate::values::f16;

/// Proof that this CPU has AVX2, FMA and F16C. Only [`Avx2::detect`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    /// `None` when the CPU lacks a feature that [`Avx2::run`] enables.
    pub fn detect() -> Option<Self> {
        let present =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        present.then_some(Self(()))
    }

    /// Evaluates `op` in code compiled for these features.
    pub fn run<O: Op>(self, op: O) -> O::Output {
        // Enables exactly the features that `detect` tests.
        #[target_feature(enable = "avx2,fma,f16c")]
        fn compiled<O: Op>(isa: Avx2, op: O) -> O::Output {
            op.eval(isa)
        }
        // SAFETY: a value of `Avx2` exists only if `detect` saw all of these features.
        unsafe { compiled(self, op) }
    }
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    type F = __m256;
    type I = __m256i;
    type Table16 = [__m256; 2];
    type Table32 = [__m256; 4];
    type Table256 = [f32; 256];

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        intrinsic!(_mm256_set1_ps(value))
    }

    #[inline(always)]
    fn splat_i(self, value: i32) -> __m256i {
        intrinsic!(_mm256_set1_epi32(value))
    }

    #[inline(always)]
    fn load(self, src: &[f32]) -> __m256 {
        let src = first(src, 8);
        memory!(_mm256_loadu_ps(src.as_ptr()))
    }

    #[inline(always)]
    fn load_f16(self, src: &[f16]) -> __m256 {
        let src = first(src, 8);
        memory!(_mm256_cvtph_ps(_mm_loadu_si128(src.as_ptr().cast())))
    }

    #[inline(always)]
    fn load_bf16(self, src: &[bf16]) -> __m256 {
        let src = first(src, 8);
        memory!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(
            src.as_ptr().cast()
        )))))
    }

    #[inline(always)]
    fn load_nibbles(self, src: &[u8]) -> __m256i {
        let word = i32::from_le_bytes([src[0], src[1], src[2], src[3]]);
        // All lanes take the word; each shifts its own code down.
        intrinsic!(_mm256_srlv_epi32(_mm256_set1_epi32(word), _mm256_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24)))
    }

    #[inline(always)]
    fn load_bytes(self, src: &[u8]) -> __m256i {
        let src = first(src, 8);
        memory!(_mm256_cvtepu8_epi32(_mm_loadl_epi64(src.as_ptr().cast())))
    }

    #[inline(always)]
    fn load_i8(self, src: &[i8]) -> __m256i {
        let src = first(src, 8);
        memory!(_mm256_cvtepi8_epi32(_mm_loadl_epi64(src.as_ptr().cast())))
    }

    #[inline(always)]
    fn store(self, values: __m256, dst: &mut [f32]) {
        let dst = first_mut(dst, 8);
        memory!(_mm256_storeu_ps(dst.as_mut_ptr(), values))
    }

    #[inline(always)]
    fn store_f16(self, values: __m256, dst: &mut [f16]) {
        let dst = first_mut(dst, 8);
        memory!(_mm_storeu_si128(dst.as_mut_ptr().cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values)))
    }

    #[inline(always)]
    fn store_bf16(self, values: __m256, dst: &mut [bf16]) {
        let dst = first_mut(dst, 8);
        // Adds half of the last place kept, and one more when that place is odd; a NaN is made quiet instead.
        memory!({
            let bits = _mm256_castps_si256(values);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
            let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x40_0000));
            let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(values, values));
            let high = _mm256_srli_epi32::<16>(_mm256_blendv_epi8(rounded, quiet, nan));
            let pairs = _mm256_permute4x64_epi64::<0b1000>(_mm256_packus_epi32(high, high));
            _mm_storeu_si128(dst.as_mut_ptr().cast(), _mm256_castsi256_si128(pairs))
        })
    }

    #[inline(always)]
    fn store_bytes(self, values: __m256i, dst: &mut [u8]) {
        let dst = first_mut(dst, 8);
        // The low byte of each lane, gathered within each half, then both halves side by side.
        memory!({
            let low = _mm256_setr_epi8(
                0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, //
                0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
            );
            let bytes = _mm256_shuffle_epi8(values, low);
            let both = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 0, 4, 0, 4, 0, 4));
            _mm_storel_epi64(dst.as_mut_ptr().cast(), _mm256_castsi256_si128(both))
        })
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_div_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_min_ps(a, b))
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_max_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        intrinsic!(_mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn reduce_add(self, a: __m256) -> f32 {
        intrinsic!({
            let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        })
    }

    #[inline(always)]
    fn to_bits(self, a: __m256) -> __m256i {
        intrinsic!(_mm256_castps_si256(a))
    }

    #[inline(always)]
    fn from_bits(self, a: __m256i) -> __m256 {
        intrinsic!(_mm256_castsi256_ps(a))
    }

    #[inline(always)]
    fn round_i(self, a: __m256) -> __m256i {
        intrinsic!(_mm256_cvtps_epi32(a))
    }

    #[inline(always)]
    fn to_float(self, a: __m256i) -> __m256 {
        intrinsic!(_mm256_cvtepi32_ps(a))
    }

    #[inline(always)]
    fn add_i(self, a: __m256i, b: __m256i) -> __m256i {
        intrinsic!(_mm256_add_epi32(a, b))
    }

    #[inline(always)]
    fn and(self, a: __m256i, b: __m256i) -> __m256i {
        intrinsic!(_mm256_and_si256(a, b))
    }

    #[inline(always)]
    fn shr<const N: i32>(self, a: __m256i) -> __m256i {
        intrinsic!(_mm256_srli_epi32::<N>(a))
    }

    #[inline(always)]
    fn signed_byte<const N: i32>(self, a: __m256i) -> __m256i {
        intrinsic!(_mm256_srai_epi32::<24>(_mm256_sll_epi32(a, _mm_cvtsi32_si128(24 - N))))
    }

    #[inline(always)]
    fn max_i(self, a: __m256i, b: __m256i) -> __m256i {
        intrinsic!(_mm256_max_epi32(a, b))
    }

    #[inline(always)]
    fn reduce_max_i(self, a: __m256i) -> i32 {
        intrinsic!({
            let four = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256::<1>(a));
            let two = _mm_max_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
            _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two)))
        })
    }

    #[inline(always)]
    fn count_gt(self, count: __m256i, a: __m256, b: __m256) -> __m256i {
        // A lane of the comparison is 0 or -1.
        intrinsic!(_mm256_sub_epi32(count, _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GT_OQ>(a, b))))
    }

    // For multiplying.

    const NATIVE_BF16: bool = false;
    const DOT4_BIAS: i32 = 128;
    type TableBf16 = [__m256; 2];

    #[inline(always)]
    unsafe fn load_ptr(self, src: *const f32) -> __m256 {
        // SAFETY: the token proves the instruction, the caller promises the floats.
        unsafe { _mm256_loadu_ps(src) }
    }

    #[inline(always)]
    unsafe fn load_words_ptr(self, src: *const u32) -> __m256i {
        // SAFETY: the token proves the instruction, the caller promises the words.
        unsafe { _mm256_loadu_si256(src.cast()) }
    }

    #[inline(always)]
    unsafe fn splat_ptr(self, src: *const u32) -> __m256i {
        // SAFETY: the caller promises one word.
        self.splat_i(unsafe { src.cast::<i32>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store_ptr(self, values: __m256, dst: *mut f32) {
        // SAFETY: the token proves the instruction, the caller promises the room.
        unsafe { _mm256_storeu_ps(dst, values) }
    }

    #[inline(always)]
    fn prefetch(self, src: *const u8) {
        intrinsic!(_mm_prefetch::<_MM_HINT_T1>(src.cast()))
    }

    #[inline(always)]
    fn xor(self, a: __m256i, b: __m256i) -> __m256i {
        intrinsic!(_mm256_xor_si256(a, b))
    }

    #[inline(always)]
    fn mul_i(self, a: __m256i, b: __m256i) -> __m256i {
        intrinsic!(_mm256_mullo_epi32(a, b))
    }

    #[inline(always)]
    fn reduce_add_i(self, a: __m256i) -> i32 {
        intrinsic!({
            let four = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256::<1>(a));
            let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
            _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two)))
        })
    }

    #[inline(always)]
    fn dot4(self, sum: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
        // Less 128 the unsigned bytes are in -128..=127, and |a| * (sign(a) b) summed in pairs is at most 2 * 128 * 127:
        // it cannot saturate 16 bits, as 2 * 255 * 127 would.
        intrinsic!({
            let a = _mm256_xor_si256(unsigned, _mm256_set1_epi8(-128));
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(signed, a));
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        })
    }

    #[inline(always)]
    fn dot_bf16(self, sum: __m256, a: __m256i, b: __m256i) -> __m256 {
        intrinsic!({
            let low = |v| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(v));
            let high = |v| _mm256_castsi256_ps(_mm256_and_si256(v, _mm256_set1_epi32(-65536)));
            _mm256_fmadd_ps(high(a), high(b), _mm256_fmadd_ps(low(a), low(b), sum))
        })
    }

    #[inline(always)]
    fn table_bf16(self, values: &[f32; 16]) -> [__m256; 2] {
        self.table16(&values.map(|v| bf16::from_f32(v).to_f32()))
    }

    #[inline(always)]
    fn lookup_bf16(self, table: [__m256; 2], index: __m256i) -> __m256i {
        let low = self.to_bits(self.lookup16(table, index));
        let high = self.to_bits(self.lookup16(table, self.shr::<16>(index)));
        intrinsic!(_mm256_or_si256(_mm256_srli_epi32::<16>(low), high))
    }

    // Tables.

    #[inline(always)]
    fn table16(self, values: &[f32; 16]) -> [__m256; 2] {
        [self.load(&values[..8]), self.load(&values[8..])]
    }

    #[inline(always)]
    fn table32(self, values: &[f32; 32]) -> [__m256; 4] {
        std::array::from_fn(|i| self.load(&values[8 * i..]))
    }

    #[inline(always)]
    fn lookup16(self, table: [__m256; 2], index: __m256i) -> __m256 {
        // A permutation uses the low three bits; bit 3, moved to the sign, chooses between the halves.
        intrinsic!({
            let upper = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index));
            let low = _mm256_permutevar8x32_ps(table[0], index);
            _mm256_blendv_ps(low, _mm256_permutevar8x32_ps(table[1], index), upper)
        })
    }

    #[inline(always)]
    fn lookup32(self, table: [__m256; 4], index: __m256i) -> __m256 {
        let low = self.lookup16([table[0], table[1]], index);
        let high = self.lookup16([table[2], table[3]], index);
        intrinsic!(_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32::<27>(index))))
    }

    #[inline(always)]
    fn table256(self, values: &[f32; 256]) -> [f32; 256] {
        *values
    }

    #[inline(always)]
    fn lookup_bytes<const IN_LANE: bool>(self, table: &[f32; 256], index: __m256i) -> [__m256; 4] {
        let mut bytes = [0; 32];
        memory!(_mm256_storeu_si256(bytes.as_mut_ptr().cast(), index));
        let from = |v: usize| self.load_bytes(&bytes[8 * v..]);
        let vectors = if IN_LANE {
            [index, self.shr::<8>(index), self.shr::<16>(index), self.shr::<24>(index)]
        } else {
            [from(0), from(1), from(2), from(3)]
        };
        let [a, b, c, d] = vectors;
        [self.lookup256(table, a), self.lookup256(table, b), self.lookup256(table, c), self.lookup256(table, d)]
    }

    // For quantizing and dequantizing.

    #[inline(always)]
    fn lookup256(self, table: &[f32; 256], index: __m256i) -> __m256 {
        // The mask keeps every index within the table.
        memory!(_mm256_i32gather_ps::<4>(table.as_ptr(), _mm256_and_si256(index, _mm256_set1_epi32(255))))
    }

    #[inline(always)]
    fn min_i(self, a: __m256i, b: __m256i) -> __m256i {
        intrinsic!(_mm256_min_epi32(a, b))
    }

    #[inline(always)]
    fn store_nibbles(self, [a, b, c, d]: [__m256i; 4], dst: &mut [u8]) {
        // Packing works within halves: dwords 0, 2, 4, 6 of `bytes` are the lower lanes of a, b, c, d.
        intrinsic!({
            let bytes = _mm256_packus_epi16(_mm256_packus_epi32(a, b), _mm256_packus_epi32(c, d));
            let ordered = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
            store_byte_pairs(ordered, dst);
        });
    }

    #[inline(always)]
    fn pack_nibbles(self, src: &[u8], dst: &mut [u8]) {
        let src = first(src, 32);
        memory!(store_byte_pairs(_mm256_loadu_si256(src.as_ptr().cast()), dst));
    }

    #[inline(always)]
    fn copy_streaming(self, src: &[u8], dst: &mut [u8]) {
        let head = aligned_head(dst, 32);
        let (head_src, src) = src.split_at(head);
        let (head_dst, dst) = dst.split_at_mut(head);
        head_dst.copy_from_slice(head_src);
        let (src, tail_src) = src.split_at(src.len() / 32 * 32);
        let (dst, tail_dst) = dst.split_at_mut(src.len());
        tail_dst.copy_from_slice(tail_src);
        for (src, dst) in src.chunks_exact(32).zip(dst.chunks_exact_mut(32)) {
            // SAFETY: the receiver proves AVX; both chunks have 32 bytes, and `aligned_head` has aligned those of `dst`.
            unsafe { _mm256_stream_si256(dst.as_mut_ptr().cast(), _mm256_loadu_si256(src.as_ptr().cast())) }
        }
        // Non-temporal stores are ordered by this alone.
        intrinsic!(_mm_sfence());
    }
}

/// Joins neighbouring bytes, each 0 to 15, into bytes of two codes, the first in the high half: 16 bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn store_byte_pairs(bytes: __m256i, dst: &mut [u8]) {
    let dst = first_mut(dst, 16);
    let words = _mm256_maddubs_epi16(bytes, _mm256_set1_epi16(0x0110));
    let pairs = _mm256_permute4x64_epi64::<0b1000>(_mm256_packus_epi16(words, words));
    // SAFETY: `dst` has 16 bytes, and the store needs no alignment.
    unsafe { _mm_storeu_si128(dst.as_mut_ptr().cast(), _mm256_castsi256_si128(pairs)) }
}
