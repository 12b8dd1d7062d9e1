//! Every method of [`Simd`] on every instruction set, lane by lane against plain Rust.
#![allow(unsafe_code)]

use crate::cpu::Isa;
use crate::cpu::simd::Op;
use crate::cpu::simd::Simd;
use crate::values::bf16;
use crate::values::f16;

/// More than any instruction set has lanes.
const MOST: usize = 64;

/// Numbers of all kinds: zeros, denormals, ties of rounding to integers, to f16 and to bf16, overflow of both, infinities.
const NUMBERS: [f32; 44] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1.5,
    2.5,
    -0.5,
    -1.5,
    -2.5,
    0.499_999_97,
    8_388_609.0,
    1e-45,
    -1e-45,
    1e-40,
    f32::MIN_POSITIVE,
    1e38,
    -1e38,
    f32::MAX,
    f32::INFINITY,
    f32::NEG_INFINITY,
    // f16: ties at 11 bits, the largest, the first that overflows, the smallest and its half, ties between denormals.
    1.000_488_3,
    1.001_464_8,
    -1.000_488_3,
    65_504.0,
    65_519.996,
    65_520.0,
    5.960_464_5e-8,
    2.980_232_2e-8,
    2.980_232_6e-8,
    8.940_697e-8,
    6.103_515_6e-5,
    // bf16: ties at 8 bits, one ulp beside, the first that overflows.
    1.003_906_3,
    1.011_718_8,
    1.003_906_4,
    -1.003_906_3,
    3.394_615_3e38,
    3.396e38,
    0.1,
    0.2,
    0.3,
    123.456,
    -7.25,
    1e10,
];

const NANS: [u32; 5] = [0x7fc0_0000, 0xffc0_0000, 0x7f80_0001, 0x7fff_ffff, 0xffbf_ffff];

/// Runs a check on every instruction set.
macro_rules! on_every_isa {
    ($name:ident, $simd:ident, $body:block) => {
        #[test]
        fn $name() {
            struct Check;
            impl Op for Check {
                type Output = ();
                #[inline(always)]
                fn eval<S: Simd>(self, $simd: S) {
                    assert!(S::LANES <= MOST / 4);
                    $body
                }
            }
            Isa::available().into_iter().for_each(|isa| isa.run(Check));
        }
    };
}

/// Windows of `LANES` numbers, each beginning one further.
fn windows(lanes: usize) -> impl Iterator<Item = Vec<f32>> {
    (0..NUMBERS.len()).map(move |i| (0..lanes).map(|j| NUMBERS[(i + j) % NUMBERS.len()]).collect())
}

fn integers(lanes: usize) -> impl Iterator<Item = Vec<i32>> {
    let some = [0, 1, -1, 2, 7, 15, 16, 31, 32, 255, 256, 1000, -1000, i32::MAX, i32::MIN, 0x7f80_0000, 0x1234_5678];
    (0..some.len()).map(move |i| (0..lanes).map(|j| some[(i + j) % some.len()]).collect())
}

#[inline(always)]
fn lanes<S: Simd>(simd: S, v: S::F) -> Vec<u32> {
    let mut out = [0.0; MOST];
    simd.store(v, &mut out);
    out[..S::LANES].iter().map(|v| v.to_bits()).collect()
}

#[inline(always)]
fn lanes_i<S: Simd>(simd: S, v: S::I) -> Vec<i32> {
    lanes(simd, simd.from_bits(v)).into_iter().map(|bits| bits as i32).collect()
}

#[inline(always)]
fn load_i<S: Simd>(simd: S, values: &[i32]) -> S::I {
    load_words(simd, bytemuck::cast_slice(values))
}

#[inline(always)]
fn load_words<S: Simd>(simd: S, bytes: &[u8]) -> S::I {
    assert!(bytes.len() >= 4 * S::LANES);
    // SAFETY: the assertion; no alignment is needed.
    unsafe { simd.load_words_ptr(bytes.as_ptr().cast()) }
}

fn bits(values: impl IntoIterator<Item = f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

fn zip<T: Copy, R>(a: &[T], b: &[T], f: impl Fn(T, T) -> R) -> Vec<R> {
    a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect()
}

on_every_isa!(arithmetic, simd, {
    for a in windows(S::LANES) {
        for b in windows(S::LANES).step_by(3) {
            let (va, vb) = (simd.load(&a), simd.load(&b));
            let finite = |v: &f32| !v.is_nan();
            let same = |found: Vec<u32>, expected: Vec<f32>, what: &str| {
                for (i, (found, expected)) in found.into_iter().zip(expected).enumerate() {
                    let agree =
                        if finite(&expected) { found == expected.to_bits() } else { f32::from_bits(found).is_nan() };
                    assert!(agree, "{} {what} {}: {found:x}, expected {expected:e}", a[i], b[i]);
                }
            };
            same(lanes(simd, simd.add(va, vb)), zip(&a, &b, |a, b| a + b), "+");
            same(lanes(simd, simd.sub(va, vb)), zip(&a, &b, |a, b| a - b), "-");
            same(lanes(simd, simd.mul(va, vb)), zip(&a, &b, |a, b| a * b), "*");
            same(lanes(simd, simd.div(va, vb)), zip(&a, &b, |a, b| a / b), "/");
            same(lanes(simd, simd.min(va, vb)), zip(&a, &b, |a, b| if a < b { a } else { b }), "min");
            same(lanes(simd, simd.max(va, vb)), zip(&a, &b, |a, b| if a > b { a } else { b }), "max");
            let greater = zip(&a, &b, |a, b| 5 + i32::from(a > b));
            assert_eq!(lanes_i(simd, simd.count_gt(simd.splat_i(5), va, vb)), greater);
            let fused = lanes(simd, simd.mul_add(va, vb, va));
            for (i, found) in fused.into_iter().map(f32::from_bits).enumerate() {
                let (one, two) = (a[i].mul_add(b[i], a[i]), a[i] * b[i] + a[i]);
                let nan = found.is_nan() && (one.is_nan() || two.is_nan());
                assert!(nan || found == one || found == two, "{} * {} + {0}: {found:e}", a[i], b[i]);
            }
        }
    }
    let nan = simd.splat(f32::NAN);
    let (low, one) = (simd.min(nan, simd.splat(1.0)), simd.splat(1.0));
    assert_eq!(lanes(simd, low), bits(vec![1.0; S::LANES]), "min of a NaN and b is b");
    assert_eq!(lanes(simd, simd.max(nan, one)), bits(vec![1.0; S::LANES]), "max of a NaN and b is b");
    assert_eq!(lanes_i(simd, simd.count_gt(simd.splat_i(0), nan, one)), vec![0; S::LANES]);
});

on_every_isa!(integer_operations, simd, {
    for a in integers(S::LANES) {
        let va = load_i(simd, &a);
        assert_eq!(lanes_i(simd, va), a);
        assert_eq!(lanes_i(simd, simd.to_bits(simd.from_bits(va))), a);
        assert_eq!(lanes_i(simd, simd.shr::<3>(va)), a.iter().map(|&v| (v as u32 >> 3) as i32).collect::<Vec<_>>());
        assert_eq!(lanes_i(simd, simd.shr::<31>(va)), a.iter().map(|&v| (v as u32 >> 31) as i32).collect::<Vec<_>>());
        let byte = |n: i32| a.iter().map(|&v| i32::from((v >> n) as i8)).collect::<Vec<_>>();
        assert_eq!(lanes_i(simd, simd.signed_byte::<0>(va)), byte(0));
        assert_eq!(lanes_i(simd, simd.signed_byte::<8>(va)), byte(8));
        assert_eq!(lanes_i(simd, simd.signed_byte::<24>(va)), byte(24));
        assert_eq!(lanes(simd, simd.to_float(va)), bits(a.iter().map(|&v| v as f32)));
        assert_eq!(Some(simd.reduce_max_i(va)), a.iter().copied().max());
        for b in integers(S::LANES) {
            let vb = load_i(simd, &b);
            assert_eq!(lanes_i(simd, simd.add_i(va, vb)), zip(&a, &b, i32::wrapping_add));
            assert_eq!(lanes_i(simd, simd.and(va, vb)), zip(&a, &b, |a, b| a & b));
            assert_eq!(lanes_i(simd, simd.max_i(va, vb)), zip(&a, &b, i32::max));
            assert_eq!(lanes_i(simd, simd.min_i(va, vb)), zip(&a, &b, i32::min));
        }
    }
    assert_eq!(lanes_i(simd, simd.splat_i(-3)), vec![-3; S::LANES]);
    assert_eq!(lanes(simd, simd.splat(-3.5)), bits(vec![-3.5; S::LANES]));
});

on_every_isa!(rounding_and_sums, simd, {
    for a in windows(S::LANES) {
        let small: Vec<f32> = a.iter().map(|v| if v.abs() < 1e9 { *v } else { 3.0 }).collect();
        let rounded = lanes_i(simd, simd.round_i(simd.load(&small)));
        assert_eq!(rounded, small.iter().map(|v| v.round_ties_even() as i32).collect::<Vec<_>>());
    }
    let ramp: Vec<f32> = (1..=S::LANES).map(|i| i as f32).collect();
    assert_eq!(simd.reduce_add(simd.load(&ramp)), ramp.iter().sum::<f32>());
});

on_every_isa!(widening_and_rounding_to_16_bits, simd, {
    // All 65536 patterns up; NaNs stay NaNs.
    for first in (0..=u16::MAX).step_by(S::LANES) {
        let (mut half, mut brain) = ([f16::ZERO; MOST], [bf16::ZERO; MOST]);
        for i in 0..S::LANES {
            half[i] = f16::from_bits(first + i as u16);
            brain[i] = bf16::from_bits(first + i as u16);
        }
        let found = lanes(simd, simd.load_f16(&half)).into_iter().zip(lanes(simd, simd.load_bf16(&brain)));
        for (i, (from_half, from_brain)) in found.enumerate() {
            for (found, expected) in [(from_half, half[i].to_f32()), (from_brain, brain[i].to_f32())] {
                let both_nan = expected.is_nan() && f32::from_bits(found).is_nan();
                assert!(found == expected.to_bits() || both_nan, "{found:x}, expected {expected:e}");
            }
        }
    }
    let mut all: Vec<f32> = NUMBERS.iter().copied().chain(NANS.map(f32::from_bits)).collect();
    all.extend(NUMBERS.iter().map(|v| f32::from_bits(v.to_bits() ^ 1)));
    // Every place around the ties: all upper halves with a few lower ones.
    all.extend(
        (0..=u16::MAX)
            .flat_map(|high| [0x7fff, 0x8000, 0x8001, 0x1000].map(|low| f32::from_bits(u32::from(high) << 16 | low))),
    );
    all.resize(all.len().next_multiple_of(MOST), 0.0);
    for values in all.chunks_exact(S::LANES) {
        let (mut half, mut brain) = ([f16::ZERO; MOST], [bf16::ZERO; MOST]);
        simd.store_f16(simd.load(values), &mut half);
        simd.store_bf16(simd.load(values), &mut brain);
        for (i, &value) in values.iter().enumerate() {
            if value.is_nan() {
                assert!(half[i].is_nan() && brain[i].is_nan(), "{:x}", value.to_bits());
            } else {
                assert_eq!(half[i].to_bits(), f16::from_f32(value).to_bits(), "{value:e} to f16");
                assert_eq!(brain[i].to_bits(), bf16::from_f32(value).to_bits(), "{value:e} to bf16");
            }
        }
    }
});

on_every_isa!(bytes_and_nibbles, simd, {
    let bytes: Vec<u8> = (0..=255u8).map(|i| i.wrapping_mul(37).wrapping_add(11)).collect();
    for first in 0..150 {
        let src = &bytes[first..];
        let expected = |f: &dyn Fn(usize) -> i32| (0..S::LANES).map(f).collect::<Vec<i32>>();
        assert_eq!(lanes_i(simd, simd.load_bytes(src)), expected(&|i| i32::from(src[i])));
        let signed: &[i8] = bytemuck::cast_slice(src);
        assert_eq!(lanes_i(simd, simd.load_i8(signed)), expected(&|i| i32::from(signed[i])));
        let words = |i: usize| i32::from_le_bytes(src[4 * i..][..4].try_into().unwrap());
        assert_eq!(lanes_i(simd, load_words(simd, src)), expected(&words));
        let codes = lanes_i(simd, simd.and(simd.load_nibbles(src), simd.splat_i(15)));
        assert_eq!(codes, expected(&|i| i32::from(crate::formats::nibbles::get(src, i))));
        let mut out = [0u8; MOST];
        simd.store_bytes(load_words(simd, src), &mut out);
        assert_eq!(
            out[..S::LANES],
            *expected(&|i| i32::from(src[4 * i])).into_iter().map(|v| v as u8).collect::<Vec<_>>()
        );
        assert_eq!(out[S::LANES..], [0; MOST][S::LANES..], "nothing beside");
    }
    let codes: Vec<u8> = bytes.iter().map(|byte| byte & 15).collect();
    let mut expected = [0u8; 2 * MOST];
    for (i, &code) in codes[..4 * S::LANES].iter().enumerate() {
        crate::formats::nibbles::set(&mut expected, i, code);
    }
    let (mut stored, mut packed) = ([0u8; 2 * MOST], [0u8; 2 * MOST]);
    let four = [0, 1, 2, 3].map(|j| j * S::LANES);
    let [a, b, c, d] = four;
    let load = [simd.load_bytes(&codes[a..]), simd.load_bytes(&codes[b..]), simd.load_bytes(&codes[c..])];
    simd.store_nibbles([load[0], load[1], load[2], simd.load_bytes(&codes[d..])], &mut stored);
    simd.pack_nibbles(&codes, &mut packed);
    assert_eq!((stored, packed), (expected, expected));
});

on_every_isa!(tables, simd, {
    let values: Vec<f32> = (0..256).map(|i| 1000.0 + i as f32).collect();
    let table16 = simd.table16(values[..16].try_into().unwrap());
    let table32 = simd.table32(values[..32].try_into().unwrap());
    let table256: &[f32; 256] = values[..].try_into().unwrap();
    for first in (0..1024).chain([-1, -1000, i32::MAX - 100]) {
        // Upper bits are ignored.
        let index: Vec<i32> = (0..S::LANES as i32).map(|i| first + 5 * i).collect();
        let vector = load_i(simd, &index);
        let entries = |mask: i32| bits(index.iter().map(|i| values[(i & mask) as usize]));
        assert_eq!(lanes(simd, simd.lookup16(table16, vector)), entries(15));
        assert_eq!(lanes(simd, simd.lookup32(table32, vector)), entries(31));
        assert_eq!(lanes(simd, simd.lookup256(table256, vector)), entries(255));
        let bytes: Vec<u8> = (0..4 * S::LANES as i32).map(|i| first.wrapping_add(37 * i) as u8).collect();
        let words: Vec<i32> = bytes.chunks_exact(4).map(|word| i32::from_le_bytes(word.try_into().unwrap())).collect();
        let (table, words) = (simd.table256(table256), load_i(simd, &words));
        let in_lane = simd.lookup_bytes::<true>(&table, words);
        let in_order = simd.lookup_bytes::<false>(&table, words);
        for (v, (in_lane, in_order)) in in_lane.into_iter().zip(in_order).enumerate() {
            let entry = |byte: usize| values[usize::from(bytes[byte])];
            assert_eq!(lanes(simd, in_lane), bits((0..S::LANES).map(|i| entry(4 * i + v))));
            assert_eq!(lanes(simd, in_order), bits((0..S::LANES).map(|i| entry(v * S::LANES + i))));
        }
    }
});

on_every_isa!(copies_past_the_caches, simd, {
    let src: Vec<u8> = (0..2000).map(|i| (i % 251) as u8).collect();
    for first in [0, 1, 4, 31, 63] {
        for len in [0, 1, 63, 64, 65, 127, 500, 1900] {
            let mut dst = vec![255u8; 2000];
            simd.copy_streaming(&src[..len], &mut dst[first..first + len]);
            assert_eq!(dst[first..first + len], src[..len]);
            assert!(dst[..first].iter().chain(&dst[first + len..]).all(|&byte| byte == 255), "{first} {len}");
        }
    }
});
