//! Operations on memory, synchronous and not.

use crate::findings::Space;
use crate::ir::Address;
use crate::ir::Destination;
use crate::ir::Operand;
use crate::ir::PredicateOperand;
use crate::types::Type;

/// A load of one to four (or eight) elements. No space means a generic address.
#[derive(Debug)]
pub struct Load {
    pub space: Option<Space>,
    pub element_bytes: u32,
    pub signed: bool,
    /// Does not race with other strong accesses: `.volatile`, `.relaxed`, `.acquire`.
    pub is_strong: bool,
    pub dsts: Vec<Option<Destination>>,
    pub address: Address,
}

#[derive(Debug)]
pub struct Store {
    pub space: Option<Space>,
    pub element_bytes: u32,
    /// `.volatile`, `.relaxed`, `.release`.
    pub is_strong: bool,
    pub srcs: Vec<Operand>,
    pub address: Address,
}

/// `ldmatrix` and `stmatrix` of 8×8 matrices of 16-bit elements, one register each.
#[derive(Debug)]
pub struct MatrixAccess {
    pub space: Option<Space>,
    pub transposed: bool,
    pub registers: Vec<Destination>,
    pub address: Address,
}

#[derive(Debug)]
pub struct Atomic {
    pub space: Option<Space>,
    pub op: AtomicOp,
    pub ty: Type,
    pub dst: Option<Destination>,
    pub address: Address,
    pub a: Operand,
    /// The new value of `cas`.
    pub b: Option<Operand>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtomicOp {
    Add,
    Min,
    Max,
    And,
    Or,
    Xor,
    Exchange,
    CompareAndSwap,
    /// `old >= a ? 0 : old + 1`
    Increment,
    /// `old == 0 || old > a ? a : old - 1`
    Decrement,
}

/// `cp.async`, from global to shared memory.
#[derive(Debug)]
pub struct CopyAsync {
    pub dst: Address,
    pub src: Address,
    pub bytes: u32,
    /// Bytes really read; the rest of the destination is zeroed.
    pub src_bytes: Option<Operand>,
    /// Nothing is read where it holds.
    pub ignore_src: Option<PredicateOperand>,
}

/// An operation on an mbarrier in shared memory.
#[derive(Debug)]
pub struct Mbarrier {
    pub action: MbarrierAction,
    pub space: Option<Space>,
    pub address: Address,
    /// The state token of an arrival.
    pub dst: Option<Destination>,
    /// Whether a wait succeeded.
    pub predicate: Option<u32>,
    /// Count, bytes, state token or parity.
    pub value: Option<Operand>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MbarrierAction {
    Init,
    Invalidate,
    Arrive,
    /// Arrives, and is not expected in later phases.
    ArriveDrop,
    ExpectBytes,
    ArriveExpectBytes,
    /// `test_wait` and `try_wait`, with a state token or a phase parity.
    Wait {
        parity: bool,
    },
    /// Arrives when the thread's earlier `cp.async` are complete; one more arrival is expected unless `.noinc`.
    ArriveAfterCopies {
        increments: bool,
    },
}

/// `cp.async.bulk`: to shared memory with an mbarrier, or to global memory in a group.
#[derive(Debug)]
pub struct BulkCopy {
    pub dst: Address,
    pub src: Address,
    pub bytes: Operand,
    /// Present if the copy goes to shared memory.
    pub mbarrier: Option<Address>,
}

/// `cp.async.bulk.tensor`: a box of a tensor to shared memory with an mbarrier, or from there in a group.
#[derive(Debug)]
pub struct TensorCopy {
    /// In shared memory.
    pub shared: Address,
    /// Generic.
    pub map: Address,
    /// Of the box's first element, signed 32 bits each, the innermost first.
    pub coordinates: Vec<Operand>,
    /// Present if the copy goes to shared memory.
    pub mbarrier: Option<Address>,
}
