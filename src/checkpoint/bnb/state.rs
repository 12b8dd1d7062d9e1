//! The JSON text of a bitsandbytes quant state, byte for byte as Python's `json.dumps` writes it.

use crate::formats::Format;
use crate::formats::NestedAbsmax;
use crate::shape::MatShape;
use crate::values::Dtype;

/// `nf4` or `fp4`: bitsandbytes' `quant_type`.
pub(super) fn quant_type(format: Format) -> &'static str {
    if matches!(format, Format::Fp4 { .. }) { "fp4" } else { "nf4" }
}

/// What follows `X.weight` in the name of the quant state.
pub(super) fn suffix(format: Format) -> String {
    format!(".quant_state.bitsandbytes__{}", quant_type(format))
}

/// The text; `nested_offset` is a number as JSON text, of double-quantized formats.
pub(super) fn text(format: Format, shape: MatShape, dtype: Dtype, nested_offset: Option<&str>) -> String {
    let block_size = format.flat_block().map_or(0, |block| block.get());
    let (n, k) = (shape.n(), shape.k());
    let mut text = format!(
        r#"{{"quant_type": "{}", "blocksize": {block_size}, "dtype": "{}", "shape": [{n}, {k}]"#,
        quant_type(format),
        dtype.torch_name()
    );
    if let Some(offset) = nested_offset {
        let block_size = NestedAbsmax::BLOCK_SIZE.get();
        text.push_str(&format!(
            r#", "nested_blocksize": {block_size}, "nested_dtype": "float32", "nested_offset": {offset}"#
        ));
    }
    text.push('}');
    text
}

/// A finite number as Python's `repr` prints it: the shortest digits that read back, with an exponent of at least two
/// digits below 1e-4 and from 1e16 on.
///
/// Where two numbers of that length are equally near, as is common for an f32 that was widened, Python takes the even
/// one. Rust's shortest form takes the upper one, but its form with a given number of digits is rounded to even.
pub(super) fn python_float(value: f64) -> String {
    let shortest = format!("{value:e}");
    let digits = shortest.split('e').next().unwrap_or_default().bytes().filter(u8::is_ascii_digit).count();
    let even = format!("{value:.*e}", digits.saturating_sub(1));
    let scientific = if even.parse() == Ok(value) { even } else { shortest };
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let decimals = (digits as i32 - 1 - exponent).max(1) as usize;
    format!("{value:.decimals$}")
}

/// No [`python_float`] of an f32 is longer than this one.
pub(super) const LONGEST_FLOAT: &str = "-1.2345678901234567e-38";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::AbsmaxKind;
    use crate::shape::BlockSize;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-2.5, "-2.5"),
            (0.1, "0.1"),
            (f64::from(0.095_576_62_f32), "0.09557662159204483"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (0.000_012_5, "1.25e-05"),
            (1e-10, "1e-10"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e22, "1.5e+22"),
            (1e100, "1e+100"),
            (123_456_789.0, "123456789.0"),
            // Ties between two shortest forms: the exact values end in ...8125 and ...15625.
            (f64::from(154.710_97_f32), "154.71096801757812"),
            (f64::from(-983.248_6_f32), "-983.2485961914062"),
        ] {
            assert_eq!(python_float(value), expected);
        }
    }

    #[test]
    fn no_f32_is_longer_than_the_room_reserved() {
        for value in [f32::MIN_POSITIVE, f32::MAX, f32::from_bits(1), 1.175_494_5e-38, 3.402_823e38, 1.0 / 3.0, 1.1e-5]
        {
            assert!(python_float(f64::from(-value)).len() <= LONGEST_FLOAT.len(), "{value:e}");
        }
    }

    #[test]
    fn the_text_is_that_of_bitsandbytes() {
        let shape = MatShape::new(256, 768).unwrap();
        let plain = Format::Nf4 { block_size: BlockSize::B64, absmax: AbsmaxKind::F32 };
        assert_eq!(
            text(plain, shape, Dtype::F16, None),
            r#"{"quant_type": "nf4", "blocksize": 64, "dtype": "float16", "shape": [256, 768]}"#
        );
        let nested = Format::Fp4 { block_size: BlockSize::B128, absmax: AbsmaxKind::Nested };
        assert_eq!(
            text(nested, shape, Dtype::Bf16, Some("0.5")),
            concat!(
                r#"{"quant_type": "fp4", "blocksize": 128, "dtype": "bfloat16", "shape": [256, 768], "#,
                r#""nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.5}"#
            )
        );
    }
}
