//! The error of a combination of operation, types and modifiers that this crate does not compute.

use std::error::Error;
use std::fmt;

/// A combination of operation, types and modifiers that PTX does not have or that this crate does not compute.
///
/// Small, because the functions that return it are the inner loop of the simulator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported(Box<str>);

impl Unsupported {
    /// An error that names the rule and the values that broke it.
    #[cold]
    pub fn new(rule_and_values: String) -> Self {
        Self(rule_and_values.into_boxed_str())
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Unsupported {}
