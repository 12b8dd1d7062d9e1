//! [`FileFault`]: each way in which a checkpoint's files can be wrong.

/// What is wrong with a file's content. [`Error::File`](crate::Error::File) adds which file it is.
///
/// Offsets are bytes from the start of the file's data section, `begin` inclusive and `end` exclusive.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message of each case names its fields")]
pub enum FileFault {
    /// Not even the length of a header.
    #[error("is {file_bytes} bytes long; a safetensors file begins with 8 bytes of header length")]
    TooShort { file_bytes: u64 },
    /// The header would end after the file.
    #[error("header length {header_bytes} runs past the end of the file, which has {file_bytes} bytes")]
    HeaderPastEnd { header_bytes: u64, file_bytes: u64 },
    /// A header that no reader accepts.
    #[error("header length {header_bytes} is above the limit of {limit_bytes} bytes")]
    HeaderTooLarge { header_bytes: u64, limit_bytes: u64 },
    /// The header is not text.
    #[error("header is not UTF-8: invalid byte at {offset}")]
    HeaderNotUtf8 { offset: usize },
    /// The header is not JSON.
    #[error("header is not JSON: {reason}")]
    HeaderNotJson { reason: String },
    /// The header is JSON of another kind.
    #[error("header is not a JSON object: {reason}")]
    HeaderNotObject { reason: String },
    /// One name, two entries.
    #[error("header has two entries named {tensor}")]
    DuplicateTensor { tensor: String },
    /// An entry lacks a field or has one of the wrong kind.
    #[error("tensor {tensor}: {field} must be {rule}, found {found}")]
    BadEntry { tensor: String, field: &'static str, rule: &'static str, found: String },
    /// A dtype that the format does not have.
    #[error("tensor {tensor}: unknown dtype {dtype:?}")]
    UnknownDtype { tensor: String, dtype: String },
    /// The tensor's size does not fit 64 bits.
    #[error("tensor {tensor}: {dtype} of shape {shape:?} has more bytes than 64 bits can count")]
    ShapeOverflow { tensor: String, dtype: &'static str, shape: Vec<usize> },
    /// Sub-byte values that do not fill their last byte.
    #[error("tensor {tensor}: {dtype} of shape {shape:?} is {bits} bits, not whole bytes")]
    PartialByte { tensor: String, dtype: &'static str, shape: Vec<usize>, bits: u64 },
    /// The end lies before the beginning.
    #[error("tensor {tensor}: data offsets [{begin}, {end}] are reversed")]
    OffsetsReversed { tensor: String, begin: u64, end: u64 },
    /// The tensor reaches beyond the data section.
    #[error("tensor {tensor}: data offsets [{begin}, {end}] run past the data section of {data_bytes} bytes")]
    OffsetsPastEnd { tensor: String, begin: u64, end: u64, data_bytes: u64 },
    /// The length is not that of the shape.
    #[error("tensor {tensor}: data offsets hold {found} bytes, but {dtype} of shape {shape:?} has {expected}")]
    WrongSize { tensor: String, dtype: &'static str, shape: Vec<usize>, expected: u64, found: u64 },
    /// Two tensors share bytes.
    #[error("tensor {tensor} begins at {begin}, before tensor {other} ends at {other_end}")]
    Overlap { tensor: String, begin: u64, other: String, other_end: u64 },
    /// Bytes between tensors that belong to none.
    #[error("tensor {tensor} begins at {begin}, but the data before it ends at {previous_end}")]
    Hole { tensor: String, begin: u64, previous_end: u64 },
    /// Bytes after the last tensor.
    #[error("data section has {data_bytes} bytes, but the tensors end at {tensors_end}")]
    TrailingData { data_bytes: u64, tensors_end: u64 },
    /// Metadata is text by text.
    #[error("__metadata__ must map strings to strings, found {found}")]
    BadMetadata { found: String },
    /// The file was cut after it was opened.
    #[error("tensor {tensor}: bytes {begin} to {end} are missing: the file became shorter after it was opened")]
    Truncated { tensor: String, begin: u64, end: u64 },
    /// `model.safetensors.index.json` or `config.json` is not JSON.
    #[error("is not JSON: {reason}")]
    NotJson { reason: String },
    /// `model.safetensors.index.json` or `config.json` lacks something.
    #[error("{field} must be {rule}, found {found}")]
    BadJson { field: String, rule: &'static str, found: String },
    /// The index names a file that is not there.
    #[error("names shard {shard}, which is not in the directory (of tensor {tensor})")]
    MissingShard { shard: String, tensor: String },
    /// The index maps a tensor to a file that does not hold it.
    #[error("maps tensor {tensor} to shard {shard}, which does not hold it")]
    NotInShard { tensor: String, shard: String },
    /// A file name that leads elsewhere.
    #[error("maps tensor {tensor} to {shard:?}; a shard must be a plain file name in the same directory")]
    ShardOutside { tensor: String, shard: String },
    /// One name in two shards.
    #[error("tensor {tensor} is in two shards, {first} and {second}")]
    InTwoShards { tensor: String, first: String, second: String },
    /// A quantized weight lacks one of its tensors.
    #[error("tensor {tensor} is missing: {rule}")]
    MissingCompanion { tensor: String, rule: String },
    /// A tensor of a quantized weight has another dtype or size.
    #[error("tensor {tensor}: expected {expected}, found {found} ({rule})")]
    WrongCompanion { tensor: String, expected: String, found: String, rule: String },
    /// The JSON text that describes a quantized weight is wrong.
    #[error("tensor {tensor}: quant state {field} must be {rule}, found {found}")]
    BadQuantState { tensor: String, field: &'static str, rule: String, found: String },
    /// A quantized weight of a kind that lowbit does not read.
    #[error("tensor {tensor}: {what} is not supported: {rule}")]
    Unsupported { tensor: String, what: String, rule: &'static str },
}
