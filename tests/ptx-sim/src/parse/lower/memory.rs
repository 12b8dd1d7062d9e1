//! Loads, stores, atomics, addresses and asynchronous copies.

use crate::Class;
use crate::ParseError;
use crate::findings::Space;
use crate::ir::Atomic;
use crate::ir::AtomicOp;
use crate::ir::CopyAsync;
use crate::ir::Load;
use crate::ir::MatrixAccess;
use crate::ir::Operation;
use crate::ir::Store;
use crate::memory::CONST_WINDOW;
use crate::memory::LOCAL_WINDOW;
use crate::memory::PARAM_WINDOW;
use crate::memory::SHARED_WINDOW;
use crate::parse::ast::RawOperand;
use crate::parse::lower::asynchronous;
use crate::parse::lower::decoder::Decoded;
use crate::parse::lower::decoder::Decoder;
use crate::parse::types::is_signed;
use crate::parse::types::type_bits;
use crate::types::Type;

/// Takes the state space; `None` is a generic address.
pub fn take_space(d: &mut Decoder<'_>) -> Option<Space> {
    d.take_parsed(|name| {
        Some(match name {
            "global" => Space::Global,
            // A cluster is one block, so that its shared memory is the block's own.
            "shared" | "shared::cta" | "shared::cluster" => Space::Shared,
            "local" => Space::Local,
            "const" => Space::Const,
            "param" | "param::entry" => Space::Param,
            _ => return None,
        })
    })
}

/// Takes order, scope and cache hints, none of which changes a value here.
pub fn take_hints(d: &mut Decoder<'_>) -> bool {
    d.take_all(|name| {
        matches!(
            name,
            "weak"
                | "volatile"
                | "relaxed"
                | "acquire"
                | "release"
                | "acq_rel"
                | "cta"
                | "cluster"
                | "gpu"
                | "sys"
                | "nc"
        ) || matches!(name, "ca" | "cg" | "cs" | "cv" | "lu" | "wb" | "wt")
            || matches!(
                name,
                "L1::evict_normal" | "L1::evict_unchanged" | "L1::evict_first" | "L1::evict_last" | "L1::no_allocate"
            )
            || matches!(
                name,
                "L2::evict_normal" | "L2::evict_first" | "L2::evict_last" | "L2::64B" | "L2::128B" | "L2::256B"
            )
    });
    d.take("L2::cache_hint")
}

/// True for accesses that do not race with each other (PTX ISA, "Morally strong operations").
fn is_strong(d: &Decoder<'_>) -> bool {
    d.raw.opcode.split('.').any(|part| matches!(part, "volatile" | "relaxed" | "acquire" | "release"))
}

fn take_vector_length(d: &mut Decoder<'_>) -> usize {
    match d.take_any(&["v2", "v4", "v8"]) {
        Some("v2") => 2,
        Some("v4") => 4,
        Some(_) => 8,
        None => 1,
    }
}

fn element_bytes(d: &Decoder<'_>, ty: Type, length: usize) -> Result<u32, ParseError> {
    let bytes = type_bits(ty) / 8;
    if !matches!(bytes, 1 | 2 | 4 | 8) || bytes as usize * length > 32 {
        return Err(d.error(format!("an access of {length} × {ty:?}")));
    }
    Ok(bytes)
}

/// `ld`, `ldu`
pub fn load(mut d: Decoder<'_>) -> Decoded {
    let is_strong = is_strong(&d);
    let hinted = take_hints(&mut d);
    let space = take_space(&mut d);
    let length = take_vector_length(&mut d);
    let ty = d.take_type()?;
    d.expect_operands(if hinted { &[3] } else { &[2] })?;
    let parts = d.vector(0)?;
    if parts.len() != length {
        return Err(d.error(format!("{length} destinations expected, got {}", parts.len())));
    }
    let load = Load {
        space,
        element_bytes: element_bytes(&d, ty, length)?,
        signed: is_signed(ty),
        is_strong,
        dsts: parts.iter().map(|part| d.destination_of(part)).collect::<Result<_, _>>()?,
        address: d.address(1)?,
    };
    let class = match space {
        Some(Space::Shared) => Class::LoadShared,
        Some(Space::Local) => Class::Local,
        Some(Space::Const | Space::Param) => Class::Constant,
        _ => Class::LoadGlobal,
    };
    d.finish(Operation::Load(load), class)
}

/// `st`
pub fn store(mut d: Decoder<'_>) -> Decoded {
    let is_strong = is_strong(&d);
    let hinted = take_hints(&mut d);
    let space = take_space(&mut d);
    let length = take_vector_length(&mut d);
    let ty = d.take_type()?;
    d.expect_operands(if hinted { &[3] } else { &[2] })?;
    let parts = d.vector(1)?;
    if parts.len() != length {
        return Err(d.error(format!("{length} sources expected, got {}", parts.len())));
    }
    let store = Store {
        space,
        element_bytes: element_bytes(&d, ty, length)?,
        is_strong,
        srcs: parts.iter().map(|part| d.source_of(part, ty)).collect::<Result<_, _>>()?,
        address: d.address(0)?,
    };
    let class = match space {
        Some(Space::Shared) => Class::StoreShared,
        Some(Space::Local) => Class::Local,
        _ => Class::StoreGlobal,
    };
    d.finish(Operation::Store(store), class)
}

/// `ldmatrix` and `stmatrix`
pub fn matrix_access(mut d: Decoder<'_>) -> Decoded {
    let is_load = d.mnemonic == "ldmatrix";
    for required in ["sync", "aligned", "m8n8", "b16"] {
        if !d.take(required) {
            return Err(d.error(format!(".{required} is missing; other forms are not supported")));
        }
    }
    let count = match d.take_any(&["x1", "x2", "x4"]) {
        Some("x1") => 1,
        Some("x2") => 2,
        Some(_) => 4,
        None => return Err(d.error(".x1, .x2 or .x4 is missing")),
    };
    let transposed = d.take("trans");
    let space = take_space(&mut d);
    d.expect_operands(&[2])?;
    let (registers, address) = if is_load { (0, 1) } else { (1, 0) };
    let parts = d.vector(registers)?;
    if parts.len() != count {
        return Err(d.error(format!("{count} registers expected, got {}", parts.len())));
    }
    let required = |part| d.destination_of(part)?.ok_or_else(|| d.error("_ is not allowed here"));
    let registers = parts.iter().map(required).collect::<Result<_, _>>()?;
    let access = MatrixAccess { space, transposed, registers, address: d.address(address)? };
    if is_load {
        d.finish(Operation::LoadMatrix(access), Class::LoadShared)
    } else {
        d.finish(Operation::StoreMatrix(access), Class::StoreShared)
    }
}

/// `movmatrix`
pub fn move_matrix(mut d: Decoder<'_>) -> Decoded {
    for required in ["sync", "aligned", "m8n8", "trans", "b16"] {
        if !d.take(required) {
            return Err(d.error(format!(".{required} is missing")));
        }
    }
    d.expect_operands(&[2])?;
    d.finish(Operation::MoveMatrix { dst: d.destination(0)?, src: d.source(1, Type::B32)? }, Class::Shuffle)
}

/// `atom` and `red`
pub fn atomic(mut d: Decoder<'_>) -> Decoded {
    let returns = d.mnemonic == "atom";
    let hinted = take_hints(&mut d);
    let space = take_space(&mut d);
    let op = take_atomic_op(&mut d)?;
    // Flushing subnormals is how f16x2 additions are spelled without it.
    d.take("noftz");
    let ty = d.take_type()?;
    let swaps = op == AtomicOp::CompareAndSwap;
    let first = usize::from(returns);
    d.expect_operands(&[first + 2 + usize::from(swaps) + usize::from(hinted)])?;
    crate::exec::atomic::is_supported(op, ty).map_err(|error| d.error(error))?;
    let atomic = Atomic {
        space,
        op,
        ty,
        dst: if returns { d.destination_of(d.operand(0)?)? } else { None },
        address: d.address(first)?,
        a: d.source(first + 1, ty)?,
        b: if swaps { Some(d.source(first + 2, ty)?) } else { None },
    };
    d.finish(Operation::Atomic(atomic), Class::Atomic)
}

/// The operation of `atom`, `red` and `redux`.
pub fn take_atomic_op(d: &mut Decoder<'_>) -> Result<AtomicOp, ParseError> {
    let op = d.take_parsed(|name| {
        Some(match name {
            "add" => AtomicOp::Add,
            "min" => AtomicOp::Min,
            "max" => AtomicOp::Max,
            "and" => AtomicOp::And,
            "or" => AtomicOp::Or,
            "xor" => AtomicOp::Xor,
            "exch" => AtomicOp::Exchange,
            "cas" => AtomicOp::CompareAndSwap,
            "inc" => AtomicOp::Increment,
            "dec" => AtomicOp::Decrement,
            _ => return None,
        })
    });
    op.ok_or_else(|| d.error("an operation that is known is missing"))
}

/// `cvta` and `cvta.to`
pub fn cvta(mut d: Decoder<'_>) -> Decoded {
    let to_generic = !d.take("to");
    let window = match take_space(&mut d) {
        Some(Space::Global) => 0,
        Some(Space::Shared) => SHARED_WINDOW,
        Some(Space::Local) => LOCAL_WINDOW,
        Some(Space::Const) => CONST_WINDOW,
        Some(Space::Param) => PARAM_WINDOW,
        None => return Err(d.error("a state space is missing")),
    };
    let ty = d.take_type()?;
    d.expect_operands(&[2])?;
    let operation = Operation::WindowAddress { window, to_generic, dst: d.destination(0)?, src: d.source(1, ty)? };
    d.finish(operation, Class::Integer)
}

/// `isspacep`
pub fn isspacep(mut d: Decoder<'_>) -> Decoded {
    let space = take_space(&mut d).ok_or_else(|| d.error("a state space is missing"))?;
    d.expect_operands(&[2])?;
    let operation = Operation::IsSpace { space, dst: d.predicate_destination(0)?, src: d.source(1, Type::B64)? };
    d.finish(operation, Class::Integer)
}

/// `cp.async` and its groups
pub fn copy_async(mut d: Decoder<'_>) -> Decoded {
    if !d.take("async") {
        return Err(d.unknown());
    }
    if d.take("bulk") {
        return asynchronous::bulk_copy(d);
    }
    if d.take("mbarrier") {
        return asynchronous::copy_arrive(d);
    }
    if d.take("commit_group") {
        return d.finish(Operation::CommitGroup, Class::AsyncCopy);
    }
    if d.take("wait_all") {
        return d.finish(Operation::WaitGroup { pending: None }, Class::AsyncCopy);
    }
    if d.take("wait_group") {
        let pending = u32::try_from(d.constant(0)?).map_err(|_| d.error("too many groups"))?;
        return d.finish(Operation::WaitGroup { pending: Some(pending) }, Class::AsyncCopy);
    }
    let bypasses_l1 = d.take("cg");
    if !bypasses_l1 && !d.take("ca") {
        return Err(d.error("form of cp.async that is not known"));
    }
    let hinted = take_hints(&mut d);
    if take_space(&mut d) != Some(Space::Shared) || take_space(&mut d) != Some(Space::Global) {
        return Err(d.error("from .global to .shared only"));
    }
    let bytes = d.constant(2)? as u32;
    if !matches!(bytes, 4 | 8 | 16) || (bypasses_l1 && bytes != 16) {
        return Err(d.error(format!("a copy of {bytes} bytes")));
    }
    let extra = d.raw.operands.len() - usize::from(hinted);
    let (mut src_bytes, mut ignore_src) = (None, None);
    match extra {
        3 => {}
        4 if d.is_predicate(3) => ignore_src = Some(d.predicate(3)?),
        4 => src_bytes = Some(d.source(3, Type::U32)?),
        got => return Err(d.error(format!("{got} operands"))),
    }
    let copy = CopyAsync { dst: d.address(0)?, src: d.address(1)?, bytes, src_bytes, ignore_src };
    d.finish(Operation::CopyAsync(copy), Class::AsyncCopy)
}

/// Prefetches and cache policies: they move no value.
pub fn hint(mut d: Decoder<'_>) -> Decoded {
    match d.mnemonic {
        "prefetch" | "prefetchu" | "applypriority" | "discard" => {
            take_hints(&mut d);
            take_space(&mut d);
            if d.mnemonic == "prefetch" {
                d.take("tensormap");
            }
            d.take_all(|name| matches!(name, "L1" | "L2" | "L2::evict_normal" | "L2::evict_last"));
            if !matches!(d.operand(0)?, RawOperand::Address(..)) {
                return Err(d.error("an address is expected"));
            }
            d.finish(Operation::Hint, Class::Control)
        }
        _ => {
            let known = |name: &str| {
                matches!(name, "fractional" | "range" | "cvt" | "global" | "L2" | "b64")
                    || matches!(name, "L2::evict_last" | "L2::evict_normal" | "L2::evict_first" | "L2::evict_unchanged")
            };
            d.take_all(known);
            d.finish(Operation::Policy { dst: d.destination(0)? }, Class::Move)
        }
    }
}
