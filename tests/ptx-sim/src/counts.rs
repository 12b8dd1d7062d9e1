//! What a launch executed and moved. Sums, not times: they do not depend on the host's threads.

use std::collections::BTreeMap;
use std::fmt;

/// The class of an instruction: the pipe that executes it on an SM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Integer addition, logic, shifts, comparisons, byte permutes, selects (64 lanes a clock on sm_90).
    Integer,
    /// Integer multiply and multiply-add, dot products.
    IntegerMultiply,
    /// f32 addition, multiplication, fma, minimum, comparison.
    Float32,
    /// f16, bf16 and their pairs.
    Float16,
    /// f64.
    Float64,
    /// Conversions between types.
    Convert,
    /// Reciprocals, roots, exponentials, sines; division.
    Special,
    /// mma and wgmma.
    Matrix,
    /// Loads from global memory, generic loads that resolve to it included.
    LoadGlobal,
    /// Stores to global memory.
    StoreGlobal,
    /// Loads from shared memory, `ldmatrix` included.
    LoadShared,
    /// Stores to shared memory, `stmatrix` included.
    StoreShared,
    /// Loads and stores of local memory: spills and indexed arrays.
    Local,
    /// Loads of parameters and constants.
    Constant,
    /// Atomics and reductions in memory.
    Atomic,
    /// `cp.async` and bulk copies, their commits and waits.
    AsyncCopy,
    /// Shuffles, votes, matches, `redux`, `movmatrix`.
    Shuffle,
    /// Barriers, mbarriers, fences.
    Barrier,
    /// Logic on predicates.
    Predicate,
    /// Branches, returns.
    Control,
    /// Moves, most of which the assembler removes.
    Move,
}

/// How many classes there are.
pub const NUM_CLASSES: usize = 21;

impl Class {
    /// Every class, in the order of their declaration.
    pub const ALL: [Self; NUM_CLASSES] = [
        Self::Integer,
        Self::IntegerMultiply,
        Self::Float32,
        Self::Float16,
        Self::Float64,
        Self::Convert,
        Self::Special,
        Self::Matrix,
        Self::LoadGlobal,
        Self::StoreGlobal,
        Self::LoadShared,
        Self::StoreShared,
        Self::Local,
        Self::Constant,
        Self::Atomic,
        Self::AsyncCopy,
        Self::Shuffle,
        Self::Barrier,
        Self::Predicate,
        Self::Control,
        Self::Move,
    ];
}

/// Global-memory traffic of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GlobalTraffic {
    /// Warp instructions.
    pub requests: u64,
    /// 32-byte sectors touched, counted once per request.
    pub sectors: u64,
    /// Bytes the lanes asked for.
    pub bytes: u64,
}

/// Shared-memory traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedTraffic {
    /// Warp instructions.
    pub requests: u64,
    /// Wavefronts with no bank conflict: what the requests would have taken at best.
    pub ideal_wavefronts: u64,
    /// Wavefronts: passes over the 32 banks of 4 bytes. Lanes that read one word share a pass.
    pub wavefronts: u64,
    /// Bytes the lanes asked for.
    pub bytes: u64,
}

/// The counts of a launch, or of several added together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Warp instructions by class, in the order of [`Class::ALL`].
    pub warp_instructions: [u64; NUM_CLASSES],
    /// Thread instructions (active lanes) by class, in the order of [`Class::ALL`].
    pub thread_instructions: [u64; NUM_CLASSES],
    /// Multiply-accumulates by matrix instruction, as the PTX spells it.
    pub matrix_macs: BTreeMap<String, u64>,
    /// Multiply-accumulates by scalar floating-point `fma` and by `dp4a`/`dp2a`; two a lane for `f16x2`.
    pub scalar_macs: u64,
    /// Loads from global memory.
    pub global_loads: GlobalTraffic,
    /// Stores to global memory.
    pub global_stores: GlobalTraffic,
    /// Loads from shared memory.
    pub shared_loads: SharedTraffic,
    /// Stores to shared memory.
    pub shared_stores: SharedTraffic,
    /// Global memory read by `cp.async`.
    pub async_copies: GlobalTraffic,
    /// Bytes of global memory that `cp.async.bulk` moved: what tensor copies fill with zeros is not among them.
    pub bulk_copy_bytes: u64,
    /// Blocks executed.
    pub blocks: u64,
}

impl Counts {
    /// Warp instructions of a class.
    pub fn warp(&self, class: Class) -> u64 {
        self.warp_instructions[class as usize]
    }

    /// Thread instructions of a class.
    pub fn thread(&self, class: Class) -> u64 {
        self.thread_instructions[class as usize]
    }

    /// Warp instructions of all classes.
    pub fn total_warp(&self) -> u64 {
        self.warp_instructions.iter().sum()
    }

    /// Thread instructions of all classes.
    pub fn total_thread(&self) -> u64 {
        self.thread_instructions.iter().sum()
    }

    /// Multiply-accumulates of all matrix instructions.
    pub fn total_matrix_macs(&self) -> u64 {
        self.matrix_macs.values().sum()
    }

    /// Adds the counts of another launch or block.
    pub fn add(&mut self, other: &Self) {
        add_each(&mut self.warp_instructions, &other.warp_instructions);
        add_each(&mut self.thread_instructions, &other.thread_instructions);
        for (form, macs) in &other.matrix_macs {
            *self.matrix_macs.entry(form.clone()).or_default() += macs;
        }
        self.scalar_macs += other.scalar_macs;
        self.global_loads.add(other.global_loads);
        self.global_stores.add(other.global_stores);
        self.shared_loads.add(other.shared_loads);
        self.shared_stores.add(other.shared_stores);
        self.async_copies.add(other.async_copies);
        self.bulk_copy_bytes += other.bulk_copy_bytes;
        self.blocks += other.blocks;
    }
}

impl GlobalTraffic {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.sectors += other.sectors;
        self.bytes += other.bytes;
    }
}

impl SharedTraffic {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.ideal_wavefronts += other.ideal_wavefronts;
        self.wavefronts += other.wavefronts;
        self.bytes += other.bytes;
    }
}

fn add_each(sums: &mut [u64; NUM_CLASSES], terms: &[u64; NUM_CLASSES]) {
    for (sum, term) in sums.iter_mut().zip(terms) {
        *sum += term;
    }
}

impl fmt::Display for Counts {
    /// Lines of `name value`, for records and messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "blocks {}", self.blocks)?;
        for class in Class::ALL.into_iter().filter(|&class| self.warp(class) > 0) {
            writeln!(
                f,
                "{class:?} {} warp instructions, {} thread instructions",
                self.warp(class),
                self.thread(class)
            )?;
        }
        for (form, macs) in &self.matrix_macs {
            writeln!(f, "{form} {macs} multiply-accumulates")?;
        }
        writeln!(f, "scalar multiply-accumulates {}", self.scalar_macs)?;
        let global = [("loads", self.global_loads), ("stores", self.global_stores), ("cp.async", self.async_copies)];
        for (name, traffic) in global {
            let GlobalTraffic { requests, sectors, bytes } = traffic;
            writeln!(f, "global {name} {requests} requests, {sectors} sectors of 32 bytes, {bytes} bytes asked for")?;
        }
        for (name, traffic) in [("loads", self.shared_loads), ("stores", self.shared_stores)] {
            let SharedTraffic { requests, ideal_wavefronts, wavefronts, bytes } = traffic;
            writeln!(
                f,
                "shared {name} {requests} requests, {wavefronts} wavefronts ({ideal_wavefronts} without conflicts), \
                 {bytes} bytes asked for"
            )?;
        }
        writeln!(f, "bulk copies {} bytes", self.bulk_copy_bytes)
    }
}
