//! Executes one instruction of one warp.

use crate::FindingKind;
use crate::exec::barrier;
use crate::exec::environment::Environment;
use crate::exec::environment::Site;
use crate::exec::execute::execute;
use crate::exec::mbarrier;
use crate::exec::warp::Lanes;
use crate::exec::warp::Warp;
use crate::exec::warp::lanes_of;
use crate::exec::wgmma;
use crate::ir::Instruction;
use crate::ir::Operation;

/// What follows an instruction.
pub enum Flow {
    Next,
    /// Another warp may run.
    MaySwitch,
    /// The warp reached a barrier, which may be complete.
    Arrived(Option<usize>),
    /// The warp waits before this instruction.
    Again,
    /// The warp waits for its warpgroup; see [`crate::exec::wgmma::rendezvous`].
    Warpgroup(wgmma::Step),
    Finished,
    Fatal,
}

/// Executes the next instruction of a warp.
pub fn step(warp: &mut Warp, env: &mut Environment<'_>) -> Flow {
    let Some(frame) = warp.top() else { return Flow::Finished };
    let function = env.launch.function;
    let Some(instruction) = function.instructions.get(frame.pc as usize) else {
        warp.exit(frame.mask);
        return Flow::Next;
    };
    env.site = Site { pc: frame.pc, warp: warp.index };
    let mask = match instruction.guard {
        Some(guard) => frame.mask & warp.predicate(guard),
        None => frame.mask,
    };
    env.executed += 1;
    env.counts.warp_instructions[instruction.class as usize] += 1;
    env.counts.thread_instructions[instruction.class as usize] += u64::from(mask.count_ones());
    if let Some(flow) = control(warp, env, instruction, frame.mask, mask) {
        return flow;
    }
    if mask != 0 {
        if let Some(uses) = &function.register_uses {
            wgmma::check_registers(warp, env, &uses[frame.pc as usize]);
        }
        match &instruction.operation {
            Operation::Barrier(barrier) => {
                warp.advance();
                return Flow::Arrived(barrier::arrive(warp, env, barrier, mask));
            }
            Operation::Mbarrier(barrier) => {
                let flow = mbarrier::execute(warp, env, barrier, mask);
                if matches!(flow, Flow::Again) {
                    // It is counted when it goes through.
                    env.executed -= 1;
                    env.counts.warp_instructions[instruction.class as usize] -= 1;
                    env.counts.thread_instructions[instruction.class as usize] -= u64::from(mask.count_ones());
                } else {
                    warp.advance();
                }
                return flow;
            }
            Operation::Wgmma(_) => return wgmma::issue(warp, env, mask),
            Operation::WgmmaWait { pending } => return wgmma::wait(warp, env, *pending, mask),
            operation => execute(warp, env, operation, mask),
        }
    }
    warp.advance();
    if instruction.is_switch_point { Flow::MaySwitch } else { Flow::Next }
}

/// Instructions that set the program counter; `None` for all others.
#[inline]
fn control(
    warp: &mut Warp,
    env: &mut Environment<'_>,
    instruction: &Instruction,
    active: u32,
    mask: u32,
) -> Option<Flow> {
    let meeting = env.launch.function.reconvergence[env.site.pc as usize];
    match &instruction.operation {
        Operation::Branch { target } => warp.branch(mask, *target, meeting),
        Operation::BranchIndexed { targets, index } => {
            let index = env.read(warp, index);
            branch_indexed(warp, env, targets, &index, (active, mask), meeting);
        }
        Operation::Exit => {
            warp.advance();
            warp.exit(mask);
        }
        Operation::Trap if mask != 0 => {
            env.report(FindingKind::Trap, mask.trailing_zeros() as usize, None, "trap".to_owned());
            return Some(Flow::Fatal);
        }
        _ => return None,
    }
    Some(Flow::Next)
}

fn branch_indexed(
    warp: &mut Warp,
    env: &mut Environment<'_>,
    targets: &[u32],
    index: &Lanes,
    (active, mask): (u32, u32),
    meeting: u32,
) {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    let mut add = |pc: u32, lanes: u32| match parts.iter_mut().find(|(target, _)| *target == pc) {
        Some((_, mask)) => *mask |= lanes,
        None => parts.push((pc, lanes)),
    };
    if active != mask {
        add(env.site.pc + 1, active & !mask);
    }
    for lane in lanes_of(mask) {
        match targets.get(index[lane] as usize) {
            Some(&target) => add(target, 1 << lane),
            None => {
                let message = format!("index {} of a table of {} targets", index[lane], targets.len());
                env.report(FindingKind::InvalidOperand, lane, None, message);
                add(env.site.pc + 1, 1 << lane);
            }
        }
    }
    match parts.as_slice() {
        [(pc, _)] => warp.branch(active, *pc, meeting),
        parts => warp.split(parts, meeting),
    }
}
