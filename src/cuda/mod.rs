//! The CUDA backend: [`CudaDevice`] is one stream of one GPU, [`driver`] all that is asked of it, `ops` one file per kernel
//! family, [`kernels`] their table.
//!
//! Kernels are CUDA C++ in `cuda/`, one file per family, compiled by `build.rs` where there is nvcc. Everything here but the
//! cudarc implementation of [`Driver`] exists without the feature `cuda`, so that types mean the same in every build.

// Its comments are those of a C header, where brackets are no links.
#[allow(rustdoc::broken_intra_doc_links)]
#[doc(hidden)]
pub mod args;
mod buffer;
mod device;
#[doc(hidden)]
pub mod driver;
mod fatbins;
mod inventory;
#[doc(hidden)]
pub mod kernels;
mod matmul;
#[doc(hidden)]
pub mod ops;
#[doc(hidden)]
pub mod plan;
mod prepared;
mod quantize;
#[cfg(feature = "cuda")]
mod real;
mod workspace;

pub use buffer::DeviceBuffer;
#[doc(hidden)]
pub use buffer::Region;
/// The cudarc that this crate uses, for callers who share streams and memory with it.
#[cfg(feature = "cuda")]
pub use cudarc;
pub use device::CudaDevice;
pub use driver::Driver;
pub use driver::Limits;
pub use inventory::DenseLibrary;
pub use inventory::Gpu;
pub use inventory::Inventory;
pub use inventory::KernelsInBuild;
pub use prepared::Prepared;
pub use quantize::quantize;
pub use quantize::quantize_rows;
pub use quantize::quantizes;
