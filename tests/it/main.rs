//! Tests of the public API: one executable, a module per subject.

mod architecture;
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
mod cuda_kernels;
mod files;
mod formats_golden;
mod layers;
#[cfg(feature = "cuda")]
mod simulator;
mod support;
mod tolerance;
