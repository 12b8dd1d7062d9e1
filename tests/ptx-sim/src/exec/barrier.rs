//! The sixteen barriers of a block.

use crate::FindingKind;
use crate::exec::environment::Environment;
use crate::exec::environment::Site;
use crate::exec::warp::Warp;
use crate::exec::warp::WarpState;
use crate::ir::Barrier;
use crate::ir::BarrierAction;
use crate::ir::Logic;
use crate::memory::SHARED_BASE;
use crate::memory::races::Vector;

/// Barriers of a block.
pub const NUM_BARRIERS: usize = 16;

/// One barrier in its current phase.
#[derive(Debug, Default)]
pub struct BarrierState {
    /// Threads that complete the phase; 0 before the first arrives.
    pub expected: u32,
    pub arrived: u32,
    /// No count was given: all threads of the block.
    pub is_whole_block: bool,
    /// Warps that arrived, and lanes, with what they get when the phase completes.
    waiting: Vec<(u32, u32, BarrierAction)>,
    site: Site,
    /// What the warps that only arrived did before.
    clock: Vector,
    all: bool,
    any: bool,
    count: u32,
}

/// A warp reaches a barrier. True if the phase is complete: then [`complete`] follows.
pub fn arrive(warp: &mut Warp, env: &mut Environment<'_>, barrier: &Barrier, mask: u32) -> Option<usize> {
    let lane = mask.trailing_zeros() as usize % 32;
    let index = env.read(warp, &barrier.index)[lane] as usize;
    if index >= NUM_BARRIERS {
        let message = format!("barrier {index}, there are {NUM_BARRIERS}");
        env.report(FindingKind::InvalidOperand, lane, None, message);
        return None;
    }
    let all_threads = env.launch.threads.next_multiple_of(32);
    let given = barrier.threads.as_ref().map(|threads| env.read(warp, threads)[lane] as u32);
    let expected = given.unwrap_or(all_threads);
    if expected == 0 || expected % 32 != 0 || expected > all_threads {
        let message = format!("barrier {index} for {expected} threads: not a multiple of 32 up to {all_threads}");
        env.report(FindingKind::InvalidOperand, lane, None, message);
        return None;
    }
    let threads = arriving_threads(warp, env, barrier, mask, index);
    let site = env.site;
    let state = &mut env.barriers[index];
    let first = state.expected;
    if first == 0 {
        *state = BarrierState { expected, site, all: true, is_whole_block: given.is_none(), ..BarrierState::default() };
    }
    state.arrived += threads;
    if let BarrierAction::ReducePredicate { predicate, .. } | BarrierAction::ReduceCount { predicate, .. } =
        barrier.action
    {
        let votes = warp.predicate(predicate) & mask;
        state.all &= votes == mask;
        state.any |= votes != 0;
        state.count += votes.count_ones();
    }
    if matches!(barrier.action, BarrierAction::Arrive) {
        env.shared.races.release(warp.index as usize, mask, &mut state.clock);
    } else {
        state.waiting.push((warp.index, mask, barrier.action));
        warp.state = WarpState::AtBarrier(index);
    }
    let (arrived, wanted) = (state.arrived, state.expected);
    if first != 0 && first != expected {
        let message = format!("barrier {index} for {expected} threads, others wait at it for {first}");
        env.report(FindingKind::BarrierMisuse, lane, None, message);
    }
    if arrived > wanted {
        let message = format!("{arrived} threads arrive at barrier {index}, which waits for {wanted}");
        env.report(FindingKind::BarrierMisuse, lane, None, message);
    }
    (arrived >= wanted).then_some(index)
}

/// Threads that count: a warp counts as 32, whatever it holds, if all its lanes that live are here.
fn arriving_threads(warp: &Warp, env: &mut Environment<'_>, barrier: &Barrier, mask: u32, index: usize) -> u32 {
    if mask != warp.live() {
        let lane = (warp.live() & !mask).trailing_zeros() as usize;
        let word = if barrier.aligned { "must" } else { "can, in this simulator, only" };
        let message = format!(
            "lanes {mask:#010x} of the warp reach barrier {index}, lane {lane} is elsewhere: a warp {word} reach it whole"
        );
        env.report(FindingKind::BarrierMisuse, lane, None, message);
        return mask.count_ones();
    }
    if warp.exited != 0 {
        let lane = warp.exited.trailing_zeros() as usize;
        let message = format!("barrier {index}: lanes {:#010x} of the warp have exited before it", warp.exited);
        env.report(FindingKind::BarrierMisuse, lane, None, message);
    }
    32
}

/// Ends the phase of a barrier: the warps that wait go on.
pub fn complete(warps: &mut [Warp], env: &mut Environment<'_>, index: usize) {
    let state = std::mem::take(&mut env.barriers[index]);
    order(warps, env, &state);
    for (warp, mask, action) in &state.waiting {
        let warp = &mut warps[*warp as usize];
        warp.state = WarpState::Ready;
        match *action {
            BarrierAction::ReduceCount { dst, .. } => warp.write(dst, &[state.count.into(); 32], *mask),
            BarrierAction::ReducePredicate { op, dst, .. } => {
                let value = if op == Logic::And { state.all } else { state.any };
                warp.set_predicate(dst, if value { u32::MAX } else { 0 }, *mask);
            }
            BarrierAction::Sync | BarrierAction::Arrive => {}
        }
    }
}

/// Everyone who waited knows what everyone did who arrived.
fn order(warps: &[Warp], env: &mut Environment<'_>, state: &BarrierState) {
    let races = &mut env.shared.races;
    let running = warps.iter().filter(|warp| warp.state != WarpState::Finished).count();
    if state.clock.is_empty() && state.waiting.len() == running {
        races.sync_block();
        return;
    }
    // A warp that waits has done nothing since it arrived, so that its clock may be read now.
    let mut clock = state.clock.clone();
    for &(warp, mask, _) in &state.waiting {
        races.release(warp as usize, mask, &mut clock);
    }
    for &(warp, mask, _) in &state.waiting {
        let all = warps[warp as usize].lanes;
        races.sync_lanes(warp as usize, mask, all);
        races.acquire(warp as usize, mask, all, &clock);
    }
}

/// The hardware lets a block pass a barrier without the warps that have finished, which is a finding.
pub fn pass_without_finished(warps: &mut [Warp], env: &mut Environment<'_>) {
    let finished = warps.iter().filter(|warp| warp.state == WarpState::Finished).count() as u32;
    if finished == 0 {
        return;
    }
    for index in 0..NUM_BARRIERS {
        let state = &env.barriers[index];
        if !state.is_whole_block || state.expected == 0 || state.arrived + 32 * finished < state.expected {
            continue;
        }
        let site = state.site;
        let gone = warps.iter().find(|warp| warp.state == WarpState::Finished).map_or(0, |warp| warp.index);
        let message = format!("warp {gone} has exited without reaching barrier {index}, where the block waits");
        env.report_at(site, FindingKind::BarrierMisuse, 0, None, message);
        complete(warps, env, index);
    }
}

fn describe_polls(warp: &Warp) -> String {
    let polls = warp.polls.iter().map(|(offset, parity, value)| {
        let what = if *parity { "parity" } else { "state" };
        format!("at {:#x} ({what} {value})", *offset as u64 + u64::from(SHARED_BASE))
    });
    polls.collect::<Vec<_>>().join(", ")
}

/// Where each warp stands that has not finished.
pub fn describe(warps: &[Warp], env: &Environment<'_>) -> String {
    let mut places: Vec<String> = Vec::new();
    for warp in warps.iter().filter(|warp| warp.state != WarpState::Finished) {
        let pc = warp.stack.last().map_or(0, |frame| frame.pc);
        let (pc, what) = match warp.state {
            WarpState::AtBarrier(index) => {
                let state = &env.barriers[index];
                (
                    pc.saturating_sub(1),
                    format!("waits at barrier {index} ({} of {} threads)", state.arrived, state.expected),
                )
            }
            WarpState::Polling => (pc, format!("waits for the mbarrier {}", describe_polls(warp))),
            WarpState::AtWarpgroup => (pc, "waits for the other warps of its warpgroup".to_owned()),
            _ => (pc, "runs".to_owned()),
        };
        let instructions = &env.launch.function.instructions;
        let line = instructions.get(pc as usize).map_or(0, |instruction| instruction.line);
        let mask = warp.stack.last().map_or(0, |frame| frame.mask);
        places.push(format!("warp {} {what} at PTX line {line}, lanes {mask:#010x}", warp.index));
    }
    places.join("; ")
}
