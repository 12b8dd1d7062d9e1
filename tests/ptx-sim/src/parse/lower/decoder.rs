//! One instruction while it is decoded: modifiers are taken one by one, and what is left over is an error.

use crate::Class;
use crate::ParseError;
use crate::ir::Address;
use crate::ir::Destination;
use crate::ir::Operand;
use crate::ir::Operation;
use crate::ir::PredicateOperand;
use crate::ir::Register;
use crate::parse::ast::Number;
use crate::parse::ast::RawInstruction;
use crate::parse::ast::RawOperand;
use crate::parse::lower::names::Names;
use crate::parse::lower::names::Symbol;
use crate::parse::lower::special;
use crate::parse::types::type_bits;
use crate::parse::types::type_named;
use crate::types::Rounding;
use crate::types::Type;

/// What a family's decoder returns.
pub type Decoded = Result<(Operation, Class), ParseError>;

/// An instruction and the modifiers that nobody took yet.
pub struct Decoder<'a> {
    pub names: &'a Names,
    pub raw: &'a RawInstruction,
    pub mnemonic: &'a str,
    modifiers: Vec<&'a str>,
}

impl<'a> Decoder<'a> {
    pub fn new(names: &'a Names, raw: &'a RawInstruction) -> Self {
        let mut parts = raw.opcode.split('.');
        let mnemonic = parts.next().unwrap_or_default();
        Self { names, raw, mnemonic, modifiers: parts.collect() }
    }

    pub fn error(&self, message: impl AsRef<str>) -> ParseError {
        ParseError::new(self.raw.line, format!("{}: {}", self.raw.opcode, message.as_ref()))
    }

    /// An instruction whose mnemonic no family knows.
    pub fn unknown(&self) -> ParseError {
        ParseError::new(self.raw.line, format!("unknown instruction {}", self.raw.opcode))
    }

    /// Takes the modifier if it is there.
    pub fn take(&mut self, modifier: &str) -> bool {
        let found = self.modifiers.iter().position(|&present| present == modifier);
        if let Some(index) = found {
            self.modifiers.remove(index);
        }
        found.is_some()
    }

    /// Takes the first of `known` that is there.
    pub fn take_any<'k>(&mut self, known: &[&'k str]) -> Option<&'k str> {
        known.iter().copied().find(|modifier| self.take(modifier))
    }

    /// Takes every modifier for which `accept` holds.
    pub fn take_all(&mut self, accept: impl Fn(&str) -> bool) {
        self.modifiers.retain(|modifier| !accept(modifier));
    }

    /// Takes the first modifier for which `parse` gives something.
    pub fn take_parsed<T>(&mut self, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let (index, value) =
            self.modifiers.iter().enumerate().find_map(|(index, modifier)| Some((index, parse(modifier)?)))?;
        self.modifiers.remove(index);
        Some(value)
    }

    /// Takes the first modifier that is a type.
    pub fn take_type(&mut self) -> Result<Type, ParseError> {
        self.take_parsed(type_named).ok_or_else(|| self.error("a type that is known is missing"))
    }

    /// Takes `.rn`, `.rz`, `.rm`, `.rp`.
    pub fn take_rounding(&mut self) -> Option<Rounding> {
        self.take_parsed(|name| {
            Some(match name {
                "rn" => Rounding::NearestEven,
                "rna" => Rounding::NearestAway,
                "rz" => Rounding::Zero,
                "rm" => Rounding::Down,
                "rp" => Rounding::Up,
                _ => return None,
            })
        })
    }

    /// The decoded instruction, if every modifier was taken.
    pub fn finish(&self, operation: Operation, class: Class) -> Decoded {
        match self.modifiers.first() {
            Some(left) => Err(self.error(format!("unknown modifier .{left}"))),
            None => Ok((operation, class)),
        }
    }

    /// Says if the number of operands is one of `allowed`.
    pub fn expect_operands(&self, allowed: &[usize]) -> Result<(), ParseError> {
        let got = self.raw.operands.len();
        if allowed.contains(&got) {
            return Ok(());
        }
        Err(self.error(format!("{allowed:?} operands expected, got {got}")))
    }

    pub fn operand(&self, index: usize) -> Result<&'a RawOperand, ParseError> {
        self.raw.operands.get(index).ok_or_else(|| self.error(format!("operand {} is missing", index + 1)))
    }

    pub fn has_operand(&self, index: usize) -> bool {
        index < self.raw.operands.len()
    }

    /// The value of operand `index`, of type `ty`.
    pub fn source(&self, index: usize, ty: Type) -> Result<Operand, ParseError> {
        self.source_of(self.operand(index)?, ty)
    }

    pub fn source_of(&self, operand: &RawOperand, ty: Type) -> Result<Operand, ParseError> {
        match operand {
            RawOperand::Number(number) => Ok(Operand::Immediate(literal(*number, ty))),
            RawOperand::Name(name) => match self.names.find(name) {
                Some(Symbol::Register { index, .. }) => Ok(Operand::Register(Register(*index))),
                Some(Symbol::Address(address)) => Ok(Operand::Immediate(*address)),
                Some(Symbol::Global(index)) => Ok(Operand::Global(*index, 0)),
                Some(Symbol::Predicate(_)) => Err(self.error(format!("{name} is a predicate, not a value"))),
                None => special::register(name).map(Operand::Special).ok_or_else(|| {
                    self.error(format!("{name} is neither declared nor a special register that is known"))
                }),
            },
            RawOperand::Offset(name, offset) => match self.names.find(name) {
                Some(Symbol::Address(address)) => Ok(Operand::Immediate(address.wrapping_add_signed(*offset))),
                Some(Symbol::Global(index)) => Ok(Operand::Global(*index, *offset)),
                _ => Err(self.error(format!("{name} is not a variable"))),
            },
            _ => Err(self.error("a register, constant or variable is expected")),
        }
    }

    /// A register that is read, as matrix fragments have them.
    pub fn register_of(&self, operand: &RawOperand) -> Result<Register, ParseError> {
        match self.source_of(operand, Type::B32)? {
            Operand::Register(register) => Ok(register),
            _ => Err(self.error("a register is expected")),
        }
    }

    /// The elements of operand `index`, which may be a single one.
    pub fn vector(&self, index: usize) -> Result<&'a [RawOperand], ParseError> {
        Ok(match self.operand(index)? {
            RawOperand::Vector(elements) => elements,
            other => std::slice::from_ref(other),
        })
    }

    pub fn destination(&self, index: usize) -> Result<Destination, ParseError> {
        self.destination_of(self.operand(index)?)?.ok_or_else(|| self.error("_ is not allowed here"))
    }

    /// `None` for `_`.
    pub fn destination_of(&self, operand: &RawOperand) -> Result<Option<Destination>, ParseError> {
        let RawOperand::Name(name) = operand else { return Err(self.error("a destination register is expected")) };
        match self.names.find(name) {
            Some(&Symbol::Register { index, bits }) => {
                Ok(Some(Destination { register: index, mask: u64::MAX >> (64 - bits) }))
            }
            None if name == "_" => Ok(None),
            _ => Err(self.error(format!("{name} is not a register"))),
        }
    }

    /// `None` for `_`.
    pub fn predicate_destination_of(&self, operand: &RawOperand) -> Result<Option<u32>, ParseError> {
        match operand {
            RawOperand::Name(name) if name == "_" => Ok(None),
            RawOperand::Name(name) => Ok(Some(self.predicate_index(name)?)),
            _ => Err(self.error("a predicate register is expected")),
        }
    }

    pub fn predicate_destination(&self, index: usize) -> Result<u32, ParseError> {
        let found = self.predicate_destination_of(self.operand(index)?)?;
        found.ok_or_else(|| self.error("_ is not allowed here"))
    }

    /// The sides of `a|b`, or the operand and nothing.
    pub fn pair(&self, index: usize) -> Result<(&'a RawOperand, Option<&'a RawOperand>), ParseError> {
        Ok(match self.operand(index)? {
            RawOperand::Pair(first, second) => (first, Some(second)),
            single => (single, None),
        })
    }

    pub fn predicate(&self, index: usize) -> Result<PredicateOperand, ParseError> {
        match self.operand(index)? {
            RawOperand::Name(name) => {
                Ok(PredicateOperand::Register { index: self.predicate_index(name)?, negated: false })
            }
            RawOperand::Not(name) => {
                Ok(PredicateOperand::Register { index: self.predicate_index(name)?, negated: true })
            }
            RawOperand::Number(Number::Integer(value)) => Ok(PredicateOperand::Constant(*value != 0)),
            _ => Err(self.error("a predicate is expected")),
        }
    }

    pub fn predicate_index(&self, name: &str) -> Result<u32, ParseError> {
        match self.names.find(name) {
            Some(&Symbol::Predicate(index)) => Ok(index),
            _ => Err(self.error(format!("{name} is not a predicate register"))),
        }
    }

    /// True if operand `index` is a predicate.
    pub fn is_predicate(&self, index: usize) -> bool {
        match self.raw.operands.get(index) {
            Some(RawOperand::Name(name) | RawOperand::Not(name)) => {
                matches!(self.names.find(name), Some(Symbol::Predicate(_)))
            }
            _ => false,
        }
    }

    pub fn address(&self, index: usize) -> Result<Address, ParseError> {
        match self.operand(index)? {
            RawOperand::Address(base, offset) => {
                Ok(Address { base: self.source_of(base, Type::B64)?, offset: *offset })
            }
            _ => Err(self.error("an address in brackets is expected")),
        }
    }

    /// A constant integer.
    pub fn constant(&self, index: usize) -> Result<u64, ParseError> {
        match self.operand(index)? {
            RawOperand::Number(Number::Integer(value)) => Ok(*value),
            _ => Err(self.error(format!("operand {} must be a constant integer", index + 1))),
        }
    }
}

/// The bits of a literal of type `ty`.
pub fn literal(number: Number, ty: Type) -> u64 {
    match (number, ty) {
        (Number::Double(bits), Type::F32) => (f64::from_bits(bits) as f32).to_bits().into(),
        (Number::Single(bits), Type::F64) => f64::from(f32::from_bits(bits)).to_bits(),
        (Number::Single(bits), _) => bits.into(),
        (Number::Integer(value) | Number::Double(value), _) => match type_bits(ty) {
            bits @ 1..64 => value & (u64::MAX >> (64 - bits)),
            _ => value,
        },
    }
}
