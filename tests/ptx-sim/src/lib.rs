//! Executes the PTX of CUDA kernels on the CPU, and finds what a run on a GPU would hide.
//!
//! PTX text (`nvcc --ptx -lineinfo`), the name of a kernel, a grid, arguments and memory go in; memory, findings and
//! counts come out. An instruction, modifier or type that the simulator does not know is a [`ParseError`] that names
//! it; nothing is skipped.
//!
//! ```
//! use ptx_sim::{Launch, Memory, Module};
//!
//! let module = Module::parse(
//!     ".version 9.0 .target sm_80 .address_size 64
//!      .visible .entry store_tid(.param .u64 out) {
//!        .reg .b64 %rd<3>; .reg .b32 %r<2>;
//!        ld.param.u64 %rd1, [out];
//!        mov.u32 %r1, %tid.x;
//!        mul.wide.u32 %rd2, %r1, 4;
//!        add.s64 %rd1, %rd1, %rd2;
//!        st.global.u32 [%rd1], %r1;
//!        ret;
//!      }",
//! )?;
//! let memory = Memory::new();
//! let out = memory.alloc(4 * 32)?;
//! let report = module.launch("store_tid", &Launch::new([1, 1, 1], [32, 1, 1], &[&out.to_le_bytes()]), &memory)?;
//! assert!(report.findings.is_empty());
//! let mut last = [0; 4];
//! memory.read(out + 4 * 31, &mut last)?;
//! assert_eq!(u32::from_le_bytes(last), 31);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Memory model
//!
//! As weak as the hardware's. The bytes of `cp.async` are copied at the wait of the thread that asked for them, bulk
//! copies arrive when every warp waits (and now and then earlier), wgmma is carried out at the first wait that covers
//! it; touching what is under way is a finding. Threads of a block are ordered only by barriers, by `.sync`
//! instructions of a warp that name both lanes, and by mbarriers; two accesses to one byte of shared memory that
//! nothing orders, one of them a write, are a race. Ordinary writes reach bulk copies and wgmma only through
//! `fence.proxy.async`. The order in which the warps of a block run is drawn from [`Launch::seed`].
//!
//! # Limits
//!
//! - Lanes that diverge meet at the branch's immediate post-dominator; a warp cannot wait at a barrier, or for another
//!   of its own lanes, in part.
//! - Blocks run in the order of their index, as many at a time as there are host threads: a block that spins on what a
//!   later block writes is reported as making no progress. Races between blocks are not looked for.
//! - Acquire and release through flags in shared memory do not order other accesses; mbarriers and barriers do.
//! - Not known, hence parse errors: functions and calls, clusters of more than one block, textures, sparse and
//!   block-scaled matrices, 128-bit registers, packed 16-bit integers, video instructions; of tensor copies im2col,
//!   gathers, multicasts, reductions and maps that a kernel modifies.
//!
//! # Map
//!
//! - `parse/`: PTX text to the decoded form in `ir/`; `cfg`: where diverged lanes meet again.
//! - `exec/`: blocks on host threads, warps of 32 lanes in lockstep, one file per instruction family.
//! - [`tensor_map`]: what `cp.async.bulk.tensor` takes; [`TensorMap::encode`] stands in for the driver's.
//! - [`memory`]: global memory, shared memory with its shadow, and races.
//! - [`findings`] and [`counts`]: what a launch reports.

mod cfg;
pub mod counts;
mod exec;
pub mod findings;
mod ir;
pub mod launch;
pub mod matrix;
pub mod memory;
mod module;
pub mod numeric;
mod parse;
pub mod tensor_map;
pub mod types;

pub use counts::Class;
pub use counts::Counts;
pub use findings::Finding;
pub use findings::FindingKind;
pub use launch::DeviceLimits;
pub use launch::Launch;
pub use launch::LaunchError;
pub use launch::Report;
pub use matrix::swizzle::Swizzle;
pub use memory::Memory;
pub use memory::MemoryError;
pub use module::Entry;
pub use module::Module;
pub use module::Parameter;
pub use parse::ParseError;
pub use tensor_map::TensorMap;
pub use tensor_map::TensorMapError;
