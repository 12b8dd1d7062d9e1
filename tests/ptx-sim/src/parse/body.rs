//! The statements of a kernel.

use crate::ParseError;
use crate::parse::ast::Number;
use crate::parse::ast::RawInstruction;
use crate::parse::ast::RawLocation;
use crate::parse::ast::RawOperand;
use crate::parse::ast::Statement;
use crate::parse::cursor::Cursor;
use crate::parse::directives;
use crate::parse::lexer::TokenKind;
use crate::parse::types::type_named;

/// Parses up to the closing brace of the body, whose opening one is taken.
pub fn statements(cursor: &mut Cursor) -> Result<Vec<Statement>, ParseError> {
    let mut found = Vec::new();
    let mut depth = 1;
    while depth > 0 {
        if cursor.take(';') {
            continue;
        }
        match cursor.peek() {
            Some(TokenKind::Symbol('{')) => {
                cursor.advance();
                depth += 1;
                found.push(Statement::Open);
            }
            Some(TokenKind::Symbol('}')) => {
                cursor.advance();
                depth -= 1;
                found.push(Statement::Close);
            }
            Some(TokenKind::Symbol('@')) => found.push(instruction(cursor)?),
            Some(TokenKind::Name(name)) if name.starts_with('.') => {
                let directive = name.clone();
                directive_statement(cursor, &directive, &mut found)?;
            }
            Some(TokenKind::Name(_)) if cursor.peek_second() == Some(&TokenKind::Symbol(':')) => {
                found.push(label(cursor)?);
            }
            Some(TokenKind::Name(_)) => found.push(instruction(cursor)?),
            _ => return Err(cursor.error("a statement")),
        }
    }
    found.pop();
    Ok(found)
}

fn directive_statement(cursor: &mut Cursor, directive: &str, found: &mut Vec<Statement>) -> Result<(), ParseError> {
    match directive {
        ".loc" => found.push(Statement::Location(location(cursor)?)),
        ".pragma" => directives::pragma(cursor)?,
        ".reg" => registers(cursor, found)?,
        _ => {
            let space = directives::space(cursor)?;
            found.extend(directives::variables(cursor, space)?.into_iter().map(Statement::Variable));
        }
    }
    Ok(())
}

/// `.loc 2 708 1, function_name $L__info_string0, inlined_at 1 11 3`
fn location(cursor: &mut Cursor) -> Result<RawLocation, ParseError> {
    cursor.advance();
    let (file, line, _column) = (cursor.unsigned()?, cursor.unsigned()?, cursor.unsigned()?);
    let mut inlined_at = None;
    while cursor.take(',') {
        if cursor.take_name("function_name") {
            cursor.name("a label")?;
            if cursor.take('+') {
                cursor.integer()?;
            }
        } else if cursor.take_name("inlined_at") {
            inlined_at = Some((cursor.unsigned()?, cursor.unsigned()?));
            cursor.unsigned()?;
        } else {
            return Err(cursor.error("function_name or inlined_at"));
        }
    }
    Ok(RawLocation { file, line, inlined_at })
}

fn registers(cursor: &mut Cursor, found: &mut Vec<Statement>) -> Result<(), ParseError> {
    cursor.advance();
    let line = cursor.line();
    let name = cursor.name("a register type")?;
    let ty = name.strip_prefix('.').and_then(type_named);
    let ty = ty.ok_or_else(|| ParseError::new(line, format!("{name} is not a register type")))?;
    loop {
        let name = cursor.name("a register name")?;
        let mut count = None;
        if cursor.take('<') {
            count = Some(cursor.unsigned()?);
            cursor.expect('>')?;
        }
        found.push(Statement::Registers { line, ty, name, count });
        if !cursor.take(',') {
            return cursor.expect(';');
        }
    }
}

fn label(cursor: &mut Cursor) -> Result<Statement, ParseError> {
    let line = cursor.line();
    let name = cursor.name("a label")?;
    cursor.expect(':')?;
    if !cursor.take_name(".branchtargets") {
        return Ok(Statement::Label { line, name });
    }
    let mut targets = vec![cursor.name("a label")?];
    while cursor.take(',') {
        targets.push(cursor.name("a label")?);
    }
    cursor.expect(';')?;
    Ok(Statement::BranchTargets { name, targets })
}

fn instruction(cursor: &mut Cursor) -> Result<Statement, ParseError> {
    let line = cursor.line();
    let mut guard = None;
    if cursor.take('@') {
        let negated = cursor.take('!');
        guard = Some((cursor.name("a predicate")?, negated));
    }
    let opcode = cursor.name("an instruction")?;
    let mut operands = Vec::new();
    while !cursor.take(';') {
        if !operands.is_empty() {
            cursor.expect(',')?;
        }
        operands.push(operand(cursor)?);
    }
    Ok(Statement::Instruction(RawInstruction { line, guard, opcode, operands }))
}

fn operand(cursor: &mut Cursor) -> Result<RawOperand, ParseError> {
    let first = single_operand(cursor)?;
    if cursor.take('|') {
        return Ok(RawOperand::Pair(Box::new(first), Box::new(single_operand(cursor)?)));
    }
    Ok(first)
}

fn single_operand(cursor: &mut Cursor) -> Result<RawOperand, ParseError> {
    match cursor.peek() {
        Some(TokenKind::Symbol('[')) => address(cursor),
        Some(TokenKind::Symbol('{')) => Ok(RawOperand::Vector(vector(cursor)?)),
        Some(TokenKind::Symbol('!')) => {
            cursor.advance();
            Ok(RawOperand::Not(cursor.name("a predicate")?))
        }
        Some(TokenKind::Name(name)) => {
            let name = name.clone();
            cursor.advance();
            symbol_with_offset(cursor, name)
        }
        _ => Ok(RawOperand::Number(cursor.number()?)),
    }
}

/// `{a, b}`
fn vector(cursor: &mut Cursor) -> Result<Vec<RawOperand>, ParseError> {
    cursor.expect('{')?;
    let mut elements = Vec::new();
    while !cursor.take('}') {
        if !elements.is_empty() {
            cursor.expect(',')?;
        }
        elements.push(single_operand(cursor)?);
    }
    Ok(elements)
}

/// `name` or `name+16` outside brackets, as `mov.u32 %r1, table+16` has it.
fn symbol_with_offset(cursor: &mut Cursor, name: String) -> Result<RawOperand, ParseError> {
    if cursor.next_is('+') {
        cursor.advance();
        let offset = cursor.integer()? as i64;
        return Ok(RawOperand::Offset(name, offset));
    }
    Ok(RawOperand::Name(name))
}

fn address(cursor: &mut Cursor) -> Result<RawOperand, ParseError> {
    cursor.expect('[')?;
    let base = match cursor.peek() {
        Some(TokenKind::Name(_)) => RawOperand::Name(cursor.name("an address")?),
        _ => RawOperand::Number(Number::Integer(cursor.integer()?)),
    };
    let mut offset = 0;
    if cursor.take('+') || cursor.next_is('-') {
        offset = cursor.integer()? as i64;
    }
    if cursor.take(',') {
        let coordinates = vector(cursor)?;
        cursor.expect(']')?;
        return Ok(RawOperand::TensorAddress(Box::new(base), offset, coordinates));
    }
    cursor.expect(']')?;
    Ok(RawOperand::Address(Box::new(base), offset))
}
