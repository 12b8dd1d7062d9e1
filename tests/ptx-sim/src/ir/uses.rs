//! Which registers an instruction reads and writes.

use crate::ir::Address;
use crate::ir::BarrierAction;
use crate::ir::Destination;
use crate::ir::Operand;
use crate::ir::Operation;
use crate::ir::VoteDestination;

/// Registers by number; those of wgmma are left out, whose rules are their own.
#[derive(Debug, Default)]
pub struct Uses {
    pub reads: Vec<u32>,
    pub writes: Vec<u32>,
}

impl Uses {
    fn read<'o>(&mut self, operands: impl IntoIterator<Item = &'o Operand>) {
        for operand in operands {
            if let Operand::Register(register) = operand {
                self.reads.push(register.0);
            }
        }
    }

    fn address(&mut self, address: &Address) {
        self.read([&address.base]);
    }

    fn write<'o>(&mut self, dsts: impl IntoIterator<Item = &'o Destination>) {
        self.writes.extend(dsts.into_iter().map(|dst| dst.register));
    }
}

/// The registers of an instruction.
pub fn uses(operation: &Operation) -> Uses {
    let mut uses = Uses::default();
    if !of_values(operation, &mut uses) && !of_memory(operation, &mut uses) {
        of_warp(operation, &mut uses);
    }
    uses
}

/// Arithmetic; false for other families.
fn of_values(operation: &Operation, uses: &mut Uses) -> bool {
    match operation {
        Operation::Move { dst, src } | Operation::WindowAddress { dst, src, .. } => {
            uses.write([dst]);
            uses.read([src]);
        }
        Operation::Pack { dst, elements, .. } => {
            uses.write([dst]);
            uses.read(elements);
        }
        Operation::Unpack { dsts, src, .. } => {
            uses.write(dsts.iter().flatten());
            uses.read([src]);
        }
        Operation::IntegerUnary { dst, a, .. } | Operation::FloatUnary { dst, a, .. } => {
            uses.write([dst]);
            uses.read([a]);
        }
        Operation::IntegerBinary { dst, a, b, .. }
        | Operation::FloatBinary { dst, a, b, .. }
        | Operation::Select { dst, a, b, .. } => {
            uses.write([dst]);
            uses.read([a, b]);
        }
        Operation::IntegerTernary { dst, a, b, c, .. }
        | Operation::Carry { dst, a, b, c, .. }
        | Operation::Fma { dst, a, b, c, .. }
        | Operation::SelectSign { dst, a, b, c, .. } => {
            uses.write([dst]);
            uses.read([a, b, c]);
        }
        Operation::BitInsert { dst, a, b, position, length, .. } => {
            uses.write([dst]);
            uses.read([a, b, position, length]);
        }
        Operation::Convert(convert) => {
            uses.write([&convert.dst]);
            uses.read([&convert.src]);
        }
        Operation::ConvertPair { convert, low } => {
            uses.write([&convert.dst]);
            uses.read([&convert.src, low]);
        }
        Operation::SetPredicate(set) => uses.read([&set.compare.a, &set.compare.b]),
        Operation::Set { compare, dst, .. } => {
            uses.write([dst]);
            uses.read([&compare.a, &compare.b]);
        }
        Operation::IsSpace { src, .. } => uses.read([src]),
        Operation::Policy { dst } => uses.write([dst]),
        _ => return false,
    }
    true
}

/// Memory; false for other families.
fn of_memory(operation: &Operation, uses: &mut Uses) -> bool {
    match operation {
        Operation::Load(load) => {
            uses.write(load.dsts.iter().flatten());
            uses.address(&load.address);
        }
        Operation::Store(store) => {
            uses.read(&store.srcs);
            uses.address(&store.address);
        }
        Operation::LoadMatrix(access) => {
            uses.write(&access.registers);
            uses.address(&access.address);
        }
        Operation::StoreMatrix(access) => {
            uses.reads.extend(access.registers.iter().map(|register| register.register));
            uses.address(&access.address);
        }
        Operation::Atomic(atomic) => {
            uses.write(&atomic.dst);
            uses.read([&atomic.a]);
            uses.read(&atomic.b);
            uses.address(&atomic.address);
        }
        Operation::CopyAsync(copy) => {
            uses.address(&copy.dst);
            uses.address(&copy.src);
            uses.read(&copy.src_bytes);
        }
        Operation::BulkCopy(copy) => {
            uses.address(&copy.dst);
            uses.address(&copy.src);
            uses.read([&copy.bytes]);
            copy.mbarrier.iter().for_each(|address| uses.address(address));
        }
        Operation::TensorCopy(copy) => {
            uses.address(&copy.shared);
            uses.address(&copy.map);
            uses.read(&copy.coordinates);
            copy.mbarrier.iter().for_each(|address| uses.address(address));
        }
        Operation::Mbarrier(barrier) => {
            uses.write(&barrier.dst);
            uses.read(&barrier.value);
            uses.address(&barrier.address);
        }
        _ => return false,
    }
    true
}

fn of_warp(operation: &Operation, uses: &mut Uses) {
    match operation {
        Operation::MoveMatrix { dst, src } => {
            uses.write([dst]);
            uses.read([src]);
        }
        Operation::Shuffle(shuffle) => {
            uses.write(&shuffle.dst);
            uses.read([&shuffle.a, &shuffle.b, &shuffle.c, &shuffle.members]);
        }
        Operation::Vote { dst, members, .. } => {
            if let VoteDestination::Register(dst) = dst {
                uses.write([dst]);
            }
            uses.read([members]);
        }
        Operation::Match { dst, value, members, .. } => {
            uses.write(dst);
            uses.read([value, members]);
        }
        Operation::ReduceWarp { dst, src, members, .. } => {
            uses.write([dst]);
            uses.read([src, members]);
        }
        Operation::ActiveMask { dst } => uses.write([dst]),
        Operation::Elect { dst, members, .. } => {
            uses.write(dst);
            uses.read([members]);
        }
        Operation::WarpBarrier { members } => uses.read([members]),
        Operation::Barrier(barrier) => {
            if let BarrierAction::ReduceCount { dst, .. } = &barrier.action {
                uses.write([dst]);
            }
            uses.read([&barrier.index]);
            uses.read(&barrier.threads);
        }
        Operation::Matrix(multiply) => {
            uses.write(&multiply.d);
            uses.reads.extend(multiply.a.iter().chain(&multiply.b).map(|register| register.0));
            uses.read(&multiply.c);
        }
        Operation::BranchIndexed { index, .. } => uses.read([index]),
        _ => {}
    }
}
