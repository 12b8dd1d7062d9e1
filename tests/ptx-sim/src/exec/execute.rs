//! Executes what is not control, by family.

use crate::FindingKind;
use crate::exec::access;
use crate::exec::atomic;
use crate::exec::bulk;
use crate::exec::convert;
use crate::exec::copy_async;
use crate::exec::environment::Environment;
use crate::exec::float;
use crate::exec::float::for_lanes;
use crate::exec::integer;
use crate::exec::load_store;
use crate::exec::matrix;
use crate::exec::shuffle;
use crate::exec::tensor;
use crate::exec::warp::Lanes;
use crate::exec::warp::Warp;
use crate::exec::warp::lanes_of;
use crate::exec::wgmma;
use crate::findings::Space;
use crate::ir::IntegerTernary;
use crate::ir::Operand;
use crate::ir::Operation;
use crate::numeric::arith;
use crate::types::Type;

/// Everything that is not control.
pub fn execute(warp: &mut Warp, env: &mut Environment<'_>, operation: &Operation, mask: u32) {
    match operation {
        Operation::Move { .. }
        | Operation::Pack { .. }
        | Operation::Unpack { .. }
        | Operation::IntegerUnary { .. }
        | Operation::IntegerBinary { .. }
        | Operation::IntegerTernary { .. }
        | Operation::Carry { .. }
        | Operation::BitInsert { .. }
        | Operation::WindowAddress { .. }
        | Operation::Policy { .. } => execute_integer(warp, env, operation, mask),
        Operation::FloatUnary { .. } | Operation::FloatBinary { .. } | Operation::Fma { .. } => {
            execute_float(warp, env, operation, mask);
        }
        Operation::Load(load) => load_store::load(warp, env, load, mask),
        Operation::Store(store) => load_store::store(warp, env, store, mask),
        Operation::Atomic(atomic) => atomic::execute(warp, env, atomic, mask),
        Operation::CopyAsync(copy) => copy_async::copy(warp, env, copy, mask),
        Operation::CommitGroup => copy_async::commit(env, mask),
        Operation::BulkCopy(copy) => bulk::copy(warp, env, copy, mask),
        Operation::TensorCopy(copy) => tensor::copy(warp, env, copy, mask),
        Operation::BulkCommit => bulk::commit(env, mask),
        Operation::BulkWait { pending } => bulk::wait(warp, env, *pending, mask),
        Operation::ProxyFence => {
            for lane in lanes_of(mask) {
                let thread = env.thread(lane);
                env.shared.races.fence_proxy(thread);
            }
        }
        Operation::WgmmaFence => wgmma::fence(warp),
        Operation::WgmmaCommit => wgmma::commit(warp, env),
        Operation::WaitGroup { pending } => copy_async::wait(env, *pending, mask),
        Operation::LoadMatrix(_) | Operation::StoreMatrix(_) | Operation::MoveMatrix { .. } | Operation::Matrix(_) => {
            execute_matrix(warp, env, operation, mask);
        }
        Operation::Shuffle(_)
        | Operation::Vote { .. }
        | Operation::Match { .. }
        | Operation::ReduceWarp { .. }
        | Operation::ActiveMask { .. }
        | Operation::Elect { .. }
        | Operation::WarpBarrier { .. } => execute_warp(warp, env, operation, mask),
        _ => execute_predicate(warp, env, operation, mask),
    }
}

fn execute_integer(warp: &mut Warp, env: &mut Environment<'_>, operation: &Operation, mask: u32) {
    let (dst, result) = match operation {
        Operation::Move { dst, src } => (*dst, env.read(warp, src)),
        Operation::Pack { dst, elements, element_bits } => {
            return convert::pack(warp, env, *dst, elements, *element_bits, mask);
        }
        Operation::Unpack { dsts, src, element_bits } => {
            return convert::unpack(warp, env, dsts, src, *element_bits, mask);
        }
        Operation::IntegerUnary { op, ty, dst, a } => (*dst, integer::unary(*op, *ty, &env.read(warp, a))),
        Operation::IntegerBinary { op, ty, dst, a, b } => {
            (*dst, integer::binary(*op, *ty, &env.read(warp, a), &env.read(warp, b)))
        }
        Operation::IntegerTernary { op, ty, dst, a, b, c } => {
            let macs = match op {
                IntegerTernary::Dot4 { .. } => 4,
                IntegerTernary::Dot2 { .. } => 2,
                _ => 0,
            };
            env.counts.scalar_macs += macs * u64::from(mask.count_ones());
            let [a, b, c] = [a, b, c].map(|operand| env.read(warp, operand));
            (*dst, integer::ternary(*op, *ty, &a, &b, &c))
        }
        Operation::Carry { op, ty, sets_carry, dst, a, b, c } => {
            let [a, b, c] = [a, b, c].map(|operand| env.read(warp, operand));
            let (result, flags) = integer::carry(*op, *ty, warp.carry, [&a, &b, &c]);
            if *sets_carry {
                warp.carry = (warp.carry & !mask) | (flags & mask);
            }
            (*dst, result)
        }
        Operation::BitInsert { ty, dst, a, b, position, length } => {
            let [a, b, position, length] = [a, b, position, length].map(|operand| env.read(warp, operand));
            (*dst, integer::bit_insert(*ty, &a, &b, &position, &length))
        }
        Operation::WindowAddress { window, to_generic, dst, src } => {
            let moved = |lane: u64| if *to_generic { lane.wrapping_add(*window) } else { lane.wrapping_sub(*window) };
            (*dst, env.read(warp, src).map(moved))
        }
        Operation::Policy { dst } => (*dst, [0; 32]),
        _ => return,
    };
    warp.write(dst, &result, mask);
}

fn execute_float(warp: &mut Warp, env: &mut Environment<'_>, operation: &Operation, mask: u32) {
    let (dst, result) = match operation {
        Operation::FloatUnary { op, ty, modifiers, dst, a } => {
            let a = env.read(warp, a);
            (*dst, for_lanes(mask, |lane| float::unary(*op, *ty, a[lane], *modifiers)))
        }
        Operation::FloatBinary { op, ty, modifiers, dst, a, b } => {
            let (a, b) = (env.read(warp, a), env.read(warp, b));
            (*dst, for_lanes(mask, |lane| float::binary(*op, *ty, a[lane], b[lane], *modifiers)))
        }
        Operation::Fma { ty, modifiers, dst, a, b, c } => {
            let macs = if matches!(ty, Type::F16x2 | Type::Bf16x2) { 2 } else { 1 };
            env.counts.scalar_macs += macs * u64::from(mask.count_ones());
            let [a, b, c] = [a, b, c].map(|operand| env.read(warp, operand));
            (*dst, for_lanes(mask, |lane| arith::fma(*ty, a[lane], b[lane], c[lane], *modifiers)))
        }
        _ => return,
    };
    warp.write(dst, &result, mask);
}

fn execute_predicate(warp: &mut Warp, env: &mut Environment<'_>, operation: &Operation, mask: u32) {
    match operation {
        Operation::Convert(convert) => convert::convert(warp, env, convert, mask),
        Operation::ConvertPair { convert, low } => convert::convert_pair(warp, env, convert, low, mask),
        Operation::SetPredicate(set) => convert::set_predicate(warp, env, set, mask),
        Operation::Set { compare, combine, to, dst } => {
            convert::set(warp, env, compare, *combine, *to, *dst, mask);
        }
        Operation::Select { dst, a, b, predicate } => {
            let (a, b, chosen) = (env.read(warp, a), env.read(warp, b), warp.predicate(*predicate));
            let result = std::array::from_fn(|lane| if chosen >> lane & 1 == 1 { a[lane] } else { b[lane] });
            warp.write(*dst, &result, mask);
        }
        Operation::SelectSign { ty, ftz, dst, a, b, c } => {
            let [a, b, c] = [a, b, c].map(|operand| env.read(warp, operand));
            warp.write(*dst, &convert::select_sign(*ty, *ftz, &a, &b, &c), mask);
        }
        Operation::PredicateLogic { op, dst, a, b } => {
            let value = convert::logic(*op, warp.predicate(*a), warp.predicate(*b));
            warp.set_predicate(*dst, value, mask);
        }
        Operation::IsSpace { space, dst, src } => {
            let value = is_space(&env.read(warp, src), *space);
            warp.set_predicate(*dst, value, mask);
        }
        // Fences and hints change no value. `execute` sends everything else elsewhere.
        _ => {}
    }
}

fn is_space(addresses: &Lanes, space: Space) -> u32 {
    let holds = |address: u64| match (access::resolve(None, address).0, space) {
        // Constant and parameter windows lie in global memory (PTX ISA, "Generic Addressing").
        (Space::Const | Space::Param, Space::Global) => true,
        (found, wanted) => found == wanted,
    };
    (0..32).fold(0, |found, lane| found | u32::from(holds(addresses[lane])) << lane)
}

fn execute_matrix(warp: &mut Warp, env: &mut Environment<'_>, operation: &Operation, mask: u32) {
    if mask != u32::MAX {
        let lane = (!mask).trailing_zeros() as usize;
        let message = format!("a warp-wide matrix instruction without lanes {:#010x}", !mask);
        env.report(FindingKind::AbsentLane, lane, None, message);
    }
    match operation {
        Operation::LoadMatrix(access) => load_store::load_matrix(warp, env, access),
        Operation::StoreMatrix(access) => load_store::store_matrix(warp, env, access),
        Operation::MoveMatrix { dst, src } => shuffle::move_matrix(warp, env, *dst, src, mask),
        Operation::Matrix(multiply) => matrix::multiply(warp, env, multiply, mask),
        _ => {}
    }
}

fn execute_warp(warp: &mut Warp, env: &mut Environment<'_>, operation: &Operation, mask: u32) {
    match operation {
        Operation::Shuffle(shuffle) => shuffle::shuffle(warp, env, shuffle, mask),
        Operation::Vote { op, dst, predicate, members } => {
            shuffle::vote(warp, env, *op, *dst, *predicate, members, mask);
        }
        Operation::Match { all, dst, predicate, value, members } => {
            shuffle::matching(warp, env, *all, (*dst, *predicate), (value, members), mask);
        }
        Operation::ReduceWarp { op, ty, dst, src, members } => {
            shuffle::reduce(warp, env, (*op, *ty), *dst, (src, members), mask);
        }
        Operation::ActiveMask { dst } => warp.write(*dst, &[mask.into(); 32], mask),
        Operation::Elect { dst, predicate, members } => shuffle::elect(warp, env, *dst, *predicate, members, mask),
        Operation::WarpBarrier { members } => {
            let members: &Operand = members;
            shuffle::members(warp, env, members, mask);
        }
        _ => {}
    }
}
