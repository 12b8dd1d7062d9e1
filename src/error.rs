//! The one error type. Each case carries what was expected and what came.

mod cuda;
mod fault;

pub use cuda::CudaError;
pub use fault::FileFault;

/// `Result` with lowbit's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An array does not have the length that shape and format demand.
    #[error("{what} has {found} elements, expected {expected} ({rule})")]
    Length {
        /// The array's name, as the format's documentation calls it.
        what: &'static str,
        /// How many elements it must have.
        expected: usize,
        /// How many it has.
        found: usize,
        /// Where the expectation comes from, with its values.
        rule: String,
    },
    /// Two things that must have the same shape do not.
    #[error("{what}: expected shape {expected:?}, found {found:?}")]
    Shape {
        /// What was checked.
        what: &'static str,
        /// The shape it must have.
        expected: Vec<usize>,
        /// The shape it has.
        found: Vec<usize>,
    },
    /// A value outside its range (a block size, a zero point, a code).
    #[error("{what} = {value}: {rule}")]
    Invalid {
        /// What was checked.
        what: &'static str,
        /// The value found.
        value: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A tensor with no elements where a matrix is needed.
    #[error("{what} is empty: shape {shape:?}")]
    Empty {
        /// What was empty.
        what: &'static str,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A size that does not fit the machine's integers.
    #[error("{what} with shape {shape:?} is too large for this machine's address space")]
    TooLarge {
        /// What was to be made.
        what: &'static str,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A NaN or an infinity where only finite numbers make sense.
    #[error("{what}: element {index} is {value}; only finite values can be quantized")]
    NonFinite {
        /// The array that holds it.
        what: &'static str,
        /// Its flat index.
        index: usize,
        /// The value.
        value: f32,
    },
    /// An operation that this format, strategy or device does not have.
    #[error("{op} of {subject} is not supported on {device}: {rule}")]
    Unsupported {
        /// The operation.
        op: &'static str,
        /// The format, strategy or shape it was asked for.
        subject: String,
        /// The device.
        device: String,
        /// The rule, with what to do instead.
        rule: String,
    },
    /// A benchmark's check found a product that rounding does not explain.
    #[error("y[{row}, {column}] = {found}, expected {expected} within {bound:e}: the product is wrong")]
    WrongProduct {
        /// The row of y.
        row: usize,
        /// Its column.
        column: usize,
        /// What was computed.
        found: f64,
        /// What is right.
        expected: f64,
        /// How far from that rounding may lead.
        bound: f64,
    },
    /// Two things of one call are on different devices.
    #[error("{what} is on {found}, expected on {expected}: copy it with to(&device)")]
    WrongDevice {
        /// What was found elsewhere.
        what: &'static str,
        /// The device it must be on.
        expected: String,
        /// The device it is on.
        found: String,
    },
    /// The CUDA backend failed.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// Reading or writing failed.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// What was tried, such as "open" or "write".
        action: &'static str,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A file's content breaks the rules of its kind.
    #[error("{file}: {fault}")]
    File {
        /// The file.
        file: String,
        /// The rule and the values that break it.
        fault: Box<FileFault>,
    },
    /// Something went wrong with one tensor of a file.
    #[error("{file}: tensor {tensor}: {source}")]
    Tensor {
        /// The file that holds it.
        file: String,
        /// Its name there.
        tensor: String,
        /// What went wrong.
        source: Box<Error>,
    },
    /// A checkpoint does not hold what was asked for.
    #[error("{path}: no {what} named {name}")]
    NotFound {
        /// The checkpoint.
        path: String,
        /// What was looked for, such as "tensor".
        what: &'static str,
        /// The name asked for.
        name: String,
    },
    /// A directory without a model.
    #[error("{path}: holds neither model.safetensors nor model.safetensors.index.json")]
    NoModel {
        /// The directory.
        path: String,
    },
    /// The output is there already and overwriting was not asked for.
    #[error("{path}: exists already; remove it or allow overwriting")]
    OutputExists {
        /// The output.
        path: String,
    },
    /// An output that may not be written there, even when overwriting is allowed.
    #[error("{path}: cannot be the output: {rule}")]
    BadOutput {
        /// The output.
        path: String,
        /// The rule it breaks, with the other path.
        rule: String,
    },
    /// Quantizing what is quantized.
    #[error("{path}: {quantized} of {linears} linear layers are quantized already; dequantize the checkpoint first")]
    AlreadyQuantized {
        /// The checkpoint.
        path: String,
        /// Linear layers in a quantized format.
        quantized: usize,
        /// All linear layers.
        linears: usize,
    },
    /// No layer to convert.
    #[error("{path}: no linear layer to {action}: {rule}")]
    NothingToDo {
        /// The checkpoint.
        path: String,
        /// "quantize" or "dequantize".
        action: &'static str,
        /// What was looked at.
        rule: String,
    },
}

impl Error {
    /// [`Error::File`] from its parts.
    pub(crate) fn file(file: impl ToString, fault: FileFault) -> Self {
        Self::File { file: file.to_string(), fault: Box::new(fault) }
    }

    /// [`Error::Io`] from its parts.
    pub(crate) fn io(path: &std::path::Path, action: &'static str, source: std::io::Error) -> Self {
        Self::Io { path: path.display().to_string(), action, source }
    }

    /// [`Error::Tensor`] around this error.
    pub(crate) fn in_tensor(self, file: impl ToString, tensor: impl ToString) -> Self {
        Self::Tensor { file: file.to_string(), tensor: tensor.to_string(), source: Box::new(self) }
    }
}
