//! The 8-bit formats `e4m3` and `e5m2` (OCP 8-bit floating point, as PTX uses them).
//!
//! `e4m3` has no infinities: the bits above the largest finite number, 448, are NaN. `e5m2` is a short `f16`.

use crate::numeric::round::Format;

/// 4 exponent bits, 3 mantissa bits, largest number 448, NaN `0x7f`.
pub const E4M3: Format = Format { exponent_bits: 4, mantissa_bits: 3, max_finite: 0x7e, infinity: None, nan: 0x7f };

/// 5 exponent bits, 2 mantissa bits, largest number 57344. Of its three NaNs the ISA names none; results here are
/// `0x7f`.
pub const E5M2: Format = Format::ieee(5, 2, 0x7f);

/// The exact value of an `e4m3`.
#[inline]
pub fn e4m3_to_f32(bits: u8) -> f32 {
    E4M3_VALUES[usize::from(bits)]
}

/// The exact value of an `e5m2`.
#[inline]
pub fn e5m2_to_f32(bits: u8) -> f32 {
    super::float16::f16_to_f32(u16::from(bits) << 8)
}

const E4M3_VALUES: [f32; 256] = e4m3_values();

const fn e4m3_values() -> [f32; 256] {
    let mut values = [0.0; 256];
    let mut code = 0;
    while code < 256 {
        let field = code >> 3 & 0xf;
        let fraction = (code & 7) as f32;
        let magnitude = if code & 0x7f == 0x7f {
            f32::NAN
        } else if field == 0 {
            fraction / 512.0
        } else {
            // 2^(field - 10), so that 8 + fraction is the significand.
            (8.0 + fraction) * f32::from_bits((field as u32 + 117) << 23)
        };
        values[code] = if code & 0x80 != 0 { -magnitude } else { magnitude };
        code += 1;
    }
    values
}
