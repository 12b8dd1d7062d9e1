//! A parsed PTX module and its kernels.

use crate::Launch;
use crate::LaunchError;
use crate::Memory;
use crate::ParseError;
use crate::Report;
use crate::ir::Function;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// One kernel parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in the PTX.
    pub name: String,
    /// Where it lies in the parameter buffer.
    pub offset_bytes: u32,
    /// Its size.
    pub size_bytes: u32,
    /// Its alignment.
    pub align_bytes: u32,
}

/// What is known of a kernel before it is launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its parameters in order.
    pub params: Vec<Parameter>,
    /// Static shared memory of a block.
    pub static_shared_bytes: u32,
    /// Local memory of a thread.
    pub local_bytes: u32,
    /// The largest block it may be launched with, from `.maxntid` or `.reqntid`.
    pub max_threads: Option<u32>,
    /// The only block it may be launched with, from `.reqntid`.
    pub required_threads: Option<[u32; 3]>,
}

/// A parsed module.
#[derive(Debug)]
pub struct Module {
    /// Tells modules apart in a [`Memory`] that holds their global variables.
    pub(crate) id: u64,
    pub(crate) target: String,
    pub(crate) functions: Vec<Function>,
    /// Initial bytes of each global variable.
    pub(crate) globals: Vec<Vec<u8>>,
    /// The constant bank.
    pub(crate) constants: Vec<u8>,
}

impl Module {
    /// Parses PTX text.
    ///
    /// # Errors
    ///
    /// [`ParseError`], with the line, for anything that is not PTX or that the simulator does not know.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let mut module = crate::parse::module(text)?;
        module.id = NEXT_ID.fetch_add(1, Relaxed);
        Ok(module)
    }

    /// The architecture that the text was compiled for, as `sm_90a`.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The kernels, in the order of the text.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.functions.iter().map(|function| &function.entry)
    }

    /// The kernel of this name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries().find(|entry| entry.name == name)
    }

    /// Executes a kernel to its end, or until a finding that nothing can follow.
    ///
    /// # Errors
    ///
    /// [`LaunchError`] when the launch is refused; what goes wrong while it runs is a finding of the report.
    pub fn launch(&self, entry: &str, launch: &Launch<'_>, memory: &Memory) -> Result<Report, LaunchError> {
        let function = self
            .functions
            .iter()
            .find(|function| function.entry.name == entry)
            .ok_or_else(|| LaunchError::UnknownEntry(entry.to_owned()))?;
        crate::exec::launch(self, function, launch, memory)
    }
}
