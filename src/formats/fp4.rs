//! FP4 as bitsandbytes defines it: 1 sign, 2 exponent and 1 mantissa bit, scaled so that the largest value is 1.
//!
//! ```text
//! value[i] = FP4[code[i]] * absmax[i / B]       i over the flattened matrix, B the block size
//!
//! byte j    bits 7..4       bits 3..0
//!           code[2j]        code[2j + 1]
//! ```
//! Codes do not ascend with their values: bit 3 is the sign, and 0 and 8 both mean zero. Quantizing here yields 0 for zero. The bits are bitsandbytes'.
//!
//! | absmax | bits per weight at B = 64 | at B = 32 |
//! |---|---|---|
//! | f32 | 4 + 32/64 = 4.5 | 5 |
//! | nested | 4 + 8/64 + 32/(64·256) = 4.127 | 4.254 |

use crate::formats::AbsmaxKind;
use crate::formats::ScaleRule;
use crate::formats::recipe::codebook4_builder;
use crate::shape::BlockSize;

/// How to quantize to FP4: `Fp4::default().double_quant(true)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fp4 {
    block_size: BlockSize,
    absmax: AbsmaxKind,
    scale_rule: ScaleRule,
}

codebook4_builder!(Fp4);
