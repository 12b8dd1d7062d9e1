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
#[cfg(target_os = "linux")]
mod cuda_driver;
#[cfg(target_os = "linux")]
mod fake_cuda;
mod files;
mod formats_golden;
mod layers;
mod support;
mod tolerance;
