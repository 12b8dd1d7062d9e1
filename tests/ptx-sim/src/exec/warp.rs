//! The state of one warp: registers, predicates, and the stack of diverged lanes.

use crate::exec::mbarrier::Poll;
use crate::exec::wgmma::InFlight;
use crate::ir::Destination;
use crate::ir::NO_RECONVERGENCE;
use crate::ir::PredicateOperand;

/// One register of all lanes.
pub type Lanes = [u64; 32];

/// All lanes.
pub const ALL_LANES: u32 = u32::MAX;

/// Lanes that go on together until they reach `reconverge`, where the frame below takes over.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub pc: u32,
    pub reconverge: u32,
    pub mask: u32,
}

/// What a warp waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarpState {
    Ready,
    AtBarrier(usize),
    /// None of its lanes' mbarriers has reached the phase that it asks for.
    Polling,
    /// Waits for the other warps of its warpgroup to issue the same wgmma instruction.
    AtWarpgroup,
    Finished,
}

/// A warp.
#[derive(Debug)]
pub struct Warp {
    pub index: u32,
    /// Lanes that hold a thread.
    pub lanes: u32,
    /// Lanes that have exited.
    pub exited: u32,
    pub state: WarpState,
    pub stack: Vec<Frame>,
    pub registers: Vec<Lanes>,
    pub predicates: Vec<u32>,
    /// The carry flag of each lane.
    pub carry: u32,
    pub polls: Vec<Poll>,
    pub in_flight: InFlight,
}

impl Warp {
    pub fn new(index: u32, num_registers: u32, num_predicates: u32) -> Self {
        Self {
            index,
            lanes: 0,
            exited: 0,
            state: WarpState::Finished,
            stack: Vec::new(),
            registers: vec![[0; 32]; num_registers as usize],
            predicates: vec![0; num_predicates as usize],
            carry: 0,
            polls: Vec::new(),
            in_flight: InFlight::default(),
        }
    }

    /// Back to the first instruction, with lanes for `threads` threads of the block. Registers keep what the block
    /// before left in them, as the hardware's do.
    pub fn restart(&mut self, threads: u32) {
        let in_warp = (threads - 32 * self.index).min(32);
        self.lanes = ALL_LANES >> (32 - in_warp);
        self.exited = 0;
        self.state = WarpState::Ready;
        self.stack.clear();
        self.stack.push(Frame { pc: 0, reconverge: NO_RECONVERGENCE, mask: self.lanes });
        self.carry = 0;
        self.in_flight = InFlight::default();
    }

    /// Lanes that have not exited.
    pub fn live(&self) -> u32 {
        self.lanes & !self.exited
    }

    /// The frame that runs, after dropping those whose lanes have met again.
    #[inline]
    pub fn top(&mut self) -> Option<Frame> {
        loop {
            let top = *self.stack.last()?;
            if top.pc != top.reconverge && top.mask != 0 {
                return Some(top);
            }
            self.stack.pop();
        }
    }

    #[inline]
    pub fn advance(&mut self) {
        if let Some(top) = self.stack.last_mut() {
            top.pc += 1;
        }
    }

    /// Sends the lanes of `taken` to `target` and the rest of the frame to the next instruction.
    pub fn branch(&mut self, taken: u32, target: u32, meeting: u32) {
        let Some(top) = self.stack.last_mut() else { return };
        let next = top.pc + 1;
        let rest = top.mask & !taken;
        if taken == 0 || rest == 0 {
            top.pc = if rest == 0 { target } else { next };
            return;
        }
        self.split(&[(next, rest), (target, taken)], meeting);
    }

    /// Replaces the frame by several, the last of which runs first; they meet at `meeting`.
    pub fn split(&mut self, parts: &[(u32, u32)], meeting: u32) {
        let Some(top) = self.stack.last_mut() else { return };
        let outer = top.reconverge;
        let inner = if meeting == NO_RECONVERGENCE { outer } else { meeting };
        if inner == outer {
            // The frame below, or none, already waits at the meeting point.
            self.stack.pop();
        } else {
            top.pc = meeting;
        }
        for &(pc, mask) in parts {
            if pc != inner && mask != 0 {
                self.stack.push(Frame { pc, reconverge: inner, mask });
            }
        }
    }

    /// Ends lanes.
    pub fn exit(&mut self, lanes: u32) {
        self.exited |= lanes;
        for frame in &mut self.stack {
            frame.mask &= !lanes;
        }
    }

    #[inline]
    pub fn predicate(&self, operand: PredicateOperand) -> u32 {
        match operand {
            PredicateOperand::Register { index, negated: false } => self.predicates[index as usize],
            PredicateOperand::Register { index, negated: true } => !self.predicates[index as usize],
            PredicateOperand::Constant(true) => ALL_LANES,
            PredicateOperand::Constant(false) => 0,
        }
    }

    #[inline]
    pub fn set_predicate(&mut self, index: u32, value: u32, mask: u32) {
        let predicate = &mut self.predicates[index as usize];
        *predicate = (*predicate & !mask) | (value & mask);
    }

    /// Writes the lanes of `mask`.
    #[inline]
    pub fn write(&mut self, dst: Destination, values: &Lanes, mask: u32) {
        let register = &mut self.registers[dst.register as usize];
        if mask == ALL_LANES {
            for (slot, value) in register.iter_mut().zip(values) {
                *slot = value & dst.mask;
            }
            return;
        }
        for (lane, (slot, value)) in register.iter_mut().zip(values).enumerate() {
            if mask >> lane & 1 == 1 {
                *slot = value & dst.mask;
            }
        }
    }

    #[inline]
    pub fn write_lane(&mut self, dst: Destination, lane: usize, value: u64) {
        self.registers[dst.register as usize][lane] = value & dst.mask;
    }
}

/// The numbers of the lanes in a mask, ascending.
pub fn lanes_of(mask: u32) -> impl Iterator<Item = usize> {
    let mut left = mask;
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let lane = left.trailing_zeros() as usize;
        left &= left - 1;
        Some(lane)
    })
}
