//! The memories a kernel sees.

pub(crate) mod global;
pub(crate) mod races;
pub(crate) mod shared;

pub use global::Memory;
pub use global::MemoryError;

/// Generic addresses of shared memory start here; the offset is the shared address.
pub(crate) const SHARED_WINDOW: u64 = 1 << 40;
/// Generic addresses of local memory.
pub(crate) const LOCAL_WINDOW: u64 = 2 << 40;
/// Generic addresses of constant memory.
pub(crate) const CONST_WINDOW: u64 = 3 << 40;
/// Generic addresses of kernel parameters.
pub(crate) const PARAM_WINDOW: u64 = 4 << 40;
/// Size of each window.
pub(crate) const WINDOW_BYTES: u64 = 1 << 32;
/// The first shared address of a block: the system reserves the first KiB on sm_90, and a null pointer stays invalid.
pub(crate) const SHARED_BASE: u32 = 1024;
