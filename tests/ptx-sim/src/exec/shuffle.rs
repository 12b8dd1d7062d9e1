//! Instructions in which lanes of a warp see each other.

use crate::FindingKind;
use crate::exec::atomic;
use crate::exec::environment::Environment;
use crate::exec::warp::Lanes;
use crate::exec::warp::Warp;
use crate::exec::warp::lanes_of;
use crate::ir::AtomicOp;
use crate::ir::Destination;
use crate::ir::Operand;
use crate::ir::PredicateOperand;
use crate::ir::Shuffle;
use crate::ir::ShuffleMode;
use crate::ir::Vote;
use crate::ir::VoteDestination;
use crate::matrix::ldmatrix;
use crate::numeric::convert::zero_extend;
use crate::types::Type;

/// The lanes that a `.sync` instruction names and that execute it. Each executing lane must be named by itself, all
/// with one mask, and every lane that is named must be there.
pub fn members(warp: &Warp, env: &mut Environment<'_>, operand: &Operand, mask: u32) -> u32 {
    let masks = env.read(warp, operand);
    let first = mask.trailing_zeros() as usize;
    let named = masks[first % 32] as u32;
    for lane in lanes_of(mask) {
        let own = masks[lane] as u32;
        if own != named || own >> lane & 1 == 0 {
            let message =
                format!("lane {lane} executes it with member mask {own:#010x}, lane {first} with {named:#010x}");
            env.report(FindingKind::AbsentLane, lane, None, message);
        }
    }
    let absent = named & !mask;
    if absent != 0 {
        let lane = absent.trailing_zeros() as usize;
        let why = if warp.exited >> lane & 1 == 1 {
            "has exited"
        } else if warp.lanes >> lane & 1 == 0 {
            "holds no thread"
        } else {
            "is elsewhere"
        };
        let message =
            format!("member mask {named:#010x} names lanes {absent:#010x} that do not execute it: lane {lane} {why}");
        env.report(FindingKind::AbsentLane, lane, None, message);
    }
    env.shared.races.sync_lanes(warp.index as usize, named & mask, warp.lanes);
    named & mask
}

/// `shfl.sync`
pub fn shuffle(warp: &mut Warp, env: &mut Environment<'_>, shuffle: &Shuffle, mask: u32) {
    let present = members(warp, env, &shuffle.members, mask);
    let (a, b, c) = (env.read(warp, &shuffle.a), env.read(warp, &shuffle.b), env.read(warp, &shuffle.c));
    let mut result = a;
    let mut in_range = 0;
    for lane in lanes_of(mask) {
        let (source, valid) = source_lane(shuffle.mode, lane as u32, b[lane] as u32, c[lane] as u32);
        in_range |= u32::from(valid) << lane;
        if valid && present >> source & 1 == 0 {
            let message = format!("lane {lane} reads the register of lane {source}, which does not take part");
            env.report(FindingKind::AbsentLane, lane, None, message);
        }
        result[lane] = a[source as usize];
    }
    if let Some(dst) = shuffle.dst {
        warp.write(dst, &result, mask);
    }
    if let Some(predicate) = shuffle.predicate {
        warp.set_predicate(predicate, in_range, mask);
    }
}

/// The lane whose value a lane gets, and whether it lies in its segment (PTX ISA, `shfl.sync`).
fn source_lane(mode: ShuffleMode, lane: u32, b: u32, c: u32) -> (u32, bool) {
    let b = b & 0x1f;
    let (clamp, segment) = (c & 0x1f, c >> 8 & 0x1f);
    let max_lane = (lane & segment) | (clamp & !segment);
    let min_lane = lane & segment;
    let (source, valid) = match mode {
        ShuffleMode::Up => {
            let source = lane.wrapping_sub(b) as i32;
            (source as u32, source >= max_lane as i32)
        }
        ShuffleMode::Down => (lane + b, lane + b <= max_lane),
        ShuffleMode::Butterfly => (lane ^ b, lane ^ b <= max_lane),
        ShuffleMode::Index => {
            let source = min_lane | (b & !segment);
            (source, source <= max_lane)
        }
    };
    if valid { (source, true) } else { (lane, false) }
}

/// `vote.sync`
pub fn vote(
    warp: &mut Warp,
    env: &mut Environment<'_>,
    op: Vote,
    dst: VoteDestination,
    predicate: PredicateOperand,
    names: &Operand,
    mask: u32,
) {
    let present = members(warp, env, names, mask);
    let votes = warp.predicate(predicate) & present;
    let holds = match op {
        Vote::All => votes == present,
        Vote::Any | Vote::Ballot => votes != 0,
        Vote::Uniform => votes == 0 || votes == present,
    };
    match dst {
        VoteDestination::Register(dst) => warp.write(dst, &[votes.into(); 32], mask),
        VoteDestination::Predicate(index) => warp.set_predicate(index, if holds { u32::MAX } else { 0 }, mask),
    }
}

/// `match.sync`, with its optional destinations.
pub fn matching(
    warp: &mut Warp,
    env: &mut Environment<'_>,
    all: bool,
    (dst, predicate): (Option<Destination>, Option<u32>),
    (value, names): (&Operand, &Operand),
    mask: u32,
) {
    let present = members(warp, env, names, mask);
    let value = env.read(warp, value);
    let equal_to = |lane: usize| {
        lanes_of(present).filter(|&other| value[other] == value[lane]).fold(0u32, |found, other| found | 1 << other)
    };
    let uniform = equal_to(present.trailing_zeros() as usize % 32) == present;
    let result: Lanes = std::array::from_fn(|lane| match (all, uniform) {
        (true, true) => present.into(),
        (true, false) => 0,
        (false, _) => equal_to(lane).into(),
    });
    if let Some(dst) = dst {
        warp.write(dst, &result, mask);
    }
    if let Some(predicate) = predicate {
        warp.set_predicate(predicate, if uniform { u32::MAX } else { 0 }, mask);
    }
}

/// `redux.sync`
pub fn reduce(
    warp: &mut Warp,
    env: &mut Environment<'_>,
    (op, ty): (AtomicOp, Type),
    dst: Destination,
    (src, names): (&Operand, &Operand),
    mask: u32,
) {
    let present = members(warp, env, names, mask);
    let values = env.read(warp, src);
    let reduced = lanes_of(present)
        .map(|lane| zero_extend(values[lane], ty))
        .reduce(|sum, value| atomic::combine(op, ty, sum, value, 0))
        .unwrap_or_default();
    warp.write(dst, &[reduced; 32], mask);
}

/// `elect.sync`: the lowest lane.
pub fn elect(
    warp: &mut Warp,
    env: &mut Environment<'_>,
    dst: Option<Destination>,
    predicate: u32,
    names: &Operand,
    mask: u32,
) {
    let present = members(warp, env, names, mask);
    let leader = present.trailing_zeros() % 32;
    if let Some(dst) = dst {
        warp.write(dst, &[leader.into(); 32], mask);
    }
    warp.set_predicate(predicate, 1 << leader, mask);
}

/// `movmatrix`
pub fn move_matrix(warp: &mut Warp, env: &Environment<'_>, dst: Destination, src: &Operand, mask: u32) {
    let value = env.read(warp, src).map(|lane| lane as u32);
    warp.write(dst, &ldmatrix::transpose(&value).map(u64::from), mask);
}
