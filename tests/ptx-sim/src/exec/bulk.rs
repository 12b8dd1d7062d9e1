//! `cp.async.bulk`, and what else completes on its own time.

use crate::FindingKind;
use crate::exec::access::Kind;
use crate::exec::copy_async;
use crate::exec::environment::Environment;
use crate::exec::environment::Site;
use crate::exec::mbarrier;
use crate::exec::warp::Warp;
use crate::exec::warp::lanes_of;
use crate::findings::Space;
use crate::ir::BulkCopy;
use crate::memory::SHARED_BASE;
use std::collections::VecDeque;

const GRANULE_BYTES: u64 = 16;
/// The agent that moves bulk copies.
pub const BULK_AGENT: u32 = 0;

/// What one lane copies between shared and global memory.
#[derive(Debug)]
pub struct Transfer {
    /// Address and length in shared memory. What no piece covers is zeroed on the way there, and untouched on the way
    /// back.
    pub shared: u64,
    pub bytes: u32,
    pub pieces: Vec<Piece>,
}

/// Bytes that are contiguous in both memories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// From the start of the copy in shared memory.
    pub offset: u32,
    /// In global memory.
    pub address: u64,
    pub bytes: u32,
}

/// An operation that was asked for and has not happened.
#[derive(Debug)]
enum Pending {
    ToShared {
        dst_offset: usize,
        bytes: u32,
        pieces: Vec<Piece>,
        mbarrier: usize,
        site: Site,
    },
    /// An arrival at an mbarrier after the copies of a thread up to a number.
    Arrival {
        thread: u32,
        mbarrier: usize,
        site: Site,
        newest: u64,
    },
}

/// A copy to global memory that waits for its thread's `wait_group`.
#[derive(Clone, Debug)]
struct ToGlobal {
    src_offset: usize,
    pieces: Vec<Piece>,
    site: Site,
}

#[derive(Clone, Debug, Default)]
struct ThreadGroups {
    groups: VecDeque<(Vec<ToGlobal>, u32)>,
    open: Vec<ToGlobal>,
}

/// What is under way in a block.
#[derive(Debug)]
pub struct Asynchronous {
    pending: Vec<Pending>,
    threads: Vec<ThreadGroups>,
}

impl Asynchronous {
    pub fn new(threads: u32) -> Self {
        Self { pending: Vec::new(), threads: vec![ThreadGroups::default(); threads as usize] }
    }

    pub fn restart(&mut self) {
        self.pending.clear();
        self.threads.iter_mut().for_each(|thread| *thread = ThreadGroups::default());
    }

    pub fn push_arrival(&mut self, thread: u32, mbarrier: usize, site: Site, newest: u64) {
        self.pending.push(Pending::Arrival { thread, mbarrier, site, newest });
    }

    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

/// Lets one of the operations under way happen. False if there is none.
pub fn progress(env: &mut Environment<'_>) -> bool {
    let count = env.asynchronous.pending.len() as u32;
    if count == 0 {
        return false;
    }
    let chosen = env.rng.below(count) as usize;
    match env.asynchronous.pending.swap_remove(chosen) {
        Pending::ToShared { dst_offset, bytes, pieces, mbarrier, site } => {
            env.site = site;
            let mut data = vec![0; bytes as usize];
            for piece in pieces {
                if let Some(allocation) = env.check_global(0, piece.address, piece.bytes) {
                    let start = piece.offset as usize;
                    allocation.read_bytes(piece.address, &mut data[start..start + piece.bytes as usize]);
                }
            }
            env.shared.finish_copy(dst_offset, &data);
            let agent = env.shared.races.agent(BULK_AGENT);
            env.shared.races.stamp_write(dst_offset, bytes as usize, agent, site.pc);
            mbarrier::complete_bytes(env, mbarrier, bytes.into(), agent);
        }
        Pending::Arrival { thread, mbarrier, site, newest } => {
            env.site = site;
            copy_async::finish_until(env, thread, newest);
            mbarrier::arrive_after_copies(env, thread, mbarrier);
        }
    }
    true
}

/// `cp.async.bulk`
pub fn copy(warp: &Warp, env: &mut Environment<'_>, copy: &BulkCopy, mask: u32) {
    let (dst, src) = (env.addresses(warp, &copy.dst), env.addresses(warp, &copy.src));
    let bytes = env.read(warp, &copy.bytes);
    let mbarriers = copy.mbarrier.as_ref().map(|address| env.addresses(warp, address));
    for lane in lanes_of(mask) {
        let size = bytes[lane] as u32;
        let misfits = [dst[lane], src[lane], size.into()].iter().any(|value| value % GRANULE_BYTES != 0);
        if misfits || size == 0 {
            let message = format!(
                "a bulk copy of {size} bytes from {:#x} to {:#x}: all three must be multiples of 16, the size not zero",
                src[lane], dst[lane]
            );
            env.report(FindingKind::Misaligned, lane, None, message);
            continue;
        }
        let transfer = |shared, global| {
            let pieces = vec![Piece { offset: 0, address: global, bytes: size }];
            Transfer { shared, bytes: size, pieces }
        };
        match mbarriers {
            Some(mbarriers) => to_shared(env, lane, transfer(dst[lane], src[lane]), mbarriers[lane]),
            None => to_global(env, lane, transfer(src[lane], dst[lane])),
        }
    }
}

/// Begins a copy to shared memory that completes at an mbarrier.
pub fn to_shared(env: &mut Environment<'_>, lane: usize, transfer: Transfer, mbarrier: u64) {
    let Transfer { shared, bytes, pieces } = transfer;
    for piece in &pieces {
        let Some(allocation) = env.check_global(lane, piece.address, piece.bytes) else { return };
        let is_written = |at: u32| allocation.is_written(piece.address + u64::from(at), (piece.bytes - at).min(8));
        if !(0..piece.bytes).step_by(8).all(is_written) {
            let message = "a bulk copy of bytes that nobody wrote".to_owned();
            env.report(FindingKind::Unwritten, lane, Some((Space::Global, piece.address, piece.bytes)), message);
        }
    }
    let Some(dst_offset) = env.check_shared(lane, shared, bytes, Kind::Write) else { return };
    env.report_overlap(lane, shared, bytes);
    let Some(mbarrier) = env.check_shared(lane, mbarrier, 8, Kind::Atomic) else { return };
    if !env.mbarriers.contains_key(&mbarrier) {
        let message = "no mbarrier was initialised where the copy completes".to_owned();
        let address = mbarrier as u64 + u64::from(SHARED_BASE);
        env.report(FindingKind::BarrierMisuse, lane, Some((Space::Shared, address, 8)), message);
        return;
    }
    count(env, &pieces);
    env.shared.mark_pending(dst_offset, bytes as usize);
    let site = env.site;
    env.asynchronous.pending.push(Pending::ToShared { dst_offset, bytes, pieces, mbarrier, site });
}

/// Begins a copy to global memory, in the open group of the lane's thread.
pub fn to_global(env: &mut Environment<'_>, lane: usize, transfer: Transfer) {
    let Transfer { shared, bytes, pieces } = transfer;
    let Some(src_offset) = env.bounds_of_shared(lane, shared, bytes) else { return };
    for piece in &pieces {
        if env.check_global(lane, piece.address, piece.bytes).is_none() {
            return;
        }
        check_shared_source(env, lane, (shared + u64::from(piece.offset), piece.bytes), BULK_AGENT);
    }
    count(env, &pieces);
    let (thread, site) = (env.thread(lane) as usize, env.site);
    env.asynchronous.threads[thread].open.push(ToGlobal { src_offset, pieces, site });
}

fn count(env: &mut Environment<'_>, pieces: &[Piece]) {
    env.counts.bulk_copy_bytes += pieces.iter().map(|piece| u64::from(piece.bytes)).sum::<u64>();
}

/// Checks that an asynchronous operation may read shared bytes, and stamps the read in the name of an agent.
pub fn check_shared_source(
    env: &mut Environment<'_>,
    lane: usize,
    (address, bytes): (u64, u32),
    agent: u32,
) -> Option<usize> {
    let offset = env.bounds_of_shared(lane, address, bytes)?;
    if !env.shared.is_ready(offset, bytes as usize) {
        env.not_ready(lane, offset, bytes, Kind::Read);
        return Some(offset);
    }
    let (viewer, pc) = (env.thread(lane), env.site.pc);
    let agent = env.shared.races.agent(agent);
    let (conflict, unfenced) = env.shared.races.read_by_agent((offset, bytes as usize), viewer, agent, pc);
    if let Some(conflict) = conflict {
        env.race(lane, (address, bytes), Kind::Read, conflict);
    } else if let Some(write) = unfenced {
        let function = env.launch.function;
        let line = function.instructions[write.pc() as usize].line;
        let [x, y, z] = env.thread_index(write.actor());
        let message = format!(
            "an asynchronous read of what thread ({x},{y},{z}) wrote at PTX line {line}, with no fence.proxy.async between"
        );
        env.report(FindingKind::MissingFence, lane, Some((Space::Shared, address, bytes)), message);
    }
    Some(offset)
}

/// `cp.async.bulk.commit_group`
pub fn commit(env: &mut Environment<'_>, mask: u32) {
    for lane in lanes_of(mask) {
        let time = env.shared.races.tick();
        let thread = env.thread(lane) as usize;
        let queue = &mut env.asynchronous.threads[thread];
        let group = std::mem::take(&mut queue.open);
        queue.groups.push_back((group, time));
    }
}

/// `cp.async.bulk.wait_group`
pub fn wait(warp: &Warp, env: &mut Environment<'_>, pending: u32, mask: u32) {
    for lane in lanes_of(mask) {
        let thread = env.thread(lane) as usize;
        while env.asynchronous.threads[thread].groups.len() > pending as usize {
            let Some((group, time)) = env.asynchronous.threads[thread].groups.pop_front() else { break };
            group.into_iter().for_each(|copy| carry_out(env, copy));
            let agent = env.shared.races.agent(BULK_AGENT);
            env.shared.races.acquire_agent(warp.index as usize, 1 << lane, warp.lanes, (agent, time));
        }
    }
}

fn carry_out(env: &mut Environment<'_>, copy: ToGlobal) {
    for piece in copy.pieces {
        let Some(allocation) = env.check_global(0, piece.address, piece.bytes) else { return };
        let start = copy.src_offset + piece.offset as usize;
        for at in (0..piece.bytes).step_by(8) {
            let size = (piece.bytes - at).min(8);
            let value = env.shared.load(start + at as usize, size as usize);
            allocation.store(piece.address + u64::from(at), size, value);
        }
    }
}

/// The block has ended. Copies still under way would touch shared memory that is no longer the block's.
pub fn finish(env: &mut Environment<'_>) {
    let to_shared = env.asynchronous.pending.iter().find_map(|pending| match pending {
        Pending::ToShared { site, .. } => Some(*site),
        Pending::Arrival { .. } => None,
    });
    let unfinished =
        env.asynchronous.threads.iter().position(|thread| !thread.open.is_empty() || !thread.groups.is_empty());
    if let Some(site) = to_shared {
        let message = "the block ends while a bulk copy to its shared memory is under way".to_owned();
        env.report_at(site, FindingKind::MissingWait, 0, None, message);
    }
    let Some(thread) = unfinished else { return };
    let queue = std::mem::take(&mut env.asynchronous.threads[thread]);
    let copies = queue.groups.into_iter().flat_map(|(group, _)| group).chain(queue.open);
    if let Some(copy) = copies.into_iter().next() {
        let message = "the thread exits without waiting for a bulk copy from shared memory".to_owned();
        env.report_at(copy.site, FindingKind::MissingWait, thread % 32, None, message);
    }
}
