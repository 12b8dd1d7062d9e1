//! Branches and ends.

use crate::Class;
use crate::ParseError;
use crate::ir::Logic;
use crate::ir::Operation;
use crate::ir::PredicateOperand;
use crate::parse::ast::RawOperand;
use crate::parse::lower::CONTROL;
use crate::parse::lower::decoder::Decoded;
use crate::parse::lower::decoder::Decoder;
use crate::parse::lower::labels::Labels;
use crate::types::Type;

/// Decodes `bra`, `brx`, `ret`, `exit` and `trap`.
pub fn decode(mut d: Decoder<'_>, labels: &Labels, open_scopes: &[usize]) -> Decoded {
    match d.mnemonic {
        "bra" => {
            d.take("uni");
            d.expect_operands(&[1])?;
            let target = target(&d, d.operand(0)?, labels, open_scopes)?;
            d.finish(Operation::Branch { target }, CONTROL)
        }
        "brx" => {
            if !d.take("idx") {
                return Err(d.unknown());
            }
            d.take("uni");
            d.expect_operands(&[2])?;
            let RawOperand::Name(table) = d.operand(1)? else { return Err(d.error("a table of targets is expected")) };
            let table = labels.table(table, open_scopes).ok_or_else(|| d.error(format!("no table {table}")))?;
            let targets = table
                .iter()
                .map(|name| target(&d, &RawOperand::Name(name.clone()), labels, open_scopes))
                .collect::<Result<_, _>>()?;
            d.finish(Operation::BranchIndexed { targets, index: d.source(0, Type::U32)? }, CONTROL)
        }
        "ret" | "exit" => {
            d.take("uni");
            d.finish(Operation::Exit, CONTROL)
        }
        "trap" => d.finish(Operation::Trap, CONTROL),
        _ => Err(d.error("not supported")),
    }
}

fn target(d: &Decoder<'_>, label: &RawOperand, labels: &Labels, open_scopes: &[usize]) -> Result<u32, ParseError> {
    let RawOperand::Name(name) = label else { return Err(d.error("a label is expected")) };
    labels.target(name, open_scopes).ok_or_else(|| d.error(format!("no label {name}")))
}

/// `not.pred`
pub fn not_predicate(mut d: Decoder<'_>) -> Decoded {
    d.take("pred");
    d.expect_operands(&[2])?;
    let a = match d.predicate(1)? {
        PredicateOperand::Register { index, negated } => PredicateOperand::Register { index, negated: !negated },
        PredicateOperand::Constant(value) => PredicateOperand::Constant(!value),
    };
    let operation = Operation::PredicateLogic { op: Logic::Or, dst: d.predicate_destination(0)?, a, b: a };
    d.finish(operation, Class::Predicate)
}
