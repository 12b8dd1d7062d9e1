//! Values of special registers.

use crate::exec::environment::Environment;
use crate::exec::warp::Lanes;
use crate::exec::warp::Warp;
use crate::ir::Special;

/// The value in every lane.
pub fn value(env: &Environment<'_>, warp: &Warp, special: Special) -> Lanes {
    let launch = env.launch.launch;
    let per_lane = |of: &dyn Fn(u32) -> u32| std::array::from_fn(|lane| u64::from(of(lane as u32)));
    let uniform = |value: u32| [u64::from(value); 32];
    match special {
        Special::Thread(axis) => per_lane(&|lane| env.thread_index(32 * warp.index + lane)[axis]),
        Special::BlockSize(axis) => uniform(launch.block[axis]),
        Special::Block(axis) => uniform(env.block[axis]),
        Special::GridSize(axis) => uniform(launch.grid[axis]),
        Special::Lane => per_lane(&|lane| lane),
        Special::Warp => uniform(warp.index),
        Special::NumWarps => uniform(env.launch.threads.div_ceil(32)),
        Special::Multiprocessor => uniform((env.block_number % u64::from(launch.limits.multiprocessors.max(1))) as u32),
        Special::NumMultiprocessors => uniform(launch.limits.multiprocessors),
        Special::Zero => uniform(0),
        Special::One => uniform(1),
        Special::Clock => [env.executed; 32],
        Special::MaskEqual => per_lane(&|lane| 1 << lane),
        Special::MaskLessOrEqual => per_lane(&|lane| u32::MAX >> (31 - lane)),
        Special::MaskLess => per_lane(&|lane| (1 << lane) - 1),
        Special::MaskGreaterOrEqual => per_lane(&|lane| u32::MAX << lane),
        Special::MaskGreater => per_lane(&|lane| (u32::MAX << lane) & !(1 << lane)),
        Special::DynamicSharedBytes => uniform(launch.dynamic_shared_bytes),
        Special::TotalSharedBytes => uniform(env.launch.shared_bytes),
    }
}
