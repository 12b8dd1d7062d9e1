//! Linear layers on quantized weights: y = x · Wᵀ + b.
//!
//! [`Linear4bit`] for 4-bit formats, [`Linear8bit`] for 8-bit ones; what they share is in `core`.

mod core;
mod linear4bit;
mod linear8bit;

pub use linear4bit::Linear4bit;
pub use linear8bit::Linear8bit;
