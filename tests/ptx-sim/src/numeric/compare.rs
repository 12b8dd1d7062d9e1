//! `setp`, `set` and `slct`: comparisons of integers and floating-point numbers.

use std::cmp::Ordering;

use crate::numeric::Unsupported;
use crate::numeric::arith::flush_f32;
use crate::numeric::convert::sign_extend;
use crate::numeric::convert::zero_extend;
use crate::numeric::float16::bf16_to_f32;
use crate::numeric::float16::f16_to_f32;
use crate::numeric::float16::flush_f16;
use crate::types::Type;

/// The comparison operators of PTX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `.eq`: equal; false if either is NaN.
    Eq,
    /// `.ne`: not equal; false if either is NaN.
    Ne,
    /// `.lt`: less; false if either is NaN.
    Lt,
    /// `.le`: less or equal; false if either is NaN.
    Le,
    /// `.gt`: greater; false if either is NaN.
    Gt,
    /// `.ge`: greater or equal; false if either is NaN.
    Ge,
    /// `.lo`: lower, of unsigned integers.
    Lo,
    /// `.ls`: lower or same, of unsigned integers.
    Ls,
    /// `.hi`: higher, of unsigned integers.
    Hi,
    /// `.hs`: higher or same, of unsigned integers.
    Hs,
    /// `.equ`: equal, or either is NaN.
    Equ,
    /// `.neu`: not equal, or either is NaN.
    Neu,
    /// `.ltu`: less, or either is NaN.
    Ltu,
    /// `.leu`: less or equal, or either is NaN.
    Leu,
    /// `.gtu`: greater, or either is NaN.
    Gtu,
    /// `.geu`: greater or equal, or either is NaN.
    Geu,
    /// `.num`: neither is NaN.
    Num,
    /// `.nan`: either is NaN.
    Nan,
}

impl Comparison {
    /// Whether an ordering, `None` where one side is NaN, satisfies the operator.
    pub fn holds(self, ordering: Option<Ordering>) -> bool {
        match (self, ordering) {
            (Self::Equ | Self::Neu | Self::Ltu | Self::Leu | Self::Gtu | Self::Geu | Self::Nan, None) => true,
            (_, None) | (Self::Nan, Some(_)) => false,
            (Self::Num, Some(_)) => true,
            (Self::Eq | Self::Equ, Some(ordering)) => ordering.is_eq(),
            (Self::Ne | Self::Neu, Some(ordering)) => ordering.is_ne(),
            (Self::Lt | Self::Lo | Self::Ltu, Some(ordering)) => ordering.is_lt(),
            (Self::Le | Self::Ls | Self::Leu, Some(ordering)) => ordering.is_le(),
            (Self::Gt | Self::Hi | Self::Gtu, Some(ordering)) => ordering.is_gt(),
            (Self::Ge | Self::Hs | Self::Geu, Some(ordering)) => ordering.is_ge(),
        }
    }

    fn for_floats_only(self) -> bool {
        use Comparison::*;
        matches!(self, Equ | Neu | Ltu | Leu | Gtu | Geu | Num | Nan)
    }

    fn for_unsigned_only(self) -> bool {
        use Comparison::*;
        matches!(self, Lo | Ls | Hi | Hs)
    }
}

/// Compares two values of type `ty`; `ftz` reads subnormal `f32` and `f16` operands as zero.
///
/// `.lt`, `.le`, `.gt` and `.ge` compare unsigned types unsigned and signed types signed.
///
/// # Errors
/// An operator that the type does not have: `.lo` and its kin on signed or floating-point types, the unordered ones on
/// integers, anything but `.eq` and `.ne` on `.b` types; packed types, which have two answers.
pub fn compare(op: Comparison, ty: Type, a: u64, b: u64, ftz: bool) -> Result<bool, Unsupported> {
    use Type::*;
    let (ordering, allowed) = match ty {
        B16 | B32 | B64 => {
            let ordering = zero_extend(a, ty).cmp(&zero_extend(b, ty));
            (Some(ordering), matches!(op, Comparison::Eq | Comparison::Ne))
        }
        U8 | U16 | U32 | U64 => (Some(zero_extend(a, ty).cmp(&zero_extend(b, ty))), !op.for_floats_only()),
        S8 | S16 | S32 | S64 => {
            let ordering = (sign_extend(a, ty) as i64).cmp(&(sign_extend(b, ty) as i64));
            (Some(ordering), !op.for_floats_only() && !op.for_unsigned_only())
        }
        F16 => {
            let [a, b] = [a, b].map(|bits| f16_to_f32(flush_f16(bits as u16, ftz)));
            (a.partial_cmp(&b), !op.for_unsigned_only())
        }
        Bf16 => (bf16_to_f32(a as u16).partial_cmp(&bf16_to_f32(b as u16)), !op.for_unsigned_only()),
        F32 => {
            let [a, b] = [a, b].map(|bits| flush_f32(f32::from_bits(bits as u32), ftz));
            (a.partial_cmp(&b), !op.for_unsigned_only())
        }
        F64 => (f64::from_bits(a).partial_cmp(&f64::from_bits(b)), !op.for_unsigned_only()),
        _ => (None, false),
    };
    if !allowed {
        return Err(Unsupported::new(format!("comparison {op:?} of {ty:?}")));
    }
    Ok(op.holds(ordering))
}
