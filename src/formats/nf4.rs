//! NF4, 4-bit NormalFloat: the quantiles of a normal distribution as a codebook (QLoRA, arXiv 2305.14314).
//!
//! ```text
//! value[i] = NF4[code[i]] * absmax[i / B]       i over the flattened matrix, B the block size
//!
//! byte j    bits 7..4       bits 3..0
//!           code[2j]        code[2j + 1]
//! ```
//! Codes ascend with their values: 0 is -1, 7 is 0, 15 is 1. The bits are bitsandbytes'.
//!
//! | absmax | bits per weight at B = 64 | at B = 32 |
//! |---|---|---|
//! | f32 | 4 + 32/64 = 4.5 | 5 |
//! | nested | 4 + 8/64 + 32/(64·256) = 4.127 | 4.254 |

use crate::formats::AbsmaxKind;
use crate::formats::ScaleRule;
use crate::formats::recipe::codebook4_builder;
use crate::shape::BlockSize;

/// How to quantize to NF4: `Nf4::default().double_quant(true)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nf4 {
    block_size: BlockSize,
    absmax: AbsmaxKind,
    scale_rule: ScaleRule,
}

codebook4_builder!(Nf4);
