//! The one error type. Each case carries what was expected and what came.

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
        device: &'static str,
        /// The rule, with what to do instead.
        rule: String,
    },
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
}
