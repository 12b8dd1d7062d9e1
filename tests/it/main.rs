//! Tests of the public API: one executable, a module per subject.

mod architecture;
mod checkpoint_bnb;
mod checkpoint_malformed;
mod checkpoint_shards;
#[cfg(feature = "cli")]
mod cli;
mod convert;
mod convert_failures;
mod files;
mod formats_golden;
mod layers;
mod support;
mod tolerance;
