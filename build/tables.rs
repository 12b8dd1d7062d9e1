//! `tables.cuh`, the codebooks of `src/formats/tables.rs` for the kernels.

#[allow(dead_code)]
#[path = "../src/formats/tables.rs"]
mod values;

use std::fmt::Write;

/// The text of `tables.cuh`. Each table comes as a list of values, `LOWBIT_NF4`, to initialise an array in any memory
/// space (device code cannot index a `constexpr` array), and as `constexpr float kNf4[16]`.
pub fn header() -> String {
    let mut text = String::from("// Made by build.rs from src/formats/tables.rs.\n#pragma once\n");
    for (list, array, values) in [
        ("LOWBIT_NF4", "kNf4", &values::NF4[..]),
        ("LOWBIT_FP4", "kFp4", &values::FP4[..]),
        ("LOWBIT_DYNAMIC_MAP", "kDynamicMap", &values::DYNAMIC_MAP[..]),
    ] {
        write!(text, "\n#define {list}").unwrap();
        for (i, &value) in values.iter().enumerate() {
            let separator = if i == 0 { "" } else { "," };
            write!(text, "{separator} \\\n    {}", literal(value)).unwrap();
        }
        writeln!(text, "\n[[maybe_unused]] constexpr float {array}[{}] = {{{list}}};", values.len()).unwrap();
    }
    text
}

/// An exact float literal of C++17.
fn literal(value: f32) -> String {
    let bits = value.to_bits();
    let (exponent, fraction) = ((bits >> 23) & 0xff, (bits & 0x7f_ffff) << 1);
    let sign = if value.is_sign_negative() { "-" } else { "" };
    match exponent {
        0xff => panic!("{value} in a table"),
        0 => format!("{sign}0x0.{fraction:06x}p-126f"),
        _ => format!("{sign}0x1.{fraction:06x}p{}f", exponent as i32 - 127),
    }
}
