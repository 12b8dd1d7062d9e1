//! What a launch can find wrong with a kernel.

use std::fmt;

/// The class of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingKind {
    /// An access outside every allocation, variable or parameter.
    OutOfBounds,
    /// An address that is not a multiple of the access size.
    Misaligned,
    /// A read of global, shared or local memory that nobody wrote.
    Unwritten,
    /// Two threads of a block touch one byte of shared memory, one of them writes, and nothing orders them.
    Race,
    /// A `cp.async` destination touched before the wait of the thread that asked for the copy.
    MissingWait,
    /// The asynchronous proxy touches bytes written by ordinary stores with no `fence.proxy.async` between.
    MissingFence,
    /// A wgmma register touched while a wgmma that uses it is in flight.
    InFlightRegister,
    /// A `.sync` instruction of a warp names a lane that does not execute it.
    AbsentLane,
    /// No warp of the block can go on, or the block exceeded its instruction limit.
    Deadlock,
    /// A barrier used in a way the hardware leaves undefined.
    BarrierMisuse,
    /// A store to constant or parameter memory.
    WriteToConst,
    /// The kernel executed `trap`.
    Trap,
    /// An operand outside what the instruction allows at run time.
    InvalidOperand,
}

/// The state space of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Space {
    /// `.global`
    Global,
    /// `.shared`
    Shared,
    /// `.local`
    Local,
    /// `.const`
    Const,
    /// `.param` of a kernel
    Param,
}

/// A place in the source, from the `.loc` lines of `-lineinfo`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceLine {
    /// File name as the PTX has it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Where the function that holds the line was inlined, innermost first.
    pub inlined_at: Vec<(String, u32)>,
}

impl SourceLine {
    /// True if the line itself or a place it was inlined at is this line of a file whose name ends in `file`.
    pub fn is_at(&self, file: &str, line: u32) -> bool {
        (self.file.ends_with(file) && self.line == line)
            || self.inlined_at.iter().any(|(name, at)| name.ends_with(file) && *at == line)
    }
}

impl fmt::Display for SourceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        for (file, line) in &self.inlined_at {
            write!(f, ", inlined at {file}:{line}")?;
        }
        Ok(())
    }
}

/// One thing that is wrong with a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its class.
    pub kind: FindingKind,
    /// The kernel.
    pub kernel: String,
    /// The line of the source, if the PTX has line information.
    pub source: Option<SourceLine>,
    /// The line of the PTX text, from 1.
    pub ptx_line: u32,
    /// Block index in x, y and z.
    pub block: [u32; 3],
    /// Thread index in x, y and z.
    pub thread: [u32; 3],
    /// State space, address within it and size in bytes, for an access.
    pub access: Option<(Space, u64, u32)>,
    /// The rule and the values.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([bx, by, bz], [tx, ty, tz]) = (self.block, self.thread);
        write!(f, "{:?} in {}", self.kind, self.kernel)?;
        if let Some(source) = &self.source {
            write!(f, " at {source}")?;
        }
        write!(f, " (PTX line {}), block ({bx},{by},{bz}) thread ({tx},{ty},{tz}): {}", self.ptx_line, self.message)?;
        if let Some((space, address, size)) = self.access {
            write!(f, " [{space:?} address {address:#x}, {size} bytes]")?;
        }
        Ok(())
    }
}
