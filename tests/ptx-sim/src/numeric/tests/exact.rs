//! Exact numbers and rounding by definition: the oracle of the tests.
//!
//! A number is an integer of 1024 bits times 2^-400, which holds every `f32`, `f16`, `bf16` and their products and sums.
//! Rounding searches the format's codes for the neighbours of a number and compares with them and their midpoint.

use std::cmp::Ordering;

use crate::types::Rounding;

const LIMBS: usize = 16;
const UNIT: i32 = -400;

/// An exact number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact {
    negative: bool,
    magnitude: [u64; LIMBS],
}

impl Exact {
    /// `significand * 2^exponent`, negated if `negative`.
    pub fn new(negative: bool, significand: u128, exponent: i32) -> Self {
        let shift = usize::try_from(exponent - UNIT).expect("a multiple of the unit");
        let mut magnitude = [0; LIMBS];
        let (limb, bit) = (shift / 64, shift % 64);
        for (word, at) in [(significand as u64, limb), ((significand >> 64) as u64, limb + 1)] {
            let wide = u128::from(word) << bit;
            for (half, at) in [(wide as u64, at), ((wide >> 64) as u64, at + 1)] {
                assert!(half == 0 || at < LIMBS, "1024 bits are enough");
                magnitude[at.min(LIMBS - 1)] |= half;
            }
        }
        Self { negative, magnitude }
    }

    fn compare_magnitude(&self, other: &Self) -> Ordering {
        self.magnitude.iter().rev().cmp(other.magnitude.iter().rev())
    }

    /// Compares with another number, both not negative.
    pub fn compare(&self, other: &Self) -> Ordering {
        assert!(!self.negative && !other.negative);
        self.compare_magnitude(other)
    }

    /// Whether this is zero.
    pub fn is_zero(&self) -> bool {
        self.magnitude == [0; LIMBS]
    }

    /// The sum.
    pub fn plus(&self, other: &Self) -> Self {
        let (large, small) = match self.compare_magnitude(other) {
            Ordering::Less => (other, self),
            _ => (self, other),
        };
        let subtract = large.negative != small.negative;
        let mut magnitude = [0; LIMBS];
        let mut carry = i128::from(0);
        for (limb, (&a, &b)) in magnitude.iter_mut().zip(large.magnitude.iter().zip(&small.magnitude)) {
            let b = if subtract { -i128::from(b) } else { i128::from(b) };
            carry += i128::from(a) + b;
            *limb = carry as u64;
            carry >>= 64;
        }
        assert_eq!(carry, 0, "1024 bits are enough");
        Self { negative: large.negative, magnitude }
    }

    /// The number without its sign.
    pub fn abs(&self) -> Self {
        Self { negative: false, ..*self }
    }

    fn doubled(&self) -> Self {
        self.plus(self)
    }
}

/// A format by its field widths; one with infinities, or `e4m3`.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub exponent_bits: u32,
    pub mantissa_bits: u32,
    /// Codes from here on are not finite numbers.
    pub first_special: u64,
}

pub const F16: Layout = Layout { exponent_bits: 5, mantissa_bits: 10, first_special: 0x7c00 };
pub const BF16: Layout = Layout { exponent_bits: 8, mantissa_bits: 7, first_special: 0x7f80 };
pub const TF32: Layout = Layout { exponent_bits: 8, mantissa_bits: 10, first_special: 0x3fc00 };
pub const F32: Layout = Layout { exponent_bits: 8, mantissa_bits: 23, first_special: 0x7f80_0000 };
pub const F64: Layout = Layout { exponent_bits: 11, mantissa_bits: 52, first_special: 0x7ff0_0000_0000_0000 };
pub const E5M2: Layout = Layout { exponent_bits: 5, mantissa_bits: 2, first_special: 0x7c };
pub const E4M3: Layout = Layout { exponent_bits: 4, mantissa_bits: 3, first_special: 0x7f };

impl Layout {
    pub fn sign_bit(self) -> u64 {
        1 << (self.exponent_bits + self.mantissa_bits)
    }

    pub fn is_negative(self, bits: u64) -> bool {
        bits & self.sign_bit() != 0
    }

    pub fn is_finite(self, bits: u64) -> bool {
        bits & (self.sign_bit() - 1) < self.first_special
    }

    /// Sign, significand and exponent of a finite code, or of the code after the largest, which continues the pattern.
    pub fn parts(self, bits: u64) -> (bool, u64, i32) {
        let field = bits >> self.mantissa_bits & ((1 << self.exponent_bits) - 1);
        let fraction = bits & ((1 << self.mantissa_bits) - 1);
        let bias = (1 << (self.exponent_bits - 1)) - 1;
        let significand = if field == 0 { fraction } else { fraction + (1 << self.mantissa_bits) };
        (self.is_negative(bits), significand, field.max(1) as i32 - bias - self.mantissa_bits as i32)
    }

    pub fn value(self, bits: u64) -> Exact {
        let (negative, significand, exponent) = self.parts(bits);
        Exact::new(negative, u128::from(significand), exponent)
    }

    /// The product of two finite codes.
    pub fn product(self, a: u64, b: u64) -> Exact {
        let (a, b) = (self.parts(a), self.parts(b));
        Exact::new(a.0 != b.0, u128::from(a.1) * u128::from(b.1), a.2 + b.2)
    }

    /// The code that a number that is not zero rounds to. Above the range: infinity, or without one the largest number.
    pub fn round(self, x: &Exact, rounding: Rounding) -> u64 {
        let magnitude = x.abs();
        // The largest code not above: codes are ordered as their values, `first_special` stands for what comes next.
        let (mut low, mut high) = (0, self.first_special);
        if self.value(high).compare_magnitude(&magnitude).is_le() {
            low = high;
        }
        while low + 1 < high {
            let middle = (low + high) / 2;
            match self.value(middle).compare_magnitude(&magnitude) {
                Ordering::Greater => high = middle,
                _ => low = middle,
            }
        }
        let exact = self.value(low) == magnitude;
        let up = match rounding {
            _ if exact || low == self.first_special => false,
            Rounding::Zero => false,
            Rounding::Up => !x.negative,
            Rounding::Down => x.negative,
            Rounding::NearestEven | Rounding::NearestAway => {
                let midpoint = self.value(low).plus(&self.value(low + 1));
                match magnitude.doubled().compare_magnitude(&midpoint) {
                    Ordering::Less => false,
                    Ordering::Greater => true,
                    Ordering::Equal => rounding == Rounding::NearestAway || low % 2 == 1,
                }
            }
        };
        let mut code = low + u64::from(up);
        let towards_zero = match rounding {
            Rounding::Zero => true,
            Rounding::Up => x.negative,
            Rounding::Down => !x.negative,
            _ => false,
        };
        let has_infinity = self.first_special & ((1 << self.mantissa_bits) - 1) == 0;
        if code == self.first_special && (towards_zero || !has_infinity) {
            code -= 1;
        }
        if x.negative { code | self.sign_bit() } else { code }
    }
}
