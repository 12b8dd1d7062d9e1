//! Declarations and names to the decoded form.

mod asynchronous;
mod control;
mod convert;
mod decoder;
mod float;
mod integer;
mod labels;
mod layout;
mod matrix;
mod memory;
mod names;
mod special;
mod sync;
mod tensor;

use crate::Class;
use crate::Entry;
use crate::Module;
use crate::ParseError;
use crate::cfg;
use crate::findings::SourceLine;
use crate::ir::Function;
use crate::ir::Instruction;
use crate::ir::IntegerUnary;
use crate::ir::Operation;
use crate::ir::PredicateOperand;
use crate::ir::uses;
use crate::parse::ast::RawFunction;
use crate::parse::ast::RawInstruction;
use crate::parse::ast::RawModule;
use crate::parse::ast::Statement;
use crate::parse::types::is_float;
use crate::parse::types::type_bits;
use crate::types::Type;
use decoder::Decoded;
use decoder::Decoder;
use labels::Labels;
use names::Names;
use names::Symbol;
use std::collections::HashMap;

/// Decodes a module.
pub fn module(raw: &RawModule, files: &HashMap<u32, String>) -> Result<Module, ParseError> {
    let (globals, constants, symbols) = layout::module_variables(raw)?;
    let functions = raw
        .functions
        .iter()
        .map(|function| lower_function(raw, function, &symbols, files))
        .collect::<Result<_, _>>()?;
    Ok(Module { id: 0, target: raw.target.clone(), functions, globals, constants })
}

fn lower_function(
    module: &RawModule,
    raw: &RawFunction,
    symbols: &[(String, Symbol)],
    files: &HashMap<u32, String>,
) -> Result<Function, ParseError> {
    let mut names = Names::default();
    for (name, symbol) in symbols {
        names.declare(name, symbol.clone());
    }
    names.open();
    let (params, param_bytes) = layout::parameters(&raw.params);
    for param in &params {
        names.declare(&param.name, Symbol::Address(param.offset_bytes.into()));
    }
    let shared = layout::shared(module, raw)?;
    for (name, address) in shared.variables {
        names.declare(&name, Symbol::Address(address));
    }
    let labels = Labels::collect(&raw.body)?;
    let mut lowering = Lowering::new(names, labels, files);
    for statement in &raw.body {
        lowering.statement(statement)?;
    }
    let reconvergence = cfg::reconvergence(&lowering.instructions);
    let has_wgmma =
        lowering.instructions.iter().any(|instruction| matches!(instruction.operation, Operation::Wgmma(_)));
    let register_uses =
        has_wgmma.then(|| lowering.instructions.iter().map(|instruction| uses(&instruction.operation)).collect());
    Ok(Function {
        entry: Entry {
            name: raw.name.clone(),
            params,
            static_shared_bytes: shared.static_bytes,
            local_bytes: lowering.local_bytes,
            max_threads: raw.max_threads.or(raw.required_threads).map(|sizes| sizes.iter().product()),
            required_threads: raw.required_threads,
        },
        instructions: lowering.instructions,
        reconvergence,
        num_registers: lowering.names.num_registers,
        num_predicates: lowering.names.num_predicates,
        param_bytes,
        sources: lowering.sources,
        register_uses,
    })
}

struct Lowering<'a> {
    names: Names,
    labels: Labels,
    files: &'a HashMap<u32, String>,
    instructions: Vec<Instruction>,
    sources: Vec<SourceLine>,
    source_indices: HashMap<SourceLine, u32>,
    source: Option<u32>,
    local_bytes: u32,
    /// Scopes opened so far: their number in [`Labels`].
    scopes_opened: usize,
    open_scopes: Vec<usize>,
}

impl<'a> Lowering<'a> {
    fn new(names: Names, labels: Labels, files: &'a HashMap<u32, String>) -> Self {
        Self {
            names,
            labels,
            files,
            instructions: Vec::new(),
            sources: Vec::new(),
            source_indices: HashMap::new(),
            source: None,
            local_bytes: 0,
            scopes_opened: 0,
            open_scopes: vec![0],
        }
    }

    fn statement(&mut self, statement: &Statement) -> Result<(), ParseError> {
        match statement {
            Statement::Open => {
                self.names.open();
                self.scopes_opened += 1;
                self.open_scopes.push(self.scopes_opened);
            }
            Statement::Close => {
                self.names.close();
                self.open_scopes.pop();
            }
            Statement::Registers { line, ty, name, count } => self.registers(*line, *ty, name, *count)?,
            Statement::Variable(variable) => {
                if let Some(address) = layout::local(variable, &mut self.local_bytes)? {
                    self.declare(variable.line, &variable.name, Symbol::Address(address))?;
                }
            }
            Statement::Label { .. } | Statement::BranchTargets { .. } => {}
            Statement::Location(location) => {
                let source = location.resolve(self.files);
                let next = self.sources.len() as u32;
                let index = *self.source_indices.entry(source.clone()).or_insert(next);
                if index == next {
                    self.sources.push(source);
                }
                self.source = Some(index);
            }
            Statement::Instruction(raw) => {
                let instruction = self.instruction(raw)?;
                self.instructions.push(instruction);
            }
        }
        Ok(())
    }

    fn declare(&mut self, line: u32, name: &str, symbol: Symbol) -> Result<(), ParseError> {
        if self.names.declare(name, symbol) {
            return Ok(());
        }
        Err(ParseError::new(line, format!("{name} is declared twice in one scope")))
    }

    fn registers(&mut self, line: u32, ty: Type, name: &str, count: Option<u32>) -> Result<(), ParseError> {
        let bits = match type_bits(ty) {
            bits @ (1 | 8 | 16 | 32 | 64) => bits,
            _ => return Err(ParseError::new(line, format!("registers of {ty:?} are not supported"))),
        };
        let all = match count {
            None => vec![name.to_owned()],
            Some(count) => (0..count).map(|index| format!("{name}{index}")).collect(),
        };
        for name in all {
            if !self.names.declare_register(&name, bits) {
                return Err(ParseError::new(line, format!("{name} is declared twice in one scope")));
            }
        }
        Ok(())
    }

    fn instruction(&self, raw: &RawInstruction) -> Result<Instruction, ParseError> {
        let decoder = Decoder::new(&self.names, raw);
        let guard = match &raw.guard {
            None => None,
            Some((name, negated)) => {
                Some(PredicateOperand::Register { index: decoder.predicate_index(name)?, negated: *negated })
            }
        };
        let (operation, class) = match decoder.mnemonic {
            "bra" | "brx" | "ret" | "exit" | "trap" | "brkpt" | "call" => {
                control::decode(decoder, &self.labels, &self.open_scopes)?
            }
            _ => decode(decoder)?,
        };
        let is_switch_point = is_switch_point(&operation);
        Ok(Instruction { guard, operation, class, line: raw.line, source: self.source, is_switch_point })
    }
}

fn is_switch_point(operation: &Operation) -> bool {
    use Operation::*;
    match operation {
        Load(load) => !matches!(load.space, Some(crate::findings::Space::Param | crate::findings::Space::Const)),
        Store(_) | LoadMatrix(_) | StoreMatrix(_) | Atomic(_) | Barrier(_) | Fence | CopyAsync(_) | CommitGroup => true,
        WaitGroup { .. } | Shuffle(_) | WarpBarrier { .. } | Mbarrier(_) | BulkCopy(_) | BulkCommit => true,
        TensorCopy(_) | BulkWait { .. } | ProxyFence | WgmmaCommit | WgmmaWait { .. } => true,
        _ => false,
    }
}

fn decode(mut d: Decoder<'_>) -> Decoded {
    match d.mnemonic {
        "mov" => convert::mov(d),
        "cvt" => convert::cvt(d),
        "setp" => convert::setp(d),
        "set" => convert::set(d),
        "selp" => convert::selp(d),
        "slct" => convert::slct(d),
        "and" | "or" | "xor" => integer::logic(d),
        "not" if d.raw.opcode == "not.pred" => control::not_predicate(d),
        "not" | "cnot" | "popc" | "clz" | "brev" | "bfind" | "shl" | "shr" => integer::special(d),
        "lop3" | "prmt" | "shf" | "dp4a" | "dp2a" | "bfi" | "bfe" | "sad" | "mul24" | "bmsk" => integer::special(d),
        "add" | "sub" | "mul" | "mad" | "div" | "rem" | "min" | "max" | "addc" | "subc" | "madc" => {
            let ty = d.take_type()?;
            if is_float(ty) { float::arithmetic(d, ty) } else { integer::arithmetic(d, ty) }
        }
        "abs" | "neg" => {
            let ftz = d.raw.opcode.contains(".ftz");
            let ty = d.take_type()?;
            match (d.mnemonic, is_float(ty)) {
                (_, true) => float::arithmetic(d, ty),
                (_, false) if ftz => Err(d.error("unknown modifier .ftz")),
                ("abs", false) => integer::unary(d, IntegerUnary::Absolute, ty),
                _ => integer::unary(d, IntegerUnary::Negate, ty),
            }
        }
        "fma" | "copysign" | "rcp" | "sqrt" | "rsqrt" | "ex2" | "lg2" | "sin" | "cos" | "tanh" => {
            let ty = d.take_type()?;
            float::arithmetic(d, ty)
        }
        "ld" | "ldu" => memory::load(d),
        "st" => memory::store(d),
        "ldmatrix" | "stmatrix" => memory::matrix_access(d),
        "movmatrix" => memory::move_matrix(d),
        "atom" | "red" => memory::atomic(d),
        "cvta" => memory::cvta(d),
        "isspacep" => memory::isspacep(d),
        "cp" => memory::copy_async(d),
        "prefetch" | "prefetchu" | "applypriority" | "discard" | "createpolicy" => memory::hint(d),
        "shfl" => sync::shuffle(d),
        "vote" => sync::vote(d),
        "match" => sync::matching(d),
        "redux" => sync::redux(d),
        "activemask" => sync::activemask(d),
        "elect" => sync::elect(d),
        "bar" | "barrier" => sync::barrier(d),
        "membar" | "fence" => sync::fence(d),
        "griddepcontrol" | "nanosleep" | "setmaxnreg" => sync::hint(d),
        "mma" => matrix::mma(d),
        "mbarrier" => asynchronous::mbarrier(d),
        "wgmma" => asynchronous::wgmma(d),
        _ => Err(d.unknown()),
    }
}

/// The class of a branch or of anything else that moves the program counter.
const CONTROL: Class = Class::Control;
