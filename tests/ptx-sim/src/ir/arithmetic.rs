//! Operations on values: integers, floating point, conversions, comparisons.

use crate::ir::Destination;
use crate::ir::Operand;
use crate::ir::PredicateOperand;
use crate::numeric::Approximation;
use crate::numeric::Comparison;
use crate::numeric::ConvertModifiers;
use crate::numeric::approx::Division;
use crate::types::Rounding;
use crate::types::Type;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerUnary {
    Not,
    Negate,
    Absolute,
    PopulationCount,
    LeadingZeros,
    BitReverse,
    /// `bfind`: the position of the highest significant bit, or the shift that brings it to the top.
    FindBit {
        shift_amount: bool,
    },
    /// `cnot`: 1 where zero, else 0.
    LogicalNot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerBinary {
    Add,
    AddSaturating,
    Sub,
    SubSaturating,
    MulLow,
    MulHigh,
    MulWide,
    Mul24Low,
    Divide,
    Remainder,
    Min,
    Max,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
    /// `bmsk`, from position `a` over `b` bits; amounts clamp.
    BitMask,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerTernary {
    MadLow,
    MadHigh,
    MadWide,
    /// `|a − b| + c`
    SumAbsoluteDifferences,
    /// Four products of bytes, signed as said, plus `c`.
    Dot4 {
        a_signed: bool,
        b_signed: bool,
    },
    /// Two products of 16-bit values of `a` and bytes of `b` (the upper two if `high`).
    Dot2 {
        a_signed: bool,
        b_signed: bool,
        high: bool,
    },
    /// `lop3` with its truth table.
    Logic3(u8),
    Permute(PermuteMode),
    /// `shf`: a 64-bit value `b:a` shifted by `c`.
    Funnel {
        left: bool,
        wrap: bool,
    },
    /// `bfe`: `c` bits of `a` from position `b`.
    BitExtract,
    /// `cvt.pack.sat`: `c`, shifted, then `a` and `b` clamped to `to`.
    PackSaturating {
        to: Type,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermuteMode {
    Index,
    Forward4,
    Backward4,
    Replicate8,
    EdgeLeft,
    EdgeRight,
    Replicate16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CarryOp {
    /// `a + b`, plus the flag if `with_carry`.
    Add {
        with_carry: bool,
    },
    Sub {
        with_borrow: bool,
    },
    MadLow {
        with_carry: bool,
    },
    MadHigh {
        with_carry: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatUnary {
    Negate,
    Absolute,
    Reciprocal,
    SquareRoot,
    Approximate(Approximation),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatBinary {
    Add,
    Sub,
    Mul,
    Divide,
    DivideApproximately(Division),
    Min,
    Max,
    CopySign,
}

#[derive(Clone, Copy, Debug)]
pub struct Convert {
    pub to: Type,
    pub from: Type,
    pub rounding: Option<Rounding>,
    pub modifiers: ConvertModifiers,
    pub dst: Destination,
    pub src: Operand,
}

#[derive(Clone, Copy, Debug)]
pub struct Compare {
    pub comparison: Comparison,
    pub ty: Type,
    pub ftz: bool,
    pub a: Operand,
    pub b: Operand,
}

/// `setp`: the comparison, combined with another predicate; the second destination gets the negated comparison.
/// Of `f16x2` and `bf16x2` it is the comparison of the high halves.
#[derive(Clone, Copy, Debug)]
pub struct SetPredicate {
    pub compare: Compare,
    pub combine: Option<(Logic, PredicateOperand)>,
    pub dst: Option<u32>,
    pub second: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logic {
    And,
    Or,
    Xor,
}
