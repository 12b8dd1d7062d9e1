//! Low-bit linear layers: weights in 8 bits or 4, quantized, stored and multiplied.
//!
//! ```
//! use lowbit::{Device, Linear4bit, Nf4, Tensor};
//!
//! let device = Device::best()?;
//! let weight = Tensor::new(vec![0.5f32; 128 * 64], &[128, 64])?; // [out, in], as PyTorch and candle have it
//! let layer = Linear4bit::quantize(&weight, None, Nf4::default().double_quant(true), &device)?;
//! let y = layer.forward(&Tensor::new(vec![1.0f32; 2 * 64], &[2, 64])?)?;
//! assert_eq!(y.shape(), [2, 128]);
//! # Ok::<(), lowbit::Error>(())
//! ```
//!
//! # Where things are
//!
//! | module | is |
//! |---|---|
//! | [`layers`] | [`Linear4bit`], [`Linear8bit`]: weights, bias, forward |
//! | [`functional`] | the same under bitsandbytes' names: `quantize_4bit`, `quantize_blockwise`, ... |
//! | [`formats`] | what the bits mean: one file per format, [`QuantMatrix`], [`Recipe`] |
//! | [`checkpoint`] | files to matrices and back: safetensors, sharded or not, bitsandbytes' serialization, model directories |
//! | [`convert`] | a whole checkpoint through a recipe, streamed |
//! | [`layout`] | the orders in which GPU kernels want the codes |
//! | [`quantize`] | how much was lost: [`quantize::distortion`] |
//! | [`ops`] | the choice of backend: quantize, dequantize, prepare, matmul |
//! | `bench` | strategies timed side by side (feature `cli`) |
//! | [`cpu`] | the CPU backend: instruction sets and kernels |
//! | [`cuda`] | the CUDA backend: devices, plans and launches; the kernels are in the folder `cuda/` |
//! | [`mod@reference`] | the slow, plain definitions that every kernel is tested against |
//! | [`strategy`] | [`Activations`] (what is computed) and [`Strategy`] (how) |
//! | [`device`], [`tensor`], [`values`], [`shape`], [`error`] | what all of them are made of |
//!
//! Right may not use left of it in `cli` → `layers`, `convert` → `checkpoint`, `quantize`, `ops` → `cpu`, `cuda` → `formats`; a test
//! (`tests/it/architecture.rs`) holds every such direction.
//!
//! y\[M,N\] = x\[M,K\] · W\[N,K\]ᵀ + b\[N\] throughout: M tokens, N out-features, K in-features.

#[cfg(feature = "cli")]
pub mod bench;
pub mod checkpoint;
#[cfg(feature = "cli")]
pub mod cli;
pub mod convert;
pub mod cpu;
pub mod cuda;
pub mod device;
pub mod error;
pub mod formats;
pub mod functional;
pub mod layers;
pub mod layout;
pub mod ops;
pub mod quantize;
pub mod reference;
pub mod shape;
pub mod strategy;
pub mod tensor;
pub mod values;

pub use device::Device;
pub use error::Error;
pub use error::Result;
pub use formats::AffineInt8;
pub use formats::Dynamic8;
pub use formats::Fp4;
pub use formats::Int4;
pub use formats::Int4ChannelGroup;
pub use formats::Int8;
pub use formats::Nf4;
pub use formats::QuantMatrix;
pub use formats::Recipe;
pub use layers::Linear4bit;
pub use layers::Linear8bit;
pub use shape::BlockSize;
pub use shape::Granularity;
pub use shape::GroupSize;
pub use shape::MatShape;
pub use strategy::Activations;
pub use strategy::Strategy;
pub use tensor::Tensor;
pub use values::Dtype;
