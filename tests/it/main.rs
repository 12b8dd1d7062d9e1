//! Tests of the public interface. One executable: it links once.

mod checkpoint_bnb;
mod checkpoint_bnb_malformed;
mod checkpoint_malformed;
mod checkpoint_native;
mod checkpoint_shards;
mod convert;
mod convert_failures;
mod convert_models;
mod converting;
mod files;
