//! Binary floating-point formats, and the one place where a number is rounded to one of them.
//!
//! Every conversion and every operation that the host does not round by itself ends in [`Format::encode`], which is
//! integer arithmetic only and works for any format of at most 64 bits and any rounding of [`Rounding`].

use crate::types::Rounding;

/// A floating-point number taken apart. The sign of a NaN is dropped: PTX returns a canonical one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpacked {
    /// Not a number.
    Nan,
    /// An infinity.
    Infinite {
        /// Whether the sign bit is set.
        negative: bool,
    },
    /// `significand * 2^exponent`, of either sign. A zero has significand 0.
    Finite {
        /// Whether the sign bit is set.
        negative: bool,
        /// The absolute value is this times a power of two; not normalised.
        significand: u64,
        /// The power of two.
        exponent: i32,
    },
}

/// What a value too large for the format becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Infinity or the largest finite number, whichever the rounding direction says (IEEE 754). A format without
    /// infinities always gives the largest finite number.
    Ieee,
    /// The largest finite number of the same sign, also for infinities (`.satfinite`).
    Finite,
}

/// A binary format: sign, exponent and mantissa, from the highest bit to the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Width of the exponent field.
    pub exponent_bits: u32,
    /// Width of the stored mantissa.
    pub mantissa_bits: u32,
    /// The bits of the largest finite number.
    pub max_finite: u64,
    /// The bits of positive infinity, where the format has one.
    pub infinity: Option<u64>,
    /// The NaN that operations return.
    pub nan: u64,
}

impl Format {
    /// IEEE 754 binary16.
    pub const F16: Self = Self::ieee(5, 10, 0x7fff);
    /// bfloat16: binary32 without its low 16 bits.
    pub const BF16: Self = Self::ieee(8, 7, 0x7fff);
    /// IEEE 754 binary32.
    pub const F32: Self = Self::ieee(8, 23, 0x7fff_ffff);
    /// IEEE 754 binary64.
    pub const F64: Self = Self::ieee(11, 52, 0x7fff_ffff_ffff_ffff);

    /// A format whose highest exponent means infinity (mantissa 0) and NaN.
    pub const fn ieee(exponent_bits: u32, mantissa_bits: u32, nan: u64) -> Self {
        let infinity = ((1 << exponent_bits) - 1) << mantissa_bits;
        Self { exponent_bits, mantissa_bits, max_finite: infinity - 1, infinity: Some(infinity), nan }
    }

    /// The sign bit.
    pub const fn sign_bit(&self) -> u64 {
        1 << (self.exponent_bits + self.mantissa_bits)
    }

    /// Exponent of the unit in the last place of subnormal numbers and of those just above.
    pub const fn min_quantum(&self) -> i32 {
        // 1 - bias is the exponent of the smallest normal number.
        2 - (1 << (self.exponent_bits - 1)) - self.mantissa_bits as i32
    }

    /// Takes a number apart.
    #[inline]
    pub const fn decode(&self, bits: u64) -> Unpacked {
        let negative = bits & self.sign_bit() != 0;
        let magnitude = bits & (self.sign_bit() - 1);
        if magnitude > self.max_finite {
            return match self.infinity {
                Some(infinity) if magnitude == infinity => Unpacked::Infinite { negative },
                _ => Unpacked::Nan,
            };
        }
        let field = (magnitude >> self.mantissa_bits) as i32;
        let fraction = magnitude & ((1 << self.mantissa_bits) - 1);
        if field == 0 {
            return Unpacked::Finite { negative, significand: fraction, exponent: self.min_quantum() };
        }
        let significand = fraction | 1 << self.mantissa_bits;
        Unpacked::Finite { negative, significand, exponent: self.min_quantum() + field - 1 }
    }

    /// The number of this format that `value` rounds to.
    #[inline]
    pub fn encode(&self, value: Unpacked, rounding: Rounding, overflow: Overflow) -> u64 {
        match value {
            Unpacked::Nan => self.nan,
            Unpacked::Infinite { negative } => {
                let magnitude = match (self.infinity, overflow) {
                    (Some(infinity), Overflow::Ieee) => infinity,
                    _ => self.max_finite,
                };
                self.signed(negative, magnitude)
            }
            Unpacked::Finite { negative, significand: 0, .. } => self.signed(negative, 0),
            Unpacked::Finite { negative, significand, exponent } => {
                let magnitude = self.magnitude(negative, significand, exponent, rounding);
                self.signed(negative, self.limit(negative, magnitude, rounding, overflow))
            }
        }
    }

    /// The number of this format nearest to an `f64`, ties to even: [`Format::encode`] for the inner loops. The format
    /// must be shorter than `f32` and have infinities.
    #[inline]
    pub fn nearest(&self, value: f64) -> u64 {
        let lost_bits = Self::F64.mantissa_bits - self.mantissa_bits;
        let bits = value.to_bits();
        let magnitude = bits & !Self::F64.sign_bit();
        let bias_difference = (1023 + 1 - (1 << (self.exponent_bits - 1))) << self.mantissa_bits;
        let infinity = self.max_finite + 1;
        let code = if value.is_nan() {
            return self.nan;
        } else if magnitude >> Self::F64.mantissa_bits > bias_difference >> self.mantissa_bits {
            // Adding almost half a unit carries into what is kept, a full half if that is odd.
            let half = (1 << (lost_bits - 1)) - 1 + (magnitude >> lost_bits & 1);
            (((magnitude + half) >> lost_bits) - bias_difference).min(infinity)
        } else {
            // Subnormal: the sum with a number whose unit in the last place is the format's smallest number rounds it.
            let shifter = f64::from_bits(((self.min_quantum() + 52 + 1023) as u64) << 52);
            (f64::from_bits(magnitude) + shifter).to_bits() - shifter.to_bits()
        };
        self.signed(bits >> 63 != 0, code)
    }

    #[inline]
    fn signed(&self, negative: bool, magnitude: u64) -> u64 {
        if negative { magnitude | self.sign_bit() } else { magnitude }
    }

    /// The rounded bits without sign; above `max_finite` when the value is too large.
    fn magnitude(&self, negative: bool, significand: u64, exponent: i32, rounding: Rounding) -> u64 {
        let top = exponent + 63 - significand.leading_zeros() as i32;
        let quantum = (top - self.mantissa_bits as i32).max(self.min_quantum());
        // An exponent field of at most 11 bits leaves room: clamping keeps the shift below from wrapping.
        let field = (quantum - self.min_quantum()).min(1 << self.exponent_bits) as u64;
        let kept = shift_right_rounded(significand, quantum - exponent, negative, rounding);
        // `kept` has the implicit bit of a normal number, which adds one to the field; so does a carry.
        (field << self.mantissa_bits) + kept
    }

    fn limit(&self, negative: bool, magnitude: u64, rounding: Rounding, overflow: Overflow) -> u64 {
        if magnitude <= self.max_finite {
            return magnitude;
        }
        let away = match rounding {
            Rounding::NearestEven | Rounding::NearestAway => true,
            Rounding::Zero => false,
            Rounding::Down => negative,
            Rounding::Up => !negative,
        };
        match (self.infinity, overflow) {
            (Some(infinity), Overflow::Ieee) if away => infinity,
            _ => self.max_finite,
        }
    }
}

/// `significand / 2^shift` rounded to an integer, as the absolute value of a number of the given sign. A negative shift
/// is exact, and must not push bits out of the word.
#[inline]
pub fn shift_right_rounded(significand: u64, shift: i32, negative: bool, rounding: Rounding) -> u64 {
    if shift <= 0 {
        return significand << -shift;
    }
    // Beyond 65 places everything lost lies below half a unit, as it does at 65.
    let wide = (u128::from(significand) << 64) >> shift.min(65);
    let kept = (wide >> 64) as u64;
    let lost = wide as u64 | u64::from(shift > 64 && significand != 0);
    let half = 1 << 63;
    let up = match rounding {
        Rounding::NearestEven => lost > half || (lost == half && kept & 1 == 1),
        Rounding::NearestAway => lost >= half,
        Rounding::Zero => false,
        Rounding::Down => negative && lost != 0,
        Rounding::Up => !negative && lost != 0,
    };
    kept + u64::from(up)
}
