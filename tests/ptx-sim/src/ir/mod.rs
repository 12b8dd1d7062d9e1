//! The decoded form of a kernel: what runs has no names left.

mod operand;
mod operation;
mod uses;

pub use operand::*;
pub use operation::*;
pub use uses::Uses;
pub use uses::uses;

use crate::Class;
use crate::Entry;
use crate::findings::SourceLine;

/// A kernel.
#[derive(Debug)]
pub struct Function {
    pub entry: Entry,
    pub instructions: Vec<Instruction>,
    /// For each instruction that may diverge: where its lanes meet again. [`NO_RECONVERGENCE`] elsewhere, and where
    /// they meet only at the end.
    pub reconvergence: Vec<u32>,
    pub num_registers: u32,
    pub num_predicates: u32,
    pub param_bytes: u32,
    pub sources: Vec<SourceLine>,
    /// The registers of each instruction, if the kernel has wgmma.
    pub register_uses: Option<Vec<Uses>>,
}

/// See [`Function::reconvergence`].
pub const NO_RECONVERGENCE: u32 = u32::MAX;

/// One instruction.
#[derive(Debug)]
pub struct Instruction {
    pub guard: Option<PredicateOperand>,
    pub operation: Operation,
    pub class: Class,
    /// Line of the PTX text.
    pub line: u32,
    /// Index in [`Function::sources`], if the PTX has line information.
    pub source: Option<u32>,
    /// Another warp may run before this instruction: it touches memory or synchronises.
    pub is_switch_point: bool,
}
