//! A module as it is written, before names are resolved.

use crate::findings::SourceLine;
use crate::types::Type;

/// A module.
#[derive(Debug, Default)]
pub struct RawModule {
    pub target: String,
    pub variables: Vec<Variable>,
    pub functions: Vec<RawFunction>,
}

/// A variable of a state space.
#[derive(Clone, Debug)]
pub struct Variable {
    pub line: u32,
    pub name: String,
    pub space: VariableSpace,
    pub align_bytes: u32,
    /// `None` for `.extern .shared` arrays, whose size the launch gives.
    pub size_bytes: Option<u32>,
    /// Zeros beyond its end.
    pub initial: Vec<u8>,
}

/// Where a variable lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableSpace {
    Global,
    Const,
    Shared,
    Local,
    Param,
}

/// A kernel.
#[derive(Debug)]
pub struct RawFunction {
    pub name: String,
    pub params: Vec<Variable>,
    pub max_threads: Option<[u32; 3]>,
    pub required_threads: Option<[u32; 3]>,
    pub body: Vec<Statement>,
}

/// One statement of a body.
#[derive(Debug)]
pub enum Statement {
    Open,
    Close,
    /// `.reg .b32 %r<5>`: a prefix and how many, or a name.
    Registers {
        line: u32,
        ty: Type,
        name: String,
        count: Option<u32>,
    },
    Variable(Variable),
    Label {
        line: u32,
        name: String,
    },
    /// `name: .branchtargets a, b;`
    BranchTargets {
        name: String,
        targets: Vec<String>,
    },
    Location(RawLocation),
    Instruction(RawInstruction),
}

/// A `.loc`, with file numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawLocation {
    pub file: u32,
    pub line: u32,
    pub inlined_at: Option<(u32, u32)>,
}

impl RawLocation {
    /// With file names.
    pub fn resolve(&self, files: &std::collections::HashMap<u32, String>) -> SourceLine {
        let name = |file: u32| files.get(&file).cloned().unwrap_or_else(|| format!("file {file}"));
        let inlined_at = self.inlined_at.iter().map(|&(file, line)| (name(file), line)).collect();
        SourceLine { file: name(self.file), line: self.line, inlined_at }
    }
}

/// An instruction with its names.
#[derive(Clone, Debug)]
pub struct RawInstruction {
    pub line: u32,
    /// Predicate name, and whether it is negated.
    pub guard: Option<(String, bool)>,
    pub opcode: String,
    pub operands: Vec<RawOperand>,
}

/// An operand with its names.
#[derive(Clone, Debug, PartialEq)]
pub enum RawOperand {
    Name(String),
    /// `!p`
    Not(String),
    Number(Number),
    /// `name+16`, not an access
    Offset(String, i64),
    Vector(Vec<RawOperand>),
    /// `[base + offset]`
    Address(Box<RawOperand>, i64),
    /// `[base + offset, {a, b}]`: a tensor map and coordinates
    TensorAddress(Box<RawOperand>, i64, Vec<RawOperand>),
    /// `a|b`
    Pair(Box<RawOperand>, Box<RawOperand>),
}

/// A literal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Sign-extended to 64 bits.
    Integer(u64),
    /// `0f3F800000`
    Single(u32),
    /// `0d3FF0000000000000`, or a decimal point
    Double(u64),
}
