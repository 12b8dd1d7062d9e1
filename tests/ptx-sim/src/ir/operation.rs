//! The operations, by family.

use crate::findings::Space;
use crate::ir::Atomic;
use crate::ir::AtomicOp;
use crate::ir::Barrier;
use crate::ir::BulkCopy;
use crate::ir::CarryOp;
use crate::ir::Compare;
use crate::ir::Convert;
use crate::ir::CopyAsync;
use crate::ir::Destination;
use crate::ir::FloatBinary;
use crate::ir::FloatUnary;
use crate::ir::IntegerBinary;
use crate::ir::IntegerTernary;
use crate::ir::IntegerUnary;
use crate::ir::Load;
use crate::ir::Logic;
use crate::ir::MatrixAccess;
use crate::ir::MatrixMultiply;
use crate::ir::Mbarrier;
use crate::ir::Operand;
use crate::ir::PredicateOperand;
use crate::ir::SetPredicate;
use crate::ir::Shuffle;
use crate::ir::Store;
use crate::ir::TensorCopy;
use crate::ir::Vote;
use crate::ir::VoteDestination;
use crate::ir::WarpgroupMultiply;
use crate::numeric::FloatModifiers;
use crate::types::Type;

/// What an instruction does.
#[derive(Debug)]
pub enum Operation {
    Move {
        dst: Destination,
        src: Operand,
    },
    /// `mov.b32 d, {a, b}`: the first element is lowest.
    Pack {
        dst: Destination,
        elements: Vec<Operand>,
        element_bits: u32,
    },
    Unpack {
        dsts: Vec<Option<Destination>>,
        src: Operand,
        element_bits: u32,
    },
    IntegerUnary {
        op: IntegerUnary,
        ty: Type,
        dst: Destination,
        a: Operand,
    },
    IntegerBinary {
        op: IntegerBinary,
        ty: Type,
        dst: Destination,
        a: Operand,
        b: Operand,
    },
    IntegerTernary {
        op: IntegerTernary,
        ty: Type,
        dst: Destination,
        a: Operand,
        b: Operand,
        c: Operand,
    },
    /// Addition and subtraction with the carry flag.
    Carry {
        op: CarryOp,
        ty: Type,
        sets_carry: bool,
        dst: Destination,
        a: Operand,
        b: Operand,
        c: Operand,
    },
    BitInsert {
        ty: Type,
        dst: Destination,
        a: Operand,
        b: Operand,
        position: Operand,
        length: Operand,
    },
    FloatUnary {
        op: FloatUnary,
        ty: Type,
        modifiers: FloatModifiers,
        dst: Destination,
        a: Operand,
    },
    FloatBinary {
        op: FloatBinary,
        ty: Type,
        modifiers: FloatModifiers,
        dst: Destination,
        a: Operand,
        b: Operand,
    },
    Fma {
        ty: Type,
        modifiers: FloatModifiers,
        dst: Destination,
        a: Operand,
        b: Operand,
        c: Operand,
    },
    Convert(Convert),
    /// `cvt.rn.f16x2.f32 d, high, low`
    ConvertPair {
        convert: Convert,
        low: Operand,
    },
    SetPredicate(SetPredicate),
    /// `set`: all ones or 1.0 where the comparison holds.
    Set {
        compare: Compare,
        combine: Option<(Logic, PredicateOperand)>,
        to: Type,
        dst: Destination,
    },
    Select {
        dst: Destination,
        a: Operand,
        b: Operand,
        predicate: PredicateOperand,
    },
    /// `slct`: `a` where `c` ≥ 0, else `b`.
    SelectSign {
        ty: Type,
        ftz: bool,
        dst: Destination,
        a: Operand,
        b: Operand,
        c: Operand,
    },
    PredicateLogic {
        op: Logic,
        dst: u32,
        a: PredicateOperand,
        b: PredicateOperand,
    },
    /// `cvta`: adds the window, or takes it away.
    WindowAddress {
        window: u64,
        to_generic: bool,
        dst: Destination,
        src: Operand,
    },
    IsSpace {
        space: Space,
        dst: u32,
        src: Operand,
    },
    Load(Load),
    Store(Store),
    LoadMatrix(MatrixAccess),
    StoreMatrix(MatrixAccess),
    MoveMatrix {
        dst: Destination,
        src: Operand,
    },
    Atomic(Atomic),
    Shuffle(Shuffle),
    Vote {
        op: Vote,
        dst: VoteDestination,
        predicate: PredicateOperand,
        members: Operand,
    },
    /// `match.any` (no predicate) and `match.all`.
    Match {
        all: bool,
        dst: Option<Destination>,
        predicate: Option<u32>,
        value: Operand,
        members: Operand,
    },
    ReduceWarp {
        op: AtomicOp,
        ty: Type,
        dst: Destination,
        src: Operand,
        members: Operand,
    },
    ActiveMask {
        dst: Destination,
    },
    Elect {
        dst: Option<Destination>,
        predicate: u32,
        members: Operand,
    },
    WarpBarrier {
        members: Operand,
    },
    Barrier(Barrier),
    /// Orders memory; every access of a block is already in order, so that only the race detector looks at barriers.
    Fence,
    CopyAsync(CopyAsync),
    CommitGroup,
    /// Waits until at most this many groups are pending; `None` waits for everything.
    WaitGroup {
        pending: Option<u32>,
    },
    Mbarrier(Mbarrier),
    BulkCopy(BulkCopy),
    TensorCopy(TensorCopy),
    BulkCommit,
    /// Waits until at most this many groups of bulk copies from shared memory are pending.
    BulkWait {
        pending: u32,
    },
    /// `fence.proxy.async`
    ProxyFence,
    Matrix(Box<MatrixMultiply>),
    Wgmma(Box<WarpgroupMultiply>),
    WgmmaFence,
    WgmmaCommit,
    WgmmaWait {
        pending: u32,
    },
    Branch {
        target: u32,
    },
    BranchIndexed {
        targets: Vec<u32>,
        index: Operand,
    },
    Exit,
    Trap,
    /// Hints: prefetches, `griddepcontrol`, `nanosleep`, `setmaxnreg`.
    Hint,
    /// `createpolicy`: the policy is opaque.
    Policy {
        dst: Destination,
    },
}
