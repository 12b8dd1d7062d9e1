//! `wgmma.mma_async`: issued by the four warps of a warpgroup together, carried out at the first wait that covers it.
//!
//! Until then its accumulators, and A where it is in registers, are in flight: touching them is a finding. Registers
//! that ordinary instructions wrote must be fenced before wgmma uses them.

use crate::FindingKind;
use crate::exec::bulk::check_shared_source;
use crate::exec::environment::Environment;
use crate::exec::environment::Site;
use crate::exec::step::Flow;
use crate::exec::warp::ALL_LANES;
use crate::exec::warp::Warp;
use crate::exec::warp::WarpState;
use crate::ir::Operation;
use crate::ir::Uses;
use crate::ir::WarpgroupA;
use crate::ir::WarpgroupMultiply;
use crate::matrix::WarpRegister;
use crate::matrix::descriptor::BLOCK_BYTES;
use crate::matrix::descriptor::MatrixDescriptor;
use crate::matrix::wgmma::Scales;
use crate::matrix::wgmma::SourceA;
use crate::matrix::wgmma::WarpgroupRegister;
use crate::memory::SHARED_BASE;
use crate::numeric::Unsupported;
use std::collections::VecDeque;

const WARPS: usize = 4;

/// What a warp asks of its warpgroup.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Issue,
    /// Carry out the instructions issued up to this number.
    Finish(u64),
}

/// An instruction that was issued and not carried out.
#[derive(Clone, Copy, Debug)]
struct Issued {
    pc: u32,
    a: Option<MatrixDescriptor>,
    b: MatrixDescriptor,
    accumulate: bool,
}

/// The instructions of a warpgroup under way.
#[derive(Clone, Debug, Default)]
pub struct Warpgroup {
    issued: VecDeque<Issued>,
    /// How many were carried out.
    finished: u64,
}

/// What one warp knows of its wgmma instructions.
#[derive(Clone, Debug, Default)]
pub struct InFlight {
    /// Instructions issued, and for which the warp has waited.
    issued: u64,
    waited: u64,
    /// For each committed group, the instructions issued up to it, and the time.
    groups: VecDeque<(u64, u32)>,
    /// Those not waited for.
    instructions: VecDeque<u32>,
    accumulators: Vec<bool>,
    inputs: Vec<bool>,
    written_at: Vec<u64>,
    fenced_at: u64,
    clock: u64,
}

/// Looks at the registers of an ordinary instruction, in a kernel that has wgmma.
pub fn check_registers(warp: &mut Warp, env: &mut Environment<'_>, uses: &Uses) {
    let num_registers = warp.registers.len();
    let state = &mut warp.in_flight;
    state.written_at.resize(num_registers, 0);
    state.clock += 1;
    for &register in &uses.writes {
        state.written_at[register as usize] = state.clock;
    }
    if state.instructions.is_empty() {
        return;
    }
    let has = |registers: &[bool], register: &u32| registers.get(*register as usize) == Some(&true);
    let touches = uses.reads.iter().chain(&uses.writes).any(|register| has(&state.accumulators, register));
    let overwrites = uses.writes.iter().any(|register| has(&state.inputs, register));
    if touches || overwrites {
        let what = if touches { "touches an accumulator" } else { "overwrites an input" };
        let line = env.launch.function.instructions[state.instructions[0] as usize].line;
        let message = format!("{what} of a wgmma in flight (PTX line {line}), before its wgmma.wait_group");
        env.report(FindingKind::InFlightRegister, 0, None, message);
    }
}

/// `wgmma.fence`
pub fn fence(warp: &mut Warp) {
    warp.in_flight.fenced_at = warp.in_flight.clock;
}

/// `wgmma.commit_group`
pub fn commit(warp: &mut Warp, env: &mut Environment<'_>) {
    let time = env.shared.races.tick();
    let issued = warp.in_flight.issued;
    warp.in_flight.groups.push_back((issued, time));
}

fn multiply_at<'a>(env: &Environment<'a>, pc: u32) -> Option<&'a WarpgroupMultiply> {
    match &env.launch.function.instructions[pc as usize].operation {
        Operation::Wgmma(multiply) => Some(multiply),
        _ => None,
    }
}

/// A warp reaches `wgmma.mma_async`.
pub fn issue(warp: &mut Warp, env: &mut Environment<'_>, mask: u32) -> Flow {
    let Some(multiply) = multiply_at(env, env.site.pc) else { return Flow::Next };
    let has_group = (warp.index as usize / WARPS + 1) * WARPS * 32 <= env.launch.threads as usize;
    if mask != ALL_LANES || !has_group {
        let message = "wgmma takes four whole warps, the first of them a multiple of four".to_owned();
        env.report(FindingKind::AbsentLane, (!mask).trailing_zeros() as usize % 32, None, message);
        warp.advance();
        return Flow::Next;
    }
    let state = &warp.in_flight;
    let is_unfenced = |register: u32| state.written_at.get(register as usize).is_some_and(|&at| at > state.fenced_at);
    let of_a = match &multiply.a {
        WarpgroupA::Registers(registers) => registers.as_slice(),
        WarpgroupA::Descriptor(..) => &[],
    };
    let used = multiply.d.iter().map(|dst| dst.register).chain(of_a.iter().map(|register| register.0));
    if used.into_iter().any(is_unfenced) {
        let message = "a register was written after the last wgmma.fence".to_owned();
        env.report(FindingKind::MissingFence, 0, None, message);
    }
    warp.state = WarpState::AtWarpgroup;
    Flow::Warpgroup(Step::Issue)
}

/// `wgmma.wait_group`
pub fn wait(warp: &mut Warp, env: &mut Environment<'_>, pending: u32, mask: u32) -> Flow {
    let state = &mut warp.in_flight;
    let mut covered = None;
    while state.groups.len() > pending as usize {
        covered = state.groups.pop_front();
    }
    let Some((issued, time)) = covered else {
        warp.advance();
        return Flow::MaySwitch;
    };
    let finished = issued.saturating_sub(state.waited);
    state.instructions.drain(..(finished as usize).min(state.instructions.len()));
    state.waited = issued;
    warp.advance();
    mark_registers(warp, env);
    let agent = env.shared.races.agent(agent_of(warp));
    env.shared.races.acquire_agent(warp.index as usize, mask, warp.lanes, (agent, time));
    Flow::Warpgroup(Step::Finish(issued))
}

fn mark_registers(warp: &mut Warp, env: &Environment<'_>) {
    let num_registers = warp.registers.len();
    let state = &mut warp.in_flight;
    for flags in [&mut state.accumulators, &mut state.inputs] {
        flags.clear();
        flags.resize(num_registers, false);
    }
    for multiply in state.instructions.iter().filter_map(|&pc| multiply_at(env, pc)) {
        multiply.d.iter().for_each(|dst| state.accumulators[dst.register as usize] = true);
        if let WarpgroupA::Registers(registers) = &multiply.a {
            registers.iter().for_each(|register| state.inputs[register.0 as usize] = true);
        }
    }
}

/// A warp has come to its warpgroup: issues what all four wait for, or carries out what was issued.
pub fn rendezvous(warps: &mut [Warp], env: &mut Environment<'_>, warp: usize, step: Step) {
    let group = warp / WARPS;
    let warps = &mut warps[group * WARPS..(group + 1) * WARPS];
    match step {
        Step::Finish(number) => {
            while env.warpgroups[group].finished < number {
                let Some(issued) = env.warpgroups[group].issued.pop_front() else { break };
                env.warpgroups[group].finished += 1;
                carry_out(warps, env, issued);
            }
        }
        Step::Issue => {
            let place = |warp: &Warp| warp.stack.last().map(|frame| frame.pc);
            let pc = place(&warps[0]);
            if warps.iter().all(|warp| warp.state == WarpState::AtWarpgroup && place(warp) == pc) {
                issue_together(warps, env, group, pc.unwrap_or_default());
            }
        }
    }
}

fn issue_together(warps: &mut [Warp], env: &mut Environment<'_>, group: usize, pc: u32) {
    let Some(multiply) = multiply_at(env, pc) else { return };
    let issued = descriptors(warps, env, multiply, pc);
    for warp in warps.iter_mut() {
        warp.state = WarpState::Ready;
        warp.advance();
        warp.in_flight.issued += 1;
        warp.in_flight.instructions.push_back(pc);
        mark_registers(warp, env);
    }
    env.matrix_macs[pc as usize] += multiply.macs;
    match issued {
        Ok(issued) => {
            check_sources(warps, env, multiply, &issued);
            env.warpgroups[group].issued.push_back(issued);
        }
        Err(message) => {
            env.site = Site { pc, warp: warps[0].index };
            env.report(FindingKind::InvalidOperand, 0, None, message);
            env.warpgroups[group].finished += 1;
        }
    }
}

/// The descriptors and the predicate, which must be the same in every lane of the four warps.
fn descriptors(warps: &[Warp], env: &Environment<'_>, multiply: &WarpgroupMultiply, pc: u32) -> Result<Issued, String> {
    let uniform = |operand| -> Result<u64, String> {
        let first = env.read(&warps[0], operand)[0];
        let differs = warps.iter().any(|warp| env.read(warp, operand).iter().any(|&value| value != first));
        if differs {
            Err("a descriptor that is not the same in every lane of the warpgroup".to_owned())
        } else {
            Ok(first)
        }
    };
    let decode = |bits: u64| MatrixDescriptor::decode(bits).map_err(|error| error.to_string());
    let a = match &multiply.a {
        WarpgroupA::Registers(_) => None,
        WarpgroupA::Descriptor(operand, _) => Some(decode(uniform(operand)?)?),
    };
    let scale = warps[0].predicate(multiply.accumulate);
    if (scale != 0 && scale != ALL_LANES) || warps.iter().any(|warp| warp.predicate(multiply.accumulate) != scale) {
        return Err("a scale-d that is not the same in every lane of the warpgroup".to_owned());
    }
    Ok(Issued { pc, a, b: decode(uniform(&multiply.b)?)?, accumulate: scale != 0 })
}

/// The agent that reads shared memory for a warp: a warp's wait says nothing of what the others' parts still read.
fn agent_of(warp: &Warp) -> u32 {
    1 + warp.index
}

/// Each warp of the group must be allowed to read the operands in shared memory.
fn check_sources(warps: &[Warp], env: &mut Environment<'_>, multiply: &WarpgroupMultiply, issued: &Issued) {
    let wgmma = &multiply.wgmma;
    let of_a = match (&multiply.a, issued.a) {
        (WarpgroupA::Descriptor(_, major), Some(a)) => wgmma.blocks_a(&a, *major).collect(),
        _ => Vec::new(),
    };
    let blocks: Vec<u32> =
        of_a.into_iter().chain(wgmma.blocks_b(&issued.b, multiply.major_b)).map(|block| block.address).collect();
    for warp in warps {
        env.site = Site { pc: issued.pc, warp: warp.index };
        for &address in &blocks {
            check_shared_source(env, 0, (address.into(), BLOCK_BYTES), agent_of(warp));
        }
    }
}

fn carry_out(warps: &mut [Warp], env: &mut Environment<'_>, issued: Issued) {
    let Some(multiply) = multiply_at(env, issued.pc) else { return };
    let gather = |register: u32| -> WarpgroupRegister {
        std::array::from_fn(|warp| -> WarpRegister { warps[warp].registers[register as usize].map(|lane| lane as u32) })
    };
    let mut d: Vec<WarpgroupRegister> = multiply.d.iter().map(|dst| gather(dst.register)).collect();
    let of_a: Vec<WarpgroupRegister> = match &multiply.a {
        WarpgroupA::Registers(registers) => registers.iter().map(|register| gather(register.0)).collect(),
        WarpgroupA::Descriptor(..) => Vec::new(),
    };
    let a = match (&multiply.a, issued.a) {
        (WarpgroupA::Descriptor(_, major), Some(descriptor)) => SourceA::Shared(descriptor, *major),
        _ => SourceA::Registers(&of_a),
    };
    let scales = Scales { accumulate: issued.accumulate, negate_a: multiply.negate_a, negate_b: multiply.negate_b };
    let shared = &env.shared;
    let read = |address: u32| -> Result<[u8; 16], Unsupported> {
        // What lies outside was reported when the instruction was issued.
        let offset = address.wrapping_sub(SHARED_BASE) as usize;
        Ok(if offset as u64 + 16 <= shared.size_bytes() { shared.block(offset) } else { [0; 16] })
    };
    let result = multiply.wgmma.execute(scales, a, (issued.b, multiply.major_b), &mut d, read);
    if let Err(error) = result {
        env.report_at(
            Site { pc: issued.pc, warp: warps[0].index },
            FindingKind::InvalidOperand,
            0,
            None,
            error.to_string(),
        );
        return;
    }
    for (dst, values) in multiply.d.iter().zip(&d) {
        for (warp, lanes) in warps.iter_mut().zip(values) {
            warp.write(*dst, &lanes.map(u64::from), ALL_LANES);
        }
    }
}
