//! The arithmetic of PTX as pure functions of register bits.
//!
//! A register value is the low bits of a `u64`: 16-bit types fill the low 16, packed pairs of 16-bit types the low 32
//! (first element low), the rest of the word is ignored on input and zero on output. No function here touches memory,
//! knows lanes or predicates, or reads a mode: rounding and flushing come with the instruction.
//!
//! Results are those that the PTX ISA defines. Where it leaves freedom, the module that uses it says what it chose:
//! which NaN (`f16`, `bf16`: `0x7fff`; `f32`, `tf32`: `0x7fffffff`), and how exact `.approx` instructions are.

pub mod approx;
pub mod arith;
pub mod compare;
pub mod convert;
pub mod float16;
pub mod float8;
mod odd;
pub mod round;
#[cfg(test)]
pub(crate) mod tests;
pub mod tf32;
mod unsupported;

pub use approx::Approximation;
pub use arith::FloatModifiers;
pub use compare::Comparison;
pub use compare::compare;
pub use convert::ConvertModifiers;
pub use convert::convert;
pub use convert::convert_pair;
pub use unsupported::Unsupported;
