//! Operations of a whole warp, a block or a warpgroup.

use crate::ir::Destination;
use crate::ir::Logic;
use crate::ir::Operand;
use crate::ir::PredicateOperand;
use crate::ir::Register;
use crate::matrix::descriptor::Major;
use crate::matrix::mma::Mma;
use crate::matrix::wgmma::Wgmma;

#[derive(Clone, Copy, Debug)]
pub struct Shuffle {
    pub mode: ShuffleMode,
    pub dst: Option<Destination>,
    pub predicate: Option<u32>,
    pub a: Operand,
    pub b: Operand,
    pub c: Operand,
    pub members: Operand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShuffleMode {
    Up,
    Down,
    Butterfly,
    Index,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vote {
    All,
    Any,
    Uniform,
    Ballot,
}

#[derive(Clone, Copy, Debug)]
pub enum VoteDestination {
    Predicate(u32),
    Register(Destination),
}

/// `bar` and `barrier.cta`.
#[derive(Debug)]
pub struct Barrier {
    pub action: BarrierAction,
    /// `bar` and `.aligned`: every lane of the warp must take part.
    pub aligned: bool,
    pub index: Operand,
    /// All threads of the block if absent.
    pub threads: Option<Operand>,
}

#[derive(Clone, Copy, Debug)]
pub enum BarrierAction {
    Sync,
    Arrive,
    ReducePredicate { op: Logic, dst: u32, predicate: PredicateOperand },
    ReduceCount { dst: Destination, predicate: PredicateOperand },
}

/// `mma.sync`.
#[derive(Debug)]
pub struct MatrixMultiply {
    /// As the PTX spells it.
    pub form: String,
    pub mma: Mma,
    pub d: Vec<Destination>,
    pub a: Vec<Register>,
    pub b: Vec<Register>,
    pub c: Vec<Operand>,
    /// Of one warp instruction.
    pub macs: u64,
}

/// `wgmma.mma_async`
#[derive(Debug)]
pub struct WarpgroupMultiply {
    /// As the PTX spells it.
    pub form: String,
    pub wgmma: Wgmma,
    pub d: Vec<Destination>,
    pub a: WarpgroupA,
    pub b: Operand,
    pub major_b: Major,
    pub accumulate: PredicateOperand,
    pub negate_a: bool,
    pub negate_b: bool,
    pub macs: u64,
}

#[derive(Debug)]
pub enum WarpgroupA {
    Registers(Vec<Register>),
    Descriptor(Operand, Major),
}
