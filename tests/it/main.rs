//! Tests of the public API: one executable, a module per subject.

mod architecture;
#[cfg(feature = "cli")]
mod bench;
#[cfg(feature = "cuda")]
mod built;
mod checkpoint_bnb;
mod checkpoint_bnb_malformed;
mod checkpoint_malformed;
mod checkpoint_native;
mod checkpoint_shards;
#[cfg(feature = "cli")]
mod cli;
mod convert;
mod convert_failures;
mod convert_models;
mod converting;
#[cfg(feature = "cuda")]
mod counts;
#[cfg(all(feature = "cuda", feature = "cli"))]
mod cuda_bench;
#[cfg(feature = "cuda")]
mod cuda_dequant_int8;
#[cfg(feature = "cuda")]
mod cuda_dequant_w4;
#[cfg(feature = "cuda")]
mod cuda_dequant_w4a8;
#[cfg(feature = "cuda")]
mod cuda_device;
#[cfg(target_os = "linux")]
mod cuda_driver;
#[cfg(feature = "cuda")]
mod cuda_gemm_dense;
#[cfg(feature = "cuda")]
mod cuda_gemm_int4;
#[cfg(feature = "cuda")]
mod cuda_gemm_int8;
#[cfg(feature = "cuda")]
mod cuda_gemm_int8_sm90;
#[cfg(feature = "cuda")]
mod cuda_gemm_w4;
#[cfg(feature = "cuda")]
mod cuda_gemm_w4_sm90;
#[cfg(feature = "cuda")]
mod cuda_gemm_w4a8;
#[cfg(feature = "cuda")]
mod cuda_gemm_w4a8_sm90;
#[cfg(feature = "cuda")]
mod cuda_gemv_w4;
#[cfg(feature = "cuda")]
mod cuda_kernels;
#[cfg(feature = "cuda")]
mod cuda_large;
#[cfg(feature = "cuda")]
mod cuda_quantize_int4;
#[cfg(feature = "cuda")]
mod cuda_quantize_int8;
#[cfg(feature = "cuda")]
mod cuda_quantize_w4;
#[cfg(target_os = "linux")]
mod fake_cuda;
mod files;
mod formats_golden;
#[cfg(feature = "buildtime-bindgen")]
mod kernel_args;
#[cfg(feature = "cuda")]
mod kernel_text;
#[cfg(feature = "cuda")]
mod kernels_static;
mod layers;
#[cfg(feature = "cuda")]
mod promises;
#[cfg(feature = "cuda")]
mod simulator;
mod support;
mod tolerance;
#[cfg(feature = "cuda")]
mod w4_cases;
