//! `cp.async`: asked for by a thread, carried out at that thread's wait.

use crate::FindingKind;
use crate::exec::access::Kind;
use crate::exec::access::Place;
use crate::exec::environment::Environment;
use crate::exec::traffic;
use crate::exec::warp::Warp;
use crate::exec::warp::lanes_of;
use crate::findings::Space;
use crate::ir::CopyAsync;
use std::collections::VecDeque;

/// One copy that was asked for. Its source was checked when it was.
#[derive(Clone, Copy, Debug)]
struct Copy {
    dst_offset: usize,
    src_address: u64,
    bytes: u32,
    /// The instruction.
    pc: u32,
    /// Read from the source; the rest is zeros.
    src_bytes: u32,
    number: u64,
    /// An mbarrier had it carried out before its group's wait.
    is_done: bool,
}

#[derive(Clone, Debug, Default)]
struct ThreadCopies {
    pending: VecDeque<Copy>,
    /// Copies in each committed group, oldest first.
    groups: VecDeque<usize>,
    /// Copies since the last commit.
    open: usize,
    /// Copies asked for so far.
    asked: u64,
}

/// The copies of a block that are under way.
#[derive(Debug)]
pub struct CopyQueue {
    threads: Vec<ThreadCopies>,
}

impl CopyQueue {
    pub fn new(threads: u32) -> Self {
        Self { threads: vec![ThreadCopies::default(); threads as usize] }
    }

    pub fn restart(&mut self) {
        for thread in &mut self.threads {
            thread.pending.clear();
            thread.groups.clear();
            thread.open = 0;
        }
    }

    /// The number of the last copy that a thread asked for.
    pub fn newest(&self, thread: u32) -> u64 {
        self.threads[thread as usize].asked
    }
}

/// Carries out a thread's copies up to a number, whatever their group.
pub fn finish_until(env: &mut Environment<'_>, thread: u32, newest: u64) {
    for index in 0..env.copies.threads[thread as usize].pending.len() {
        let copy = &mut env.copies.threads[thread as usize].pending[index];
        if copy.number <= newest && !copy.is_done {
            copy.is_done = true;
            let copy = *copy;
            carry_out(env, thread, copy);
        }
    }
}

/// `cp.async`
pub fn copy(warp: &Warp, env: &mut Environment<'_>, copy: &CopyAsync, mask: u32) {
    let (dst, src) = (env.addresses(warp, &copy.dst), env.addresses(warp, &copy.src));
    let ignored = copy.ignore_src.map_or(0, |predicate| warp.predicate(predicate));
    let limits = copy.src_bytes.as_ref().map(|operand| env.read(warp, operand));
    let src_bytes = |lane: usize| {
        let asked = limits.map_or(copy.bytes, |limits| (limits[lane] as u32).min(copy.bytes));
        if ignored >> lane & 1 == 1 { 0 } else { asked }
    };
    env.counts.async_copies.requests += 1;
    env.counts.async_copies.sectors += traffic::sectors(&src, mask, src_bytes);
    traffic::count(env, Some(Space::Shared), &dst, copy.bytes, mask, Kind::Write);
    for lane in lanes_of(mask) {
        env.counts.async_copies.bytes += u64::from(src_bytes(lane));
        if let Some(limits) = limits.filter(|limits| limits[lane] as u32 > copy.bytes) {
            let message = format!("src-size {} is more than cp-size {}", limits[lane] as u32, copy.bytes);
            env.report(FindingKind::InvalidOperand, lane, None, message);
        }
        let dst_place = env.check(lane, Space::Shared, dst[lane], copy.bytes, Kind::Write);
        let readable = check_source(env, lane, src[lane], copy.bytes, src_bytes(lane));
        env.report_overlap(lane, dst[lane], copy.bytes);
        let Some(Place::Shared(dst_offset)) = dst_place else { continue };
        env.shared.mark_pending(dst_offset, copy.bytes as usize);
        let src_bytes = if readable { src_bytes(lane) } else { 0 };
        let (thread, pc) = (env.thread(lane) as usize, env.site.pc);
        let queue = &mut env.copies.threads[thread];
        queue.asked += 1;
        let number = queue.asked;
        let (src_address, bytes) = (src[lane], copy.bytes);
        queue.pending.push_back(Copy { dst_offset, src_address, bytes, pc, src_bytes, number, is_done: false });
        queue.open += 1;
    }
}

/// True if the bytes that are read may be. The address must be aligned even where fewer bytes, or none, are read.
fn check_source(env: &mut Environment<'_>, lane: usize, address: u64, bytes: u32, src_bytes: u32) -> bool {
    let access = Some((Space::Global, address, src_bytes));
    if address % u64::from(bytes) != 0 {
        let message = format!("cp.async of {bytes} bytes from an address that is not a multiple of {bytes}");
        env.report(FindingKind::Misaligned, lane, access, message);
    }
    if src_bytes == 0 {
        return true;
    }
    let Some(allocation) = env.check_global(lane, address, src_bytes) else { return false };
    let is_written =
        (0..src_bytes).step_by(8).all(|at| allocation.is_written(address + u64::from(at), (src_bytes - at).min(8)));
    if !is_written {
        let message = "cp.async of bytes that nobody wrote".to_owned();
        env.report(FindingKind::Unwritten, lane, access, message);
    }
    true
}

/// `cp.async.commit_group`
pub fn commit(env: &mut Environment<'_>, mask: u32) {
    for lane in lanes_of(mask) {
        let thread = env.thread(lane) as usize;
        let queue = &mut env.copies.threads[thread];
        queue.groups.push_back(queue.open);
        queue.open = 0;
    }
}

/// `cp.async.wait_group`, and `wait_all` if `pending` is `None`.
pub fn wait(env: &mut Environment<'_>, pending: Option<u32>, mask: u32) {
    for lane in lanes_of(mask) {
        let thread = env.thread(lane) as usize;
        let queue = &mut env.copies.threads[thread];
        let allowed = pending.unwrap_or(0) as usize;
        let mut finished = 0;
        while queue.groups.len() > allowed {
            finished += queue.groups.pop_front().unwrap_or_default();
        }
        if pending.is_none() {
            finished += std::mem::take(&mut queue.open);
        }
        for _ in 0..finished {
            if let Some(copy) = env.copies.threads[thread].pending.pop_front().filter(|copy| !copy.is_done) {
                carry_out(env, thread as u32, copy);
            }
        }
    }
}

fn carry_out(env: &mut Environment<'_>, thread: u32, copy: Copy) {
    let mut bytes = [0; 16];
    if copy.src_bytes > 0 {
        if let Some(allocation) = env.check_global(thread as usize % 32, copy.src_address, copy.src_bytes) {
            allocation.read_bytes(copy.src_address, &mut bytes[..copy.src_bytes as usize]);
        }
    }
    env.shared.finish_copy(copy.dst_offset, &bytes[..copy.bytes as usize]);
    env.shared.races.stamp_write(copy.dst_offset, copy.bytes as usize, thread, copy.pc);
}
