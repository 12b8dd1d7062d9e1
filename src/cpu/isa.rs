//! Which instruction set this machine's kernels use.

/// An instruction set that this CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust.
    Scalar,
}

impl Isa {
    /// The fastest one of this machine.
    pub fn best() -> Self {
        Self::Scalar
    }

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        "CPU (scalar)"
    }
}
