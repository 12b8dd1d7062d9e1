//! `mma`.

use crate::Class;
use crate::ParseError;
use crate::ir::MatrixMultiply;
use crate::ir::Operand;
use crate::ir::Operation;
use crate::ir::Register;
use crate::matrix::fragments::Operand as Role;
use crate::matrix::mma::Mma;
use crate::matrix::mma::Qualifiers;
use crate::parse::lower::decoder::Decoded;
use crate::parse::lower::decoder::Decoder;
use crate::parse::types::type_bits;
use crate::types::Type;

/// `mma.sync`
pub fn mma(mut d: Decoder<'_>) -> Decoded {
    for required in ["sync", "aligned", "row", "col"] {
        if !d.take(required) {
            return Err(d.error(format!(".{required} is missing")));
        }
    }
    let (m, n, k) = d.take_parsed(shape).ok_or_else(|| d.error("a shape is missing"))?;
    let satfinite = d.take("satfinite");
    let (result, a, b, c) = (d.take_type()?, d.take_type()?, d.take_type()?, d.take_type()?);
    if type_bits(result) == 64 {
        return Err(d.error("matrices of f64 are not supported"));
    }
    let mma =
        Mma::new(Qualifiers { m, n, k, d: result, a, b, c, satfinite }).map_err(|error| d.error(error.to_string()))?;
    d.expect_operands(&[4])?;
    let multiply = MatrixMultiply {
        form: d.raw.opcode.clone(),
        mma,
        d: destinations(&d, mma.registers(Role::Accumulator))?,
        a: registers(&d, 1, mma.registers(Role::A))?,
        b: registers(&d, 2, mma.registers(Role::B))?,
        c: sources(&d, 3, mma.registers(Role::Accumulator), c)?,
        macs: mma.multiply_accumulates(),
    };
    d.finish(Operation::Matrix(Box::new(multiply)), Class::Matrix)
}

/// `m16n8k16`
pub fn shape(name: &str) -> Option<(usize, usize, usize)> {
    let (m, rest) = name.strip_prefix('m')?.split_once('n')?;
    let (n, k) = rest.split_once('k')?;
    Some((m.parse().ok()?, n.parse().ok()?, k.parse().ok()?))
}

fn check_count(d: &Decoder<'_>, operand: usize, got: usize, expected: usize) -> Result<(), ParseError> {
    if got == expected {
        return Ok(());
    }
    Err(d.error(format!("operand {} has {got} registers, the instruction takes {expected}", operand + 1)))
}

fn destinations(d: &Decoder<'_>, expected: usize) -> Result<Vec<crate::ir::Destination>, ParseError> {
    let parts = d.vector(0)?;
    check_count(d, 0, parts.len(), expected)?;
    parts.iter().map(|part| d.destination_of(part)?.ok_or_else(|| d.error("_ is not allowed here"))).collect()
}

fn registers(d: &Decoder<'_>, operand: usize, expected: usize) -> Result<Vec<Register>, ParseError> {
    let parts = d.vector(operand)?;
    check_count(d, operand, parts.len(), expected)?;
    parts.iter().map(|part| d.register_of(part)).collect()
}

fn sources(d: &Decoder<'_>, operand: usize, expected: usize, ty: Type) -> Result<Vec<Operand>, ParseError> {
    let parts = d.vector(operand)?;
    check_count(d, operand, parts.len(), expected)?;
    parts.iter().map(|part| d.source_of(part, ty)).collect()
}
