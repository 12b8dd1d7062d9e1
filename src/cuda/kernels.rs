//! The table of kernels: one row for each symbol in `cuda/*.cu`.
//!
//! Grammar of a symbol: `<op>_<format>_<activations>[_<variant>]`; `w4` is any 4-bit format in the layout `mma_w4`.

/// A kernel: where it is and how it is launched.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// The stem of its file in `cuda/`.
    pub file: &'static str,
    /// Its symbol.
    pub symbol: &'static str,
    /// Threads per block: its launch bound, and how it is launched.
    pub threads: u32,
    /// Bytes of its argument struct.
    pub args_bytes: usize,
    /// The lowest compute capability that has it.
    pub min_capability: u32,
}

/// Every kernel of the crate.
pub const KERNELS: &[&Kernel] = &[];
