//! The CPU backend.
mod isa;

pub use isa::Isa;
