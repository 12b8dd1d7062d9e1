//! Directives of a module: variables, kernels and what surrounds them.

use crate::ParseError;
use crate::parse::ast::Number;
use crate::parse::ast::RawFunction;
use crate::parse::ast::RawModule;
use crate::parse::ast::Statement;
use crate::parse::ast::Variable;
use crate::parse::ast::VariableSpace;
use crate::parse::body;
use crate::parse::cursor::Cursor;
use crate::parse::lexer::TokenKind;
use crate::parse::types::type_bytes;
use crate::parse::types::type_named;
use std::collections::HashMap;

/// The linking directives, none of which changes what a kernel computes.
const LINKING: [&str; 5] = [".visible", ".weak", ".common", ".extern", ".managed"];

/// Parses a whole text into declarations, and the table of file names.
pub fn module(cursor: &mut Cursor) -> Result<(RawModule, HashMap<u32, String>), ParseError> {
    let mut module = RawModule::default();
    let mut files = HashMap::new();
    while let Some(kind) = cursor.peek().cloned() {
        if cursor.take(';') {
            continue;
        }
        let TokenKind::Name(directive) = kind else { return Err(cursor.error("a directive")) };
        match directive.as_str() {
            ".version" | ".address_size" => {
                cursor.advance();
                version(cursor, &directive)?;
            }
            ".target" => {
                cursor.advance();
                module.target = cursor.name("a target")?;
                while cursor.take(',') {
                    cursor.name("a target option")?;
                }
            }
            ".file" => {
                cursor.advance();
                file(cursor, &mut files)?;
            }
            ".section" => {
                cursor.advance();
                cursor.name("a section name")?;
                cursor.skip_braces()?;
            }
            ".pragma" => pragma(cursor)?,
            _ => declaration(cursor, &mut module)?,
        }
    }
    Ok((module, files))
}

/// `.version 9.0`, `.address_size 64`.
fn version(cursor: &mut Cursor, directive: &str) -> Result<(), ParseError> {
    let line = cursor.line();
    let number = cursor.number()?;
    if directive == ".address_size" && number != Number::Integer(64) {
        return Err(ParseError::new(line, "only .address_size 64 is supported"));
    }
    Ok(())
}

fn file(cursor: &mut Cursor, files: &mut HashMap<u32, String>) -> Result<(), ParseError> {
    let index = cursor.unsigned()?;
    let Some(TokenKind::Text(name)) = cursor.peek().cloned() else { return Err(cursor.error("a file name")) };
    cursor.advance();
    files.insert(index, name);
    while cursor.take(',') {
        cursor.integer()?;
    }
    Ok(())
}

/// `.pragma "nounroll";` tells the assembler how to optimise, nothing else.
pub fn pragma(cursor: &mut Cursor) -> Result<(), ParseError> {
    cursor.advance();
    let known = ["nounroll", "used_bytes_mask", "enable_smem_spilling", "frequency"];
    loop {
        match cursor.peek() {
            Some(TokenKind::Text(text)) if known.iter().any(|name| text.starts_with(name)) => cursor.advance(),
            _ => return Err(cursor.error("a known pragma")),
        }
        if !cursor.take(',') {
            return cursor.expect(';');
        }
    }
}

fn declaration(cursor: &mut Cursor, module: &mut RawModule) -> Result<(), ParseError> {
    let mut is_extern = false;
    while let Some(prefix) = LINKING.iter().find(|prefix| cursor.peek_name() == Some(prefix)) {
        is_extern |= *prefix == ".extern";
        cursor.advance();
    }
    if cursor.take_name(".entry") {
        module.functions.push(function(cursor)?);
        return Ok(());
    }
    if cursor.peek_name() == Some(".func") {
        return Err(cursor.error("a kernel or a variable (.func and call are not supported)"));
    }
    let space = space(cursor)?;
    for variable in variables(cursor, space)? {
        if variable.size_bytes.is_none() && space != VariableSpace::Shared {
            return Err(ParseError::new(variable.line, format!("{} has no size", variable.name)));
        }
        if is_extern && space != VariableSpace::Shared {
            return Err(ParseError::new(variable.line, format!("{} is defined in another module", variable.name)));
        }
        module.variables.push(variable);
    }
    Ok(())
}

/// A state space directive that may hold variables.
pub fn space(cursor: &mut Cursor) -> Result<VariableSpace, ParseError> {
    let space = match cursor.peek_name() {
        Some(".global") => VariableSpace::Global,
        Some(".const") => VariableSpace::Const,
        Some(".shared") => VariableSpace::Shared,
        Some(".local") => VariableSpace::Local,
        _ => return Err(cursor.error("a directive that is known")),
    };
    cursor.advance();
    Ok(space)
}

/// What follows the state space, up to and with the semicolon.
pub fn variables(cursor: &mut Cursor, space: VariableSpace) -> Result<Vec<Variable>, ParseError> {
    let mut found = Vec::new();
    let (align, ty_bytes) = alignment_and_type(cursor)?;
    loop {
        found.push(variable(cursor, space, align, ty_bytes)?);
        if !cursor.take(',') {
            break;
        }
    }
    cursor.expect(';')?;
    Ok(found)
}

/// `.align 16 .v4 .b8`: the alignment if given, and the bytes of an element.
fn alignment_and_type(cursor: &mut Cursor) -> Result<(Option<u32>, u32), ParseError> {
    let (mut align, mut vector) = (None, 1);
    loop {
        let line = cursor.line();
        let name = cursor.name("a type")?;
        match name.as_str() {
            ".align" => align = Some(cursor.unsigned()?),
            ".v2" => vector = 2,
            ".v4" => vector = 4,
            ".ptr" | ".attribute" => return Err(ParseError::new(line, format!("{name} is not known here"))),
            _ => {
                let ty = name.strip_prefix('.').and_then(type_named).and_then(type_bytes);
                let bytes = ty.ok_or_else(|| ParseError::new(line, format!("{name} is not a type of a variable")))?;
                return Ok((align, bytes * vector));
            }
        }
    }
}

fn variable(
    cursor: &mut Cursor,
    space: VariableSpace,
    align: Option<u32>,
    element: u32,
) -> Result<Variable, ParseError> {
    let line = cursor.line();
    let name = cursor.name("a variable name")?;
    let mut size = Some(element);
    while cursor.take('[') {
        if cursor.take(']') {
            size = None;
            continue;
        }
        let count = cursor.unsigned()?;
        cursor.expect(']')?;
        size = match size.map(|size| size.checked_mul(count)) {
            Some(Some(size)) => Some(size),
            _ => {
                return Err(ParseError::new(
                    line,
                    format!("{name} is too large or has an inner dimension without size"),
                ));
            }
        };
    }
    let mut initial = Vec::new();
    if cursor.take('=') {
        initializer(cursor, element as usize, &mut initial)?;
    }
    if size.is_none() && !initial.is_empty() {
        size = Some(initial.len() as u32);
    }
    if size.is_some_and(|size| initial.len() > size as usize) {
        return Err(ParseError::new(line, format!("{name} has more initial values than elements")));
    }
    Ok(Variable { line, name, space, align_bytes: align.unwrap_or(element), size_bytes: size, initial })
}

fn initializer(cursor: &mut Cursor, element: usize, bytes: &mut Vec<u8>) -> Result<(), ParseError> {
    if cursor.take('{') {
        loop {
            if cursor.take('}') {
                return Ok(());
            }
            initializer(cursor, element, bytes)?;
            if !cursor.take(',') {
                return cursor.expect('}');
            }
        }
    }
    let value = match cursor.number()? {
        Number::Integer(value) | Number::Double(value) => value,
        Number::Single(bits) => bits.into(),
    };
    bytes.extend_from_slice(&value.to_le_bytes()[..element.min(8)]);
    Ok(())
}

fn function(cursor: &mut Cursor) -> Result<RawFunction, ParseError> {
    let name = cursor.name("a kernel name")?;
    let mut params = Vec::new();
    if cursor.take('(') {
        while !cursor.take(')') {
            params.push(parameter(cursor)?);
            cursor.take(',');
        }
    }
    let mut function = RawFunction { name, params, max_threads: None, required_threads: None, body: Vec::new() };
    while !cursor.next_is('{') {
        launch_bound(cursor, &mut function)?;
    }
    cursor.advance();
    function.body = body::statements(cursor)?;
    Ok(function)
}

fn parameter(cursor: &mut Cursor) -> Result<Variable, ParseError> {
    if !cursor.take_name(".param") {
        return Err(cursor.error(".param"));
    }
    let (mut align, mut element) = (None, None);
    while let Some(name) = cursor.peek_name().filter(|name| name.starts_with('.')).map(str::to_owned) {
        let line = cursor.line();
        cursor.advance();
        match name.as_str() {
            // `.ptr .global .align 4` describes what a pointer points at.
            ".ptr" => pointer_attributes(cursor)?,
            ".align" => align = Some(cursor.unsigned()?),
            _ => {
                let bytes = type_named(&name[1..]).and_then(type_bytes);
                element = Some(bytes.ok_or_else(|| ParseError::new(line, format!("{name} is not a parameter type")))?);
            }
        }
    }
    let element = element.ok_or_else(|| cursor.error("a parameter type"))?;
    variable(cursor, VariableSpace::Param, align, element)
}

fn pointer_attributes(cursor: &mut Cursor) -> Result<(), ParseError> {
    while let Some(name) = cursor.peek_name().filter(|name| name.starts_with('.')) {
        match name {
            ".global" | ".shared" | ".const" | ".local" => cursor.advance(),
            ".align" => {
                cursor.advance();
                cursor.unsigned()?;
            }
            _ => return Err(cursor.error("an attribute of .ptr")),
        }
    }
    Ok(())
}

fn launch_bound(cursor: &mut Cursor, function: &mut RawFunction) -> Result<(), ParseError> {
    let directive = cursor.name("a launch bound or '{'")?;
    let line = cursor.line();
    match directive.as_str() {
        ".maxntid" => function.max_threads = Some(dimensions(cursor)?),
        ".reqntid" => function.required_threads = Some(dimensions(cursor)?),
        ".minnctapersm" | ".maxnctapersm" | ".maxnreg" => {
            cursor.unsigned()?;
        }
        ".pragma" => {
            return Err(ParseError::new(line, "a pragma between parameters and body"));
        }
        _ => return Err(ParseError::new(line, format!("{directive} is not a launch bound that is known"))),
    }
    Ok(())
}

fn dimensions(cursor: &mut Cursor) -> Result<[u32; 3], ParseError> {
    let mut sizes = [1; 3];
    for (index, size) in sizes.iter_mut().enumerate() {
        if index > 0 && !cursor.take(',') {
            break;
        }
        *size = cursor.unsigned()?;
    }
    Ok(sizes)
}

/// True for the statements that declare shared variables of a function.
pub fn shared_variable(statement: &Statement) -> Option<&Variable> {
    match statement {
        Statement::Variable(variable) if variable.space == VariableSpace::Shared => Some(variable),
        _ => None,
    }
}
