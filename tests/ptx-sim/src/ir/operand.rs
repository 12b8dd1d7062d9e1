//! What instructions read and write.

/// A register that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Register(pub u32);

/// A register that is written, and the width it was declared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    pub register: u32,
    /// Ones in the bits the register has.
    pub mask: u64,
}

/// A value that an instruction reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    Register(Register),
    Immediate(u64),
    Special(Special),
    /// The address of a global variable, by index, plus an offset.
    Global(u32, i64),
}

/// A predicate that an instruction reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PredicateOperand {
    Register { index: u32, negated: bool },
    Constant(bool),
}

/// Base plus offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub base: Operand,
    pub offset: i64,
}

/// Special registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// `%tid`, by axis.
    Thread(usize),
    /// `%ntid`
    BlockSize(usize),
    /// `%ctaid`
    Block(usize),
    /// `%nctaid`
    GridSize(usize),
    /// `%laneid`
    Lane,
    /// `%warpid`
    Warp,
    /// `%nwarpid`
    NumWarps,
    /// `%smid`
    Multiprocessor,
    /// `%nsmid`
    NumMultiprocessors,
    /// `%gridid`, and what else is zero here.
    Zero,
    /// Cluster sizes: a block is a cluster.
    One,
    /// `%clock`, `%clock64`, `%globaltimer`: the warp instructions of the block.
    Clock,
    /// `%lanemask_eq`
    MaskEqual,
    /// `%lanemask_le`
    MaskLessOrEqual,
    /// `%lanemask_lt`
    MaskLess,
    /// `%lanemask_ge`
    MaskGreaterOrEqual,
    /// `%lanemask_gt`
    MaskGreater,
    /// `%dynamic_smem_size`
    DynamicSharedBytes,
    /// `%total_smem_size`
    TotalSharedBytes,
}
