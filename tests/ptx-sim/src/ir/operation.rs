//! The operations, by family.

use crate::findings::Space;
use crate::ir::Address;
use crate::ir::Destination;
use crate::ir::Operand;
use crate::ir::PredicateOperand;
use crate::ir::Register;
use crate::matrix::descriptor::Major;
use crate::matrix::mma::Mma;
use crate::matrix::wgmma::Wgmma;
use crate::numeric::Approximation;
use crate::numeric::Comparison;
use crate::numeric::ConvertModifiers;
use crate::numeric::FloatModifiers;
use crate::numeric::approx::Division;
use crate::types::Rounding;
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerUnary {
    Not,
    Negate,
    Absolute,
    PopulationCount,
    LeadingZeros,
    BitReverse,
    /// `bfind`: the position of the highest significant bit, or the shift that brings it to the top.
    FindBit {
        shift_amount: bool,
    },
    /// `cnot`: 1 where zero, else 0.
    LogicalNot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerBinary {
    Add,
    AddSaturating,
    Sub,
    SubSaturating,
    MulLow,
    MulHigh,
    MulWide,
    Mul24Low,
    Divide,
    Remainder,
    Min,
    Max,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
    /// `bmsk`, from position `a` over `b` bits; amounts clamp.
    BitMask,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerTernary {
    MadLow,
    MadHigh,
    MadWide,
    /// `|a − b| + c`
    SumAbsoluteDifferences,
    /// Four products of bytes, signed as said, plus `c`.
    Dot4 {
        a_signed: bool,
        b_signed: bool,
    },
    /// Two products of 16-bit values of `a` and bytes of `b` (the upper two if `high`).
    Dot2 {
        a_signed: bool,
        b_signed: bool,
        high: bool,
    },
    /// `lop3` with its truth table.
    Logic3(u8),
    Permute(PermuteMode),
    /// `shf`: a 64-bit value `b:a` shifted by `c`.
    Funnel {
        left: bool,
        wrap: bool,
    },
    /// `bfe`: `c` bits of `a` from position `b`.
    BitExtract,
    /// `cvt.pack.sat`: `c`, shifted, then `a` and `b` clamped to `to`.
    PackSaturating {
        to: Type,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermuteMode {
    Index,
    Forward4,
    Backward4,
    Replicate8,
    EdgeLeft,
    EdgeRight,
    Replicate16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CarryOp {
    /// `a + b`, plus the flag if `with_carry`.
    Add {
        with_carry: bool,
    },
    Sub {
        with_borrow: bool,
    },
    MadLow {
        with_carry: bool,
    },
    MadHigh {
        with_carry: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatUnary {
    Negate,
    Absolute,
    Reciprocal,
    SquareRoot,
    Approximate(Approximation),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatBinary {
    Add,
    Sub,
    Mul,
    Divide,
    DivideApproximately(Division),
    Min,
    Max,
    CopySign,
}

#[derive(Clone, Copy, Debug)]
pub struct Convert {
    pub to: Type,
    pub from: Type,
    pub rounding: Option<Rounding>,
    pub modifiers: ConvertModifiers,
    pub dst: Destination,
    pub src: Operand,
}

#[derive(Clone, Copy, Debug)]
pub struct Compare {
    pub comparison: Comparison,
    pub ty: Type,
    pub ftz: bool,
    pub a: Operand,
    pub b: Operand,
}

/// `setp`: the comparison, combined with another predicate; the second destination gets the negated comparison.
/// Of `f16x2` and `bf16x2` it is the comparison of the high halves.
#[derive(Clone, Copy, Debug)]
pub struct SetPredicate {
    pub compare: Compare,
    pub combine: Option<(Logic, PredicateOperand)>,
    pub dst: Option<u32>,
    pub second: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logic {
    And,
    Or,
    Xor,
}

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
