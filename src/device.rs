//! [`Device`]: where a layer's weights live and its products are computed.

use crate::cpu::Isa;
use crate::error::Result;

/// A place to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Device {
    /// The CPU, with the instruction set its kernels use.
    Cpu(Isa),
}

impl Device {
    /// The fastest device of this machine: the CPU, as this version has no other.
    ///
    /// # Errors
    /// None today; a device that is present and broken will be one.
    pub fn best() -> Result<Self> {
        Ok(Self::cpu())
    }

    /// The CPU with the best instruction set it has.
    pub fn cpu() -> Self {
        Self::Cpu(Isa::best())
    }

    /// The name used in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cpu(isa) => isa.name(),
        }
    }
}
