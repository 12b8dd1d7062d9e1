//! mbarriers: phases, pending arrivals, pending bytes.

use crate::FindingKind;
use crate::exec::access::Kind;
use crate::exec::access::resolve;
use crate::exec::environment::Environment;
use crate::exec::step::Flow;
use crate::exec::warp::Warp;
use crate::exec::warp::WarpState;
use crate::exec::warp::lanes_of;
use crate::findings::Space;
use crate::ir::Mbarrier;
use crate::ir::MbarrierAction;
use crate::memory::races::Vector;
use std::collections::HashMap;

const SIZE_BYTES: u32 = 8;
/// Most arrivals of a phase, and most bytes pending either way (PTX ISA, "Contents of the mbarrier object").
const MAX_COUNT: i64 = (1 << 20) - 1;

/// An mbarrier between its `init` and its `inval`.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Arrivals of a phase.
    expected: i64,
    pending: i64,
    pending_bytes: i64,
    phase: u64,
    /// What those did who arrived in this phase, and in the phases before.
    arriving: Vector,
    arrived: Vector,
}

impl State {
    /// Ends the phase if nothing is pending.
    fn settle(&mut self) {
        if self.pending == 0 && self.pending_bytes == 0 {
            self.phase += 1;
            self.pending = self.expected;
            let arriving = std::mem::take(&mut self.arriving);
            self.arrived.resize(arriving.len().max(self.arrived.len()), 0);
            for (known, time) in self.arrived.iter_mut().zip(arriving) {
                *known = (*known).max(time);
            }
        }
    }

    /// Whether the phase that a waiter names is over: by state token, or the last one of a parity.
    pub fn is_over(&self, parity: bool, value: u64) -> bool {
        if parity { self.phase & 1 != value & 1 } else { self.phase != value }
    }
}

/// The mbarriers of a block by offset in shared memory.
pub type Mbarriers = HashMap<usize, State>;

/// What a warp polls: offset, whether by parity, and the value.
pub type Poll = (usize, bool, u64);

/// Executes an operation on the mbarriers that the lanes name.
pub fn execute(warp: &mut Warp, env: &mut Environment<'_>, barrier: &Mbarrier, mask: u32) -> Flow {
    let addresses = env.addresses(warp, &barrier.address);
    let values = barrier.value.as_ref().map(|value| env.read(warp, value));
    if let MbarrierAction::Wait { parity } = barrier.action {
        let values = values.unwrap_or([0; 32]);
        return wait(warp, env, barrier, parity, (&addresses, &values), mask);
    }
    for lane in lanes_of(mask) {
        let Some(offset) = place(env, lane, barrier, addresses[lane]) else { continue };
        let value = values.map_or(1, |values| i64::from(values[lane] as u32));
        match barrier.action {
            MbarrierAction::Init => init(env, lane, offset, value),
            MbarrierAction::Invalidate => {
                env.mbarriers.remove(&offset);
            }
            MbarrierAction::ArriveAfterCopies { increments } => {
                if increments {
                    state(env, offset, |state| state.pending += 1);
                }
                let thread = env.thread(lane);
                env.asynchronous.push_arrival(thread, offset, env.site, env.copies.newest(thread));
            }
            action => {
                let token = update(warp, env, lane, offset, action, value);
                if let Some(dst) = barrier.dst {
                    warp.write_lane(dst, lane, token);
                }
            }
        }
    }
    Flow::MaySwitch
}

/// The offset of an initialised mbarrier (or of one to initialise).
fn place(env: &mut Environment<'_>, lane: usize, barrier: &Mbarrier, address: u64) -> Option<usize> {
    let (space, address) = resolve(barrier.space, address);
    let access = Some((space, address, SIZE_BYTES));
    if space != Space::Shared {
        env.report(FindingKind::InvalidOperand, lane, access, "an mbarrier outside shared memory".to_owned());
        return None;
    }
    let is_init = barrier.action == MbarrierAction::Init;
    if address % u64::from(SIZE_BYTES) != 0 {
        let message = "an mbarrier at an address that is not a multiple of 8".to_owned();
        env.report(FindingKind::Misaligned, lane, access, message);
        return None;
    }
    let kind = if is_init { Kind::Write } else { Kind::Atomic };
    let offset = env.check_shared(lane, address, SIZE_BYTES, kind)?;
    env.report_overlap(lane, address, SIZE_BYTES);
    if is_init == env.mbarriers.contains_key(&offset) {
        let what = if is_init { "there is a valid mbarrier already" } else { "no mbarrier was initialised here" };
        env.report(FindingKind::BarrierMisuse, lane, access, what.to_owned());
        return is_init.then_some(offset);
    }
    Some(offset)
}

fn init(env: &mut Environment<'_>, lane: usize, offset: usize, count: i64) {
    if !(1..=MAX_COUNT).contains(&count) {
        let message = format!("an mbarrier for {count} arrivals, not 1 to {MAX_COUNT}");
        env.report(FindingKind::InvalidOperand, lane, None, message);
    }
    env.shared.store(offset, SIZE_BYTES as usize, 0);
    env.mbarriers.insert(offset, State { expected: count, pending: count, ..State::default() });
}

fn state<T>(env: &mut Environment<'_>, offset: usize, change: impl FnOnce(&mut State) -> T) -> Option<T> {
    env.mbarriers.get_mut(&offset).map(change)
}

/// Arrivals and expected bytes of one lane; returns the token of the phase.
fn update(
    warp: &Warp,
    env: &mut Environment<'_>,
    lane: usize,
    offset: usize,
    action: MbarrierAction,
    value: i64,
) -> u64 {
    let Some(mut barrier) = env.mbarriers.remove(&offset) else { return 0 };
    let token = barrier.phase;
    let (arrivals, bytes) = match action {
        MbarrierAction::ExpectBytes => (0, value),
        MbarrierAction::ArriveExpectBytes => (1, value),
        _ => (value, 0),
    };
    barrier.pending_bytes += bytes;
    if arrivals > 0 {
        env.shared.races.release(warp.index as usize, 1 << lane, &mut barrier.arriving);
    }
    if action == MbarrierAction::ArriveDrop {
        barrier.expected -= arrivals;
    }
    barrier.pending -= arrivals;
    if barrier.pending < 0 || barrier.pending_bytes.abs() > MAX_COUNT {
        let message = format!(
            "the phase of the mbarrier has {} arrivals too many, or {} bytes pending",
            -barrier.pending.min(0),
            barrier.pending_bytes
        );
        env.report(FindingKind::BarrierMisuse, lane, None, message);
        barrier.pending = barrier.pending.max(0);
    }
    barrier.settle();
    env.mbarriers.insert(offset, barrier);
    token
}

/// `bytes` of an asynchronous copy have arrived; `vector` is what the agent did.
pub fn complete_bytes(env: &mut Environment<'_>, offset: usize, bytes: i64, agent: u32) {
    let Some(mut barrier) = env.mbarriers.remove(&offset) else { return };
    env.shared.races.release_agent(agent, &mut barrier.arriving);
    barrier.pending_bytes -= bytes;
    barrier.settle();
    env.mbarriers.insert(offset, barrier);
}

/// A thread's copies are complete: it arrives.
pub fn arrive_after_copies(env: &mut Environment<'_>, thread: u32, offset: usize) {
    let Some(mut barrier) = env.mbarriers.remove(&offset) else { return };
    env.shared.races.release(thread as usize / 32, 1 << (thread % 32), &mut barrier.arriving);
    barrier.pending -= 1;
    if barrier.pending < 0 {
        let lane = thread as usize % 32;
        env.report(FindingKind::BarrierMisuse, lane, None, "an arrival too many at the mbarrier".to_owned());
        barrier.pending = 0;
    }
    barrier.settle();
    env.mbarriers.insert(offset, barrier);
}

/// `test_wait` and `try_wait`. A warp none of whose lanes succeeds mostly sleeps until one would, and sometimes gets
/// `false`, as the hardware may always answer.
fn wait(
    warp: &mut Warp,
    env: &mut Environment<'_>,
    barrier: &Mbarrier,
    parity: bool,
    (addresses, values): (&[u64; 32], &[u64; 32]),
    mask: u32,
) -> Flow {
    let mut over = 0;
    let mut polls: Vec<Poll> = Vec::new();
    for lane in lanes_of(mask) {
        let Some(offset) = place(env, lane, barrier, addresses[lane]) else { continue };
        let poll = (offset, parity, values[lane]);
        if env.mbarriers.get(&offset).is_none_or(|state| state.is_over(parity, values[lane])) {
            over |= 1 << lane;
        }
        if !polls.contains(&poll) {
            polls.push(poll);
        }
    }
    if over == 0 && !polls.is_empty() && env.rng.below(4) > 0 {
        warp.state = WarpState::Polling;
        warp.polls = polls;
        return Flow::Again;
    }
    for &(offset, _, value) in &polls {
        let lanes = lanes_of(over).filter(|&lane| {
            values[lane] == value
                && resolve(barrier.space, addresses[lane]).1 == offset as u64 + u64::from(crate::memory::SHARED_BASE)
        });
        let lanes = lanes.fold(0, |found, lane| found | 1 << lane);
        if let Some(state) = env.mbarriers.get(&offset).filter(|_| lanes != 0) {
            env.shared.races.acquire(warp.index as usize, lanes, warp.lanes, &state.arrived);
        }
    }
    if let Some(predicate) = barrier.predicate {
        warp.set_predicate(predicate, over, mask);
    }
    Flow::MaySwitch
}
