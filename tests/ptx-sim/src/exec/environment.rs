//! What the warps of one block share: memory, findings, counts.

use crate::Counts;
use crate::Finding;
use crate::FindingKind;
use crate::exec::Shared;
use crate::exec::barrier::BarrierState;
use crate::exec::barrier::NUM_BARRIERS;
use crate::exec::bulk::Asynchronous;
use crate::exec::copy_async::CopyQueue;
use crate::exec::mbarrier::Mbarriers;
use crate::exec::rng::Rng;
use crate::exec::special;
use crate::exec::warp::Lanes;
use crate::exec::warp::Warp;
use crate::exec::wgmma::Warpgroup;
use crate::findings::Space;
use crate::ir::Address;
use crate::ir::Operand;
use crate::memory::global::Allocation;
use crate::memory::races::Conflict;
use crate::memory::races::Races;
use crate::memory::shared::SharedMemory;
use std::collections::HashSet;

/// Where execution stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Site {
    pub pc: u32,
    pub warp: u32,
}

/// The block that runs.
pub struct Environment<'a> {
    pub launch: &'a Shared<'a>,
    pub block: [u32; 3],
    pub block_number: u64,
    pub site: Site,
    pub shared: SharedMemory,
    /// Local memory, thread by thread, and whether each byte was written.
    pub local: Vec<u8>,
    pub local_written: Vec<bool>,
    pub copies: CopyQueue,
    pub barriers: [BarrierState; NUM_BARRIERS],
    pub mbarriers: Mbarriers,
    pub asynchronous: Asynchronous,
    pub warpgroups: Vec<Warpgroup>,
    pub rng: Rng,
    pub counts: Counts,
    /// Multiply-accumulates by instruction.
    pub matrix_macs: Vec<u64>,
    pub executed: u64,
    pub findings: Vec<Finding>,
    pub suppressed: u64,
    reported: HashSet<(FindingKind, u32)>,
    /// The allocation touched last.
    pub recent: Option<&'a Allocation>,
    /// Two lanes of the store that runs write to one place.
    pub overlap: Option<Conflict>,
}

impl<'a> Environment<'a> {
    pub fn new(launch: &'a Shared<'a>) -> Self {
        let local_bytes = launch.function.entry.local_bytes as usize * launch.threads as usize;
        Self {
            launch,
            block: [0; 3],
            block_number: 0,
            site: Site::default(),
            shared: SharedMemory::new(
                launch.shared_bytes,
                Races::new(launch.threads, 1 + launch.threads.div_ceil(32), launch.shared_bytes),
            ),
            local: vec![0; local_bytes],
            local_written: vec![false; local_bytes],
            copies: CopyQueue::new(launch.threads),
            barriers: Default::default(),
            mbarriers: Mbarriers::new(),
            asynchronous: Asynchronous::new(launch.threads),
            warpgroups: vec![Warpgroup::default(); launch.threads.div_ceil(128) as usize],
            rng: Rng::new(0, 0),
            counts: Counts::default(),
            matrix_macs: vec![0; launch.function.instructions.len()],
            executed: 0,
            findings: Vec::new(),
            suppressed: 0,
            reported: HashSet::new(),
            recent: None,
            overlap: None,
        }
    }

    /// Ready for another block.
    pub fn restart(&mut self, block_number: u64) {
        let [x, y, _] = self.launch.launch.grid.map(u64::from);
        self.block = [block_number % x, block_number / x % y, block_number / x / y].map(|index| index as u32);
        self.block_number = block_number;
        self.shared.restart();
        self.local_written.fill(false);
        self.copies.restart();
        self.barriers = Default::default();
        self.mbarriers.clear();
        self.asynchronous.restart();
        self.warpgroups.fill(Warpgroup::default());
        self.rng = Rng::new(self.launch.launch.seed, block_number);
        self.counts = Counts::default();
        self.matrix_macs.fill(0);
        self.executed = 0;
        self.findings.clear();
        self.suppressed = 0;
        self.reported.clear();
    }

    /// The index of a thread in x, y and z.
    pub fn thread_index(&self, thread: u32) -> [u32; 3] {
        let [x, y, _] = self.launch.launch.block;
        [thread % x, thread / x % y, thread / x / y]
    }

    /// Says who an actor of the race detector is.
    pub fn actor(&self, actor: u32) -> String {
        if actor < self.launch.threads {
            let [x, y, z] = self.thread_index(actor);
            return format!("thread ({x},{y},{z})");
        }
        "an asynchronous operation".to_owned()
    }

    /// The number of a lane's thread in the block.
    #[inline]
    pub fn thread(&self, lane: usize) -> u32 {
        32 * self.site.warp + lane as u32
    }

    /// Reports a finding of the instruction that runs. The first of its kind at each instruction is kept, up to the
    /// launch's limit.
    #[cold]
    pub fn report(&mut self, kind: FindingKind, lane: usize, access: Option<(Space, u64, u32)>, message: String) {
        self.report_at(self.site, kind, lane, access, message);
    }

    /// Reports a finding of another instruction.
    #[cold]
    pub fn report_at(
        &mut self,
        site: Site,
        kind: FindingKind,
        lane: usize,
        access: Option<(Space, u64, u32)>,
        message: String,
    ) {
        let of_kind = self.findings.iter().filter(|finding| finding.kind == kind).count();
        if !self.reported.insert((kind, site.pc)) || of_kind >= self.launch.launch.max_findings_per_kind {
            self.suppressed += 1;
            return;
        }
        let function = self.launch.function;
        let instruction = &function.instructions[site.pc as usize];
        self.findings.push(Finding {
            kind,
            kernel: function.entry.name.clone(),
            source: instruction.source.map(|index| function.sources[index as usize].clone()),
            ptx_line: instruction.line,
            block: self.block,
            thread: self.thread_index(32 * site.warp + lane as u32),
            access,
            message,
        });
    }

    /// The value of an operand in every lane.
    #[inline]
    pub fn read(&self, warp: &Warp, operand: &Operand) -> Lanes {
        match *operand {
            Operand::Register(register) => warp.registers[register.0 as usize],
            Operand::Immediate(value) => [value; 32],
            Operand::Special(special) => special::value(self, warp, special),
            Operand::Global(index, offset) => [self.launch.globals[index as usize].wrapping_add_signed(offset); 32],
        }
    }

    /// The addresses of an access.
    #[inline]
    pub fn addresses(&self, warp: &Warp, address: &Address) -> Lanes {
        let mut lanes = self.read(warp, &address.base);
        if address.offset != 0 {
            for lane in &mut lanes {
                *lane = lane.wrapping_add_signed(address.offset);
            }
        }
        lanes
    }
}
