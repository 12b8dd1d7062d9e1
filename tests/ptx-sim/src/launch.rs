//! What a launch takes and gives.

use crate::Counts;
use crate::Finding;
use crate::MemoryError;
use std::fmt;
use std::ops::Range;

/// What a device allows a launch; the hardware refuses more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceLimits {
    /// Static plus dynamic shared memory of a block, with the opt-in attribute set.
    pub shared_bytes_per_block: u32,
    /// Threads in a block.
    pub threads_per_block: u32,
    /// Streaming multiprocessors: the range of `%smid`.
    pub multiprocessors: u32,
}

impl DeviceLimits {
    /// The limits of compute capability 9.0 (CUDA programming guide, "Technical Specifications per Compute Capability").
    pub const SM_90: Self = Self { shared_bytes_per_block: 227 * 1024, threads_per_block: 1024, multiprocessors: 132 };
    /// The limits of compute capability 8.0.
    pub const SM_80: Self = Self { shared_bytes_per_block: 163 * 1024, threads_per_block: 1024, multiprocessors: 108 };
    /// The limits of compute capability 8.9 and 12.0.
    pub const SM_89: Self = Self { shared_bytes_per_block: 99 * 1024, threads_per_block: 1024, multiprocessors: 128 };
}

/// One launch of a kernel.
#[derive(Clone, Debug)]
pub struct Launch<'a> {
    /// Blocks in x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block in x, y and z.
    pub block: [u32; 3],
    /// Dynamic shared memory of each block.
    pub dynamic_shared_bytes: u32,
    /// The little-endian bytes of each kernel parameter, in order.
    pub params: &'a [&'a [u8]],
    /// Draws the order in which the warps of a block run. The same seed gives the same order on any number of host
    /// threads.
    pub seed: u64,
    /// What the device allows.
    pub limits: DeviceLimits,
    /// Which blocks run, counted along x, then y, then z: all, unless a grid is too large to be executed.
    pub blocks: Range<u64>,
    /// How many blocks run at a time; 0 is one per core of the host.
    pub host_threads: usize,
    /// Findings kept of each kind; the rest are only counted.
    pub max_findings_per_kind: usize,
    /// A block that executes more warp instructions than this is reported as one that makes no progress.
    pub max_warp_instructions_per_block: u64,
}

impl<'a> Launch<'a> {
    /// A launch without dynamic shared memory, on a device of compute capability 9.0, seed 0.
    pub fn new(grid: [u32; 3], block: [u32; 3], params: &'a [&'a [u8]]) -> Self {
        Self {
            grid,
            block,
            dynamic_shared_bytes: 0,
            params,
            seed: 0,
            limits: DeviceLimits::SM_90,
            blocks: 0..u64::MAX,
            host_threads: 0,
            max_findings_per_kind: 8,
            max_warp_instructions_per_block: 1 << 26,
        }
    }

    /// Blocks of the grid.
    pub fn num_blocks(&self) -> u64 {
        self.grid.iter().map(|&size| u64::from(size)).product()
    }

    /// Threads of a block.
    pub fn threads(&self) -> u64 {
        self.block.iter().map(|&size| u64::from(size)).product()
    }
}

/// What a launch did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What is wrong with the kernel, by block; empty when nothing is.
    pub findings: Vec<Finding>,
    /// Findings beyond [`Launch::max_findings_per_kind`].
    pub suppressed_findings: u64,
    /// Instructions and memory traffic.
    pub counts: Counts,
}

/// Why a launch was refused; nothing was executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchError {
    /// The module has no kernel of this name.
    UnknownEntry(String),
    /// The number or the size of the arguments is not the kernel's.
    Parameters(String),
    /// Grid, block or shared memory beyond what the device or the kernel allows.
    Limits(String),
    /// The module's global variables could not be placed.
    Memory(MemoryError),
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownEntry(name) => write!(f, "the module has no entry {name:?}"),
            Self::Parameters(message) | Self::Limits(message) => f.write_str(message),
            Self::Memory(error) => write!(f, "global variables of the module: {error}"),
        }
    }
}

impl std::error::Error for LaunchError {}
