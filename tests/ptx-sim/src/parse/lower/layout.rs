//! Where variables and parameters lie.

use crate::Parameter;
use crate::ParseError;
use crate::memory::SHARED_BASE;
use crate::parse::ast::RawFunction;
use crate::parse::ast::RawModule;
use crate::parse::ast::RawOperand;
use crate::parse::ast::Statement;
use crate::parse::ast::Variable;
use crate::parse::ast::VariableSpace;
use crate::parse::directives::shared_variable;
use crate::parse::lower::names::Symbol;
use std::collections::HashSet;

/// Initial bytes of global variables, the constant bank, and the symbols of both.
type ModuleVariables = (Vec<Vec<u8>>, Vec<u8>, Vec<(String, Symbol)>);

/// Lays out `.global` and `.const` variables.
pub fn module_variables(raw: &RawModule) -> Result<ModuleVariables, ParseError> {
    let (mut globals, mut constants, mut symbols) = (Vec::new(), Vec::new(), Vec::new());
    for variable in &raw.variables {
        let mut bytes = variable.initial.clone();
        bytes.resize(variable.size_bytes.unwrap_or_default() as usize, 0);
        match variable.space {
            VariableSpace::Global => {
                symbols.push((variable.name.clone(), Symbol::Global(globals.len() as u32)));
                globals.push(bytes);
            }
            VariableSpace::Const => {
                constants.resize(constants.len().next_multiple_of(alignment(variable)? as usize), 0);
                symbols.push((variable.name.clone(), Symbol::Address(constants.len() as u64)));
                constants.extend(bytes);
            }
            VariableSpace::Shared => {}
            space => return Err(ParseError::new(variable.line, format!("a {space:?} variable of a module"))),
        }
    }
    Ok((globals, constants, symbols))
}

/// Offsets of kernel parameters, and the bytes of all.
pub fn parameters(raw: &[Variable]) -> (Vec<Parameter>, u32) {
    let mut end: u32 = 0;
    let place = |variable: &Variable| {
        let size_bytes = variable.size_bytes.unwrap_or_default();
        let align_bytes = variable.align_bytes.max(1);
        let offset_bytes = end.next_multiple_of(align_bytes);
        end = offset_bytes + size_bytes;
        Parameter { name: variable.name.clone(), offset_bytes, size_bytes, align_bytes }
    };
    let params = raw.iter().map(place).collect();
    (params, end)
}

/// The shared memory of a kernel.
pub struct Shared {
    /// Names and addresses.
    pub variables: Vec<(String, u64)>,
    pub static_bytes: u32,
}

/// Lays out the shared variables of a function and those of the module that it names; arrays without a size start
/// where the static ones end.
pub fn shared(module: &RawModule, raw: &RawFunction) -> Result<Shared, ParseError> {
    let used = names_used(&raw.body);
    let of_module = module.variables.iter().filter(|variable| variable.space == VariableSpace::Shared);
    let named = of_module.filter(|variable| used.contains(variable.name.as_str()));
    let all: Vec<&Variable> = named.chain(raw.body.iter().filter_map(shared_variable)).collect();
    let mut shared = Shared { variables: Vec::new(), static_bytes: 0 };
    let mut dynamic_align = 1;
    for variable in &all {
        let align = alignment(variable)?;
        match variable.size_bytes {
            None => dynamic_align = dynamic_align.max(align),
            Some(size) => {
                let offset = shared.static_bytes.next_multiple_of(align);
                shared.variables.push((variable.name.clone(), u64::from(SHARED_BASE + offset)));
                shared.static_bytes = offset + size;
            }
        }
    }
    if dynamic_align > 1 || all.iter().any(|variable| variable.size_bytes.is_none()) {
        shared.static_bytes = shared.static_bytes.next_multiple_of(dynamic_align.max(16));
    }
    let dynamic = u64::from(SHARED_BASE + shared.static_bytes);
    for variable in all.iter().filter(|variable| variable.size_bytes.is_none()) {
        shared.variables.push((variable.name.clone(), dynamic));
    }
    Ok(shared)
}

/// Places a local variable; `None` for one of another space.
pub fn local(variable: &Variable, local_bytes: &mut u32) -> Result<Option<u64>, ParseError> {
    match (variable.space, variable.size_bytes) {
        (VariableSpace::Shared, _) => Ok(None),
        (VariableSpace::Local, Some(size)) => {
            let offset = local_bytes.next_multiple_of(alignment(variable)?);
            *local_bytes = offset + size;
            Ok(Some(offset.into()))
        }
        (space, _) => Err(ParseError::new(variable.line, format!("a {space:?} variable of a function"))),
    }
}

fn alignment(variable: &Variable) -> Result<u32, ParseError> {
    if variable.align_bytes.is_power_of_two() && variable.align_bytes <= SHARED_BASE {
        return Ok(variable.align_bytes);
    }
    Err(ParseError::new(variable.line, format!("an alignment of {} bytes", variable.align_bytes)))
}

fn names_used(body: &[Statement]) -> HashSet<&str> {
    let mut names = HashSet::new();
    for statement in body {
        if let Statement::Instruction(instruction) = statement {
            instruction.operands.iter().for_each(|operand| collect(operand, &mut names));
        }
    }
    names
}

fn collect<'a>(operand: &'a RawOperand, names: &mut HashSet<&'a str>) {
    match operand {
        RawOperand::Name(name) | RawOperand::Offset(name, _) => {
            names.insert(name);
        }
        RawOperand::Address(base, _) | RawOperand::TensorAddress(base, ..) => collect(base, names),
        _ => {}
    }
}
