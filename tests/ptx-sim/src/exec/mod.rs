//! Runs a launch: blocks on host threads, warps of a block by turns, lanes of a warp in lockstep.

mod access;
pub(crate) mod atomic;
mod barrier;
mod block;
mod bulk;
mod convert;
mod copy_async;
mod environment;
mod execute;
pub(crate) mod float;
mod integer;
mod load_store;
mod matrix;
mod mbarrier;
mod rng;
mod shuffle;
mod special;
mod step;
mod tensor;
mod traffic;
mod warp;
mod wgmma;

use crate::Counts;
use crate::Finding;
use crate::FindingKind;
use crate::Launch;
use crate::LaunchError;
use crate::Memory;
use crate::Module;
use crate::Report;
use crate::ir::Function;
use crate::memory::global::Snapshot;
use block::Block;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// What all blocks of a launch share.
pub(crate) struct Shared<'a> {
    pub function: &'a Function,
    pub launch: &'a Launch<'a>,
    pub memory: Snapshot,
    /// Addresses of the module's global variables.
    pub globals: Vec<u64>,
    pub constants: &'a [u8],
    pub params: Vec<u8>,
    pub threads: u32,
    pub shared_bytes: u32,
}

/// What one block leaves.
pub(crate) struct BlockResult {
    pub findings: Vec<Finding>,
    pub suppressed: u64,
    pub counts: Counts,
    /// Nothing sensible can follow.
    pub is_fatal: bool,
}

/// Executes a launch; see [`Module::launch`].
pub(crate) fn launch(
    module: &Module,
    function: &Function,
    launch: &Launch<'_>,
    memory: &Memory,
) -> Result<Report, LaunchError> {
    check_limits(function, launch)?;
    let params = parameter_bytes(function, launch)?;
    let globals = memory.module_variables(module.id, &module.globals).map_err(LaunchError::Memory)?;
    let shared = Shared {
        function,
        launch,
        memory: memory.snapshot(),
        globals,
        constants: &module.constants,
        params,
        threads: launch.threads() as u32,
        shared_bytes: function.entry.static_shared_bytes + launch.dynamic_shared_bytes,
    };
    Ok(merge(run_blocks(&shared), launch))
}

/// Runs blocks in order of their index, several at a time; results are in no particular order.
fn run_blocks(shared: &Shared<'_>) -> Vec<(u64, BlockResult)> {
    let blocks = shared.launch.blocks.clone();
    let end = shared.launch.num_blocks().min(blocks.end);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = if shared.launch.host_threads == 0 { cores } else { shared.launch.host_threads };
    let num_threads = (wanted as u64).min(end.saturating_sub(blocks.start)).max(1);
    let (next, stopped, results) = (AtomicU64::new(blocks.start), AtomicBool::new(false), Mutex::new(Vec::new()));
    let worker = || {
        let mut block = Block::new(shared);
        let mut sum = None;
        loop {
            let index = next.fetch_add(1, Relaxed);
            if index >= end || stopped.load(Relaxed) {
                break;
            }
            let result = block.run(index);
            stopped.fetch_or(result.is_fatal, Relaxed);
            accumulate(&mut sum, index, result, &results);
        }
        if let Some(last) = sum {
            push(&results, 0, last);
        }
    };
    if num_threads == 1 {
        worker();
    } else {
        std::thread::scope(|scope| {
            for _ in 0..num_threads {
                scope.spawn(worker);
            }
        });
    }
    results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Keeps the counts of clean blocks in one sum, so that a large grid does not keep one result a block.
fn accumulate(
    sum: &mut Option<BlockResult>,
    index: u64,
    result: BlockResult,
    results: &Mutex<Vec<(u64, BlockResult)>>,
) {
    match sum {
        Some(sum) if result.findings.is_empty() => sum.counts.add(&result.counts),
        None if result.findings.is_empty() => *sum = Some(result),
        _ => push(results, index, result),
    }
}

fn push(results: &Mutex<Vec<(u64, BlockResult)>>, index: u64, result: BlockResult) {
    results.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((index, result));
}

/// Sums counts, and keeps findings in the order of blocks up to the limit of each kind.
fn merge(mut results: Vec<(u64, BlockResult)>, launch: &Launch<'_>) -> Report {
    results.sort_by_key(|(index, _)| *index);
    let mut report = Report::default();
    let mut kept: HashMap<FindingKind, usize> = HashMap::new();
    for (_, result) in results {
        report.counts.add(&result.counts);
        report.suppressed_findings += result.suppressed;
        for finding in result.findings {
            let count = kept.entry(finding.kind).or_default();
            if *count < launch.max_findings_per_kind {
                *count += 1;
                report.findings.push(finding);
            } else {
                report.suppressed_findings += 1;
            }
        }
    }
    report
}

fn check_limits(function: &Function, launch: &Launch<'_>) -> Result<(), LaunchError> {
    let refuse = |message: String| Err(LaunchError::Limits(format!("{}: {message}", function.entry.name)));
    let (threads, limits) = (launch.threads(), launch.limits);
    if launch.grid.contains(&0) || launch.block.contains(&0) {
        return refuse(format!("grid {:?} of blocks {:?} is empty", launch.grid, launch.block));
    }
    if launch.grid[0] > 0x7fff_ffff || launch.grid[1] > 65535 || launch.grid[2] > 65535 {
        return refuse(format!("grid {:?} is larger than 2147483647 × 65535 × 65535", launch.grid));
    }
    if launch.block[0] > 1024 || launch.block[1] > 1024 || launch.block[2] > 64 {
        return refuse(format!("block {:?} is larger than 1024 × 1024 × 64", launch.block));
    }
    if threads > limits.threads_per_block.into() {
        return refuse(format!("{threads} threads, the device allows {}", limits.threads_per_block));
    }
    if let Some(max) = function.entry.max_threads.filter(|&max| threads > max.into()) {
        return refuse(format!("{threads} threads, the kernel is compiled for at most {max}"));
    }
    if let Some(required) = function.entry.required_threads.filter(|&required| required != launch.block) {
        return refuse(format!("block {:?}, the kernel is compiled for {required:?} alone", launch.block));
    }
    let shared = u64::from(function.entry.static_shared_bytes) + u64::from(launch.dynamic_shared_bytes);
    if shared > limits.shared_bytes_per_block.into() {
        let allowed = limits.shared_bytes_per_block;
        return refuse(format!("{shared} bytes of shared memory, the device allows {allowed}"));
    }
    Ok(())
}

fn parameter_bytes(function: &Function, launch: &Launch<'_>) -> Result<Vec<u8>, LaunchError> {
    let expected = &function.entry.params;
    let name = &function.entry.name;
    if expected.len() != launch.params.len() {
        let got = launch.params.len();
        return Err(LaunchError::Parameters(format!("{name} takes {} parameters, got {got}", expected.len())));
    }
    let mut bytes = vec![0; function.param_bytes as usize];
    for (index, (param, value)) in expected.iter().zip(launch.params).enumerate() {
        if param.size_bytes as usize != value.len() {
            let (size, got) = (param.size_bytes, value.len());
            return Err(LaunchError::Parameters(format!("parameter {index} of {name} has {size} bytes, got {got}")));
        }
        bytes[param.offset_bytes as usize..][..value.len()].copy_from_slice(value);
    }
    Ok(bytes)
}
