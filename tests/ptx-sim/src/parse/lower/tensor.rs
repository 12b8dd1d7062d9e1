//! `cp.async.bulk.tensor`: boxes of tensors.

use crate::Class;
use crate::ParseError;
use crate::findings::Space;
use crate::ir::Address;
use crate::ir::Operand;
use crate::ir::Operation;
use crate::ir::TensorCopy;
use crate::parse::ast::RawOperand;
use crate::parse::lower::decoder::Decoded;
use crate::parse::lower::decoder::Decoder;
use crate::parse::lower::memory::take_hints;
use crate::parse::lower::memory::take_space;
use crate::types::Type;

/// `cp.async.bulk.tensor` and its prefetch; `async`, `bulk` and `tensor` are taken.
pub fn copy(mut d: Decoder<'_>) -> Decoded {
    let rank = ["1d", "2d", "3d", "4d", "5d"].into_iter().position(|name| d.take(name));
    let rank = 1 + rank.ok_or_else(|| d.error(".1d, .2d, .3d, .4d or .5d is missing"))?;
    let foreign = |name: &str| {
        let kinds = ["im2col", "tile::", "multicast", "cta_group"];
        kinds.iter().any(|kind| name.starts_with(kind)).then(|| name.to_owned())
    };
    if let Some(name) = d.take_parsed(foreign) {
        return Err(d.error(format!(".{name} is not supported, only tiles for one block")));
    }
    d.take("tile");
    let hinted = usize::from(take_hints(&mut d));
    if d.take("prefetch") {
        if !d.take("L2") || take_space(&mut d) != Some(Space::Global) {
            return Err(d.error("form that is not known"));
        }
        d.expect_operands(&[1 + hinted])?;
        place(&d, 0, rank)?;
        return d.finish(Operation::Hint, Class::Control);
    }
    let to_shared = match (take_space(&mut d), take_space(&mut d)) {
        (Some(Space::Shared), Some(Space::Global)) => true,
        (Some(Space::Global), Some(Space::Shared)) => false,
        _ => return Err(d.error("a copy between other spaces than .global and .shared")),
    };
    if !d.take(if to_shared { "mbarrier::complete_tx::bytes" } else { "bulk_group" }) {
        return Err(d.error("the completion mechanism is missing, or another than the known"));
    }
    d.expect_operands(&[2 + usize::from(to_shared) + hinted])?;
    let (shared, tensor) = if to_shared { (0, 1) } else { (1, 0) };
    let (map, coordinates) = place(&d, tensor, rank)?;
    let mbarrier = if to_shared { Some(d.address(2)?) } else { None };
    d.finish(
        Operation::TensorCopy(TensorCopy { shared: d.address(shared)?, map, coordinates, mbarrier }),
        Class::AsyncCopy,
    )
}

/// The map and the coordinates of operand `index`, `[map, {c0, c1}]`.
fn place(d: &Decoder<'_>, index: usize, rank: usize) -> Result<(Address, Vec<Operand>), ParseError> {
    let RawOperand::TensorAddress(base, offset, coordinates) = d.operand(index)? else {
        return Err(d.error("a tensor map with coordinates, [map, {c0, ...}], is expected"));
    };
    if coordinates.len() != rank {
        return Err(d.error(format!("{} coordinates, not {rank}", coordinates.len())));
    }
    let base = d.source_of(base, Type::B64)?;
    if matches!(base, Operand::Immediate(_)) {
        return Err(d.error("a tensor map is given by its generic address, in a register or of a .global variable"));
    }
    let coordinates =
        coordinates.iter().map(|coordinate| d.source_of(coordinate, Type::S32)).collect::<Result<_, _>>()?;
    Ok((Address { base, offset: *offset }, coordinates))
}
