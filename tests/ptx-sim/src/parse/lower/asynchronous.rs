//! mbarriers, bulk copies, the fence between proxies, and wgmma.

use crate::Class;
use crate::ParseError;
use crate::findings::Space;
use crate::ir::BulkCopy;
use crate::ir::Mbarrier;
use crate::ir::MbarrierAction;
use crate::ir::Operation;
use crate::ir::PredicateOperand;
use crate::ir::WarpgroupA;
use crate::ir::WarpgroupMultiply;
use crate::matrix::descriptor::Major;
use crate::matrix::wgmma::Qualifiers;
use crate::matrix::wgmma::Wgmma;
use crate::parse::ast::RawOperand;
use crate::parse::lower::decoder::Decoded;
use crate::parse::lower::decoder::Decoder;
use crate::parse::lower::matrix::shape;
use crate::parse::lower::memory::take_hints;
use crate::parse::lower::memory::take_space;
use crate::parse::lower::tensor;
use crate::types::Type;

/// `mbarrier`
pub fn mbarrier(mut d: Decoder<'_>) -> Decoded {
    let action = match d.take_any(&["init", "inval", "arrive", "arrive_drop", "expect_tx", "test_wait", "try_wait"]) {
        Some("init") => MbarrierAction::Init,
        Some("inval") => MbarrierAction::Invalidate,
        Some("arrive") if d.take("expect_tx") => MbarrierAction::ArriveExpectBytes,
        Some("arrive") => MbarrierAction::Arrive,
        Some("arrive_drop") => MbarrierAction::ArriveDrop,
        Some("expect_tx") => MbarrierAction::ExpectBytes,
        Some(_) => MbarrierAction::Wait { parity: d.take("parity") },
        None => return Err(d.error("form that is not known")),
    };
    take_hints(&mut d);
    let space = take_space(&mut d);
    if !d.take("b64") {
        return Err(d.error(".b64 is missing"));
    }
    let has_result = !matches!(action, MbarrierAction::Init | MbarrierAction::Invalidate | MbarrierAction::ExpectBytes);
    let at = usize::from(has_result);
    let mut barrier = Mbarrier { action, space, address: d.address(at)?, dst: None, predicate: None, value: None };
    match action {
        MbarrierAction::Wait { parity } => {
            d.expect_operands(&[3, 4])?;
            barrier.predicate = Some(d.predicate_destination(0)?);
            barrier.value = Some(d.source(2, if parity { Type::B32 } else { Type::B64 })?);
        }
        MbarrierAction::Invalidate => d.expect_operands(&[1])?,
        MbarrierAction::Init | MbarrierAction::ExpectBytes => {
            d.expect_operands(&[2])?;
            barrier.value = Some(d.source(1, Type::U32)?);
        }
        _ => {
            let needs_value = action == MbarrierAction::ArriveExpectBytes;
            d.expect_operands(if needs_value { &[3] } else { &[2, 3] })?;
            barrier.dst = d.destination_of(d.operand(0)?)?;
            barrier.value = if d.has_operand(2) { Some(d.source(2, Type::U32)?) } else { None };
        }
    }
    d.finish(Operation::Mbarrier(barrier), Class::Barrier)
}

/// `cp.async.mbarrier.arrive`; `async` and `mbarrier` are taken.
pub fn copy_arrive(mut d: Decoder<'_>) -> Decoded {
    if !d.take("arrive") {
        return Err(d.unknown());
    }
    let increments = !d.take("noinc");
    let space = take_space(&mut d);
    if !d.take("b64") {
        return Err(d.error(".b64 is missing"));
    }
    d.expect_operands(&[1])?;
    let action = MbarrierAction::ArriveAfterCopies { increments };
    let barrier = Mbarrier { action, space, address: d.address(0)?, dst: None, predicate: None, value: None };
    d.finish(Operation::Mbarrier(barrier), Class::Barrier)
}

/// `cp.async.bulk`; `async` and `bulk` are taken.
pub fn bulk_copy(mut d: Decoder<'_>) -> Decoded {
    if d.take("tensor") {
        return tensor::copy(d);
    }
    if d.take("commit_group") {
        return d.finish(Operation::BulkCommit, Class::AsyncCopy);
    }
    if d.take("wait_group") {
        d.take("read");
        let pending = u32::try_from(d.constant(0)?).map_err(|_| d.error("too many groups"))?;
        return d.finish(Operation::BulkWait { pending }, Class::AsyncCopy);
    }
    if d.take("prefetch") {
        let hinted = take_hints(&mut d);
        if !d.take("L2") || take_space(&mut d) != Some(Space::Global) {
            return Err(d.error("form that is not known"));
        }
        d.expect_operands(if hinted { &[3] } else { &[2] })?;
        return d.finish(Operation::Hint, Class::Control);
    }
    let (to, from) = (take_space(&mut d), take_space(&mut d));
    let hinted = take_hints(&mut d);
    let to_shared = match (to, from) {
        (Some(Space::Shared), Some(Space::Global)) => true,
        (Some(Space::Global), Some(Space::Shared)) => false,
        _ => return Err(d.error("a copy between other spaces than .global and .shared")),
    };
    if !d.take(if to_shared { "mbarrier::complete_tx::bytes" } else { "bulk_group" }) {
        return Err(d.error("the completion mechanism is missing, or another than the known"));
    }
    d.expect_operands(&[3 + usize::from(to_shared) + usize::from(hinted)])?;
    let copy = BulkCopy {
        dst: d.address(0)?,
        src: d.address(1)?,
        bytes: d.source(2, Type::U32)?,
        mbarrier: if to_shared { Some(d.address(3)?) } else { None },
    };
    d.finish(Operation::BulkCopy(copy), Class::AsyncCopy)
}

/// `fence.proxy.async`, `fence.mbarrier_init`; `None` for other fences.
pub fn fence(d: &mut Decoder<'_>) -> Option<Decoded> {
    if d.take("mbarrier_init") {
        for required in ["release", "cluster"] {
            if !d.take(required) {
                return Some(Err(d.error(format!(".{required} is missing"))));
            }
        }
        return Some(d.finish(Operation::Fence, Class::Barrier));
    }
    if !d.take("proxy") {
        return None;
    }
    if !d.take("async") {
        return Some(Err(d.error("only .proxy.async is supported")));
    }
    take_space(d);
    Some(d.finish(Operation::ProxyFence, Class::Barrier))
}

/// `wgmma`
pub fn wgmma(mut d: Decoder<'_>) -> Decoded {
    let kind = d.take_any(&["mma_async", "fence", "commit_group", "wait_group"]);
    for required in ["sync", "aligned"] {
        if !d.take(required) {
            return Err(d.error(format!(".{required} is missing")));
        }
    }
    match kind {
        Some("mma_async") => warpgroup_multiply(d),
        Some("fence") => d.finish(Operation::WgmmaFence, Class::Barrier),
        Some("commit_group") => d.finish(Operation::WgmmaCommit, Class::Barrier),
        Some(_) => {
            let pending = u32::try_from(d.constant(0)?).map_err(|_| d.error("too many groups"))?;
            d.finish(Operation::WgmmaWait { pending }, Class::Barrier)
        }
        None => Err(d.error("form that is not known")),
    }
}

fn warpgroup_multiply(mut d: Decoder<'_>) -> Decoded {
    let (_, n, k) = d
        .take_parsed(|name| shape(name).filter(|&(m, _, _)| m == crate::matrix::wgmma::M))
        .ok_or_else(|| d.error("a shape m64nNkK is missing"))?;
    let satfinite = d.take("satfinite");
    let (result, a_type, b_type) = (d.take_type()?, d.take_type()?, d.take_type()?);
    let wgmma = Wgmma::new(Qualifiers { n, k, d: result, a: a_type, b: b_type, satfinite })
        .map_err(|error| d.error(error.to_string()))?;
    let a_parts = match d.operand(1)? {
        RawOperand::Vector(parts) => Some(parts),
        _ => None,
    };
    let is_half = matches!(a_type, Type::F16 | Type::Bf16);
    let num_scales = if result == Type::S32 { 0 } else { 2 };
    let num_majors = if is_half { if a_parts.is_some() { 1 } else { 2 } } else { 0 };
    d.expect_operands(&[4 + num_scales + num_majors])?;
    let negates = |index: usize| -> Result<bool, ParseError> {
        match (num_scales, if num_scales > 0 { d.constant(index)? as i64 as i32 } else { 1 }) {
            (_, 1) => Ok(false),
            (_, -1) => Ok(true),
            (_, other) => Err(d.error(format!("a scale of {other}"))),
        }
    };
    let major = |index: usize| -> Result<Major, ParseError> {
        Ok(if num_majors > 0 && d.constant(index)? != 0 { Major::Mn } else { Major::K })
    };
    let first_major = 4 + num_scales;
    let (a, major_b) = match a_parts {
        Some(parts) => {
            let registers = parts.iter().map(|part| d.register_of(part)).collect::<Result<Vec<_>, _>>()?;
            if registers.len() != wgmma.registers_a() {
                return Err(d.error(format!("{} registers of A, not {}", registers.len(), wgmma.registers_a())));
            }
            (WarpgroupA::Registers(registers), major(first_major)?)
        }
        None => (WarpgroupA::Descriptor(d.source(1, Type::B64)?, major(first_major)?), major(first_major + 1)?),
    };
    let parts = d.vector(0)?;
    if parts.len() != wgmma.registers_d() {
        return Err(d.error(format!("{} registers of D, not {}", parts.len(), wgmma.registers_d())));
    }
    let required = |part| d.destination_of(part)?.ok_or_else(|| d.error("_ is not allowed here"));
    let accumulate: PredicateOperand = d.predicate(3)?;
    let multiply = WarpgroupMultiply {
        form: d.raw.opcode.clone(),
        wgmma,
        d: parts.iter().map(required).collect::<Result<_, _>>()?,
        a,
        b: d.source(2, Type::B64)?,
        major_b,
        accumulate,
        negate_a: negates(4)?,
        negate_b: negates(5)?,
        macs: wgmma.multiply_accumulates(),
    };
    d.finish(Operation::Wgmma(Box::new(multiply)), Class::Matrix)
}
