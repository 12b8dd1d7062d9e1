//! Warp instructions, barriers, fences.

use crate::Class;
use crate::ParseError;
use crate::ir::Barrier;
use crate::ir::BarrierAction;
use crate::ir::Logic;
use crate::ir::Operand;
use crate::ir::Operation;
use crate::ir::Shuffle;
use crate::ir::ShuffleMode;
use crate::ir::Vote;
use crate::ir::VoteDestination;
use crate::parse::lower::asynchronous;
use crate::parse::lower::decoder::Decoded;
use crate::parse::lower::decoder::Decoder;
use crate::parse::lower::memory::take_atomic_op;
use crate::types::Type;

fn require(d: &mut Decoder<'_>, modifier: &str) -> Result<(), ParseError> {
    if d.take(modifier) { Ok(()) } else { Err(d.error(format!(".{modifier} is missing"))) }
}

/// `shfl.sync`
pub fn shuffle(mut d: Decoder<'_>) -> Decoded {
    require(&mut d, "sync")?;
    require(&mut d, "b32")?;
    let mode = match d.take_any(&["up", "down", "bfly", "idx"]) {
        Some("up") => ShuffleMode::Up,
        Some("down") => ShuffleMode::Down,
        Some("bfly") => ShuffleMode::Butterfly,
        Some(_) => ShuffleMode::Index,
        None => return Err(d.error("a mode is missing")),
    };
    d.expect_operands(&[5])?;
    let (dst, predicate) = d.pair(0)?;
    let shuffle = Shuffle {
        mode,
        dst: d.destination_of(dst)?,
        predicate: predicate.map(|operand| d.predicate_destination_of(operand)).transpose()?.flatten(),
        a: d.source(1, Type::B32)?,
        b: d.source(2, Type::B32)?,
        c: d.source(3, Type::B32)?,
        members: d.source(4, Type::B32)?,
    };
    d.finish(Operation::Shuffle(shuffle), Class::Shuffle)
}

/// `vote.sync`
pub fn vote(mut d: Decoder<'_>) -> Decoded {
    require(&mut d, "sync")?;
    let op = match d.take_any(&["all", "any", "uni", "ballot"]) {
        Some("all") => Vote::All,
        Some("any") => Vote::Any,
        Some("uni") => Vote::Uniform,
        Some(_) => Vote::Ballot,
        None => return Err(d.error("a mode is missing")),
    };
    d.expect_operands(&[3])?;
    let dst = if op == Vote::Ballot {
        require(&mut d, "b32")?;
        VoteDestination::Register(d.destination(0)?)
    } else {
        require(&mut d, "pred")?;
        VoteDestination::Predicate(d.predicate_destination(0)?)
    };
    let (predicate, members) = (d.predicate(1)?, d.source(2, Type::B32)?);
    d.finish(Operation::Vote { op, dst, predicate, members }, Class::Shuffle)
}

/// `match.sync`
pub fn matching(mut d: Decoder<'_>) -> Decoded {
    require(&mut d, "sync")?;
    let all = d.take("all");
    if !all {
        require(&mut d, "any")?;
    }
    let ty = d.take_type()?;
    d.expect_operands(&[3])?;
    let (dst, predicate) = d.pair(0)?;
    let operation = Operation::Match {
        all,
        dst: d.destination_of(dst)?,
        predicate: predicate.map(|operand| d.predicate_destination_of(operand)).transpose()?.flatten(),
        value: d.source(1, ty)?,
        members: d.source(2, Type::B32)?,
    };
    d.finish(operation, Class::Shuffle)
}

/// `redux.sync` of integers
pub fn redux(mut d: Decoder<'_>) -> Decoded {
    require(&mut d, "sync")?;
    let op = take_atomic_op(&mut d)?;
    let ty = d.take_type()?;
    if !matches!(ty, Type::U32 | Type::S32 | Type::B32) {
        return Err(d.error(format!("a reduction of {ty:?}")));
    }
    crate::exec::atomic::is_supported(op, ty).map_err(|error| d.error(error))?;
    d.expect_operands(&[3])?;
    let (src, members) = (d.source(1, ty)?, d.source(2, Type::B32)?);
    d.finish(Operation::ReduceWarp { op, ty, dst: d.destination(0)?, src, members }, Class::Shuffle)
}

/// `activemask`
pub fn activemask(mut d: Decoder<'_>) -> Decoded {
    require(&mut d, "b32")?;
    d.expect_operands(&[1])?;
    d.finish(Operation::ActiveMask { dst: d.destination(0)? }, Class::Shuffle)
}

/// `elect.sync`
pub fn elect(mut d: Decoder<'_>) -> Decoded {
    require(&mut d, "sync")?;
    d.expect_operands(&[2])?;
    let (dst, predicate) = d.pair(0)?;
    let predicate = predicate.ok_or_else(|| d.error("a predicate destination is missing"))?;
    let predicate = d.predicate_destination_of(predicate)?.ok_or_else(|| d.error("_ is not allowed here"))?;
    let operation = Operation::Elect { dst: d.destination_of(dst)?, predicate, members: d.source(1, Type::B32)? };
    d.finish(operation, Class::Shuffle)
}

/// `bar` and `barrier.cta`
pub fn barrier(mut d: Decoder<'_>) -> Decoded {
    let is_short = d.mnemonic == "bar";
    if d.take("warp") {
        require(&mut d, "sync")?;
        d.expect_operands(&[1])?;
        return d.finish(Operation::WarpBarrier { members: d.source(0, Type::B32)? }, Class::Barrier);
    }
    if d.take("cluster") {
        return Err(d.error("clusters are not supported"));
    }
    d.take("cta");
    let aligned = d.take("aligned") || is_short;
    let barrier = match d.take_any(&["sync", "arrive", "red"]) {
        Some("sync") => {
            d.expect_operands(&[1, 2])?;
            simple_barrier(&d, BarrierAction::Sync, aligned)?
        }
        Some("arrive") => {
            d.expect_operands(&[2])?;
            simple_barrier(&d, BarrierAction::Arrive, aligned)?
        }
        Some(_) => reducing_barrier(&mut d, aligned)?,
        None => return Err(d.error(".sync, .arrive or .red is missing")),
    };
    d.finish(Operation::Barrier(barrier), Class::Barrier)
}

fn simple_barrier(d: &Decoder<'_>, action: BarrierAction, aligned: bool) -> Result<Barrier, ParseError> {
    let threads = if d.has_operand(1) { Some(d.source(1, Type::U32)?) } else { None };
    Ok(Barrier { action, aligned, index: d.source(0, Type::U32)?, threads })
}

/// `bar.red.popc.u32 d, a, b, p` and `bar.red.and.pred p, a, b, q`
fn reducing_barrier(d: &mut Decoder<'_>, aligned: bool) -> Result<Barrier, ParseError> {
    let op = d.take_any(&["popc", "and", "or"]).ok_or_else(|| d.error("an operation is missing"))?;
    d.expect_operands(&[3, 4])?;
    let last = d.raw.operands.len() - 1;
    let predicate = d.predicate(last)?;
    let action = if op == "popc" {
        require(d, "u32")?;
        BarrierAction::ReduceCount { dst: d.destination(0)?, predicate }
    } else {
        require(d, "pred")?;
        let op = if op == "and" { Logic::And } else { Logic::Or };
        BarrierAction::ReducePredicate { op, dst: d.predicate_destination(0)?, predicate }
    };
    let threads: Option<Operand> = if last == 3 { Some(d.source(2, Type::U32)?) } else { None };
    Ok(Barrier { action, aligned, index: d.source(1, Type::U32)?, threads })
}

/// `membar` and `fence` between threads
pub fn fence(mut d: Decoder<'_>) -> Decoded {
    if let Some(decoded) = asynchronous::fence(&mut d) {
        return decoded;
    }
    d.take_any(&["sc", "acq_rel", "acquire", "release"]);
    if d.take_any(&["cta", "cluster", "gpu", "gl", "sys"]).is_none() {
        return Err(d.error("a scope is missing, or a form that is not known"));
    }
    d.expect_operands(&[0])?;
    d.finish(Operation::Fence, Class::Barrier)
}

/// Hints to the scheduler.
pub fn hint(mut d: Decoder<'_>) -> Decoded {
    match d.mnemonic {
        "griddepcontrol" => {
            d.take_any(&["launch_dependents", "wait"]).ok_or_else(|| d.error("form that is not known"))?;
        }
        "nanosleep" => require(&mut d, "u32")?,
        _ => {
            d.take_any(&["inc", "dec"]).ok_or_else(|| d.error("form that is not known"))?;
            for required in ["sync", "aligned", "u32"] {
                require(&mut d, required)?;
            }
        }
    }
    d.finish(Operation::Hint, Class::Control)
}
