//! The safetensors container: one file, read by position.
//!
//! ```text
//! bytes 0..8        N, the length of the header, u64 little endian
//! bytes 8..8+N      JSON: {"name": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}, ..., "__metadata__": {..}}
//! bytes 8+N..       the tensors' values, row-major, little endian; together they cover the section without gap or overlap
//! ```
//! [`parse_header`] checks every rule before anything is allocated for a tensor. Nothing here knows what tensors mean.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::MapAccess;
use serde::de::Visitor;
use serde_json::Value;

use super::StoredDtype;
use super::positioned;
use crate::error::Error;
use crate::error::FileFault;
use crate::error::Result;

/// The longest header that is read, in bytes: the limit of the official reader.
pub const MAX_HEADER_BYTES: u64 = 100_000_000;

/// One tensor as a header describes it. Its values are read through [`Checkpoint`](super::Checkpoint).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its full name, such as `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// The type of its elements.
    pub dtype: StoredDtype,
    /// Its sides; empty for a scalar.
    pub shape: Vec<usize>,
    /// Which of the checkpoint's files holds it.
    pub(super) file: usize,
    /// Where it begins in the data section.
    pub(super) begin: u64,
    /// Where it ends there.
    pub(super) end: u64,
}

impl TensorInfo {
    /// The length of its values in bytes.
    pub fn num_bytes(&self) -> u64 {
        self.end - self.begin
    }

    /// How many values it has.
    pub fn num_values(&self) -> u64 {
        self.num_bytes().saturating_mul(8) / self.dtype.bits()
    }
}

/// A file whose header has been read and checked.
#[derive(Debug)]
pub(super) struct SafetensorsFile {
    pub(super) path: PathBuf,
    file: File,
    data_start: u64,
}

impl SafetensorsFile {
    /// Opens `path`, reads its header and nothing else. The tensors come in the order of their data.
    pub(super) fn open(path: &Path, index: usize) -> Result<(Self, Vec<TensorInfo>)> {
        let file = File::open(path).map_err(|e| Error::io(path, "open", e))?;
        let metadata = file.metadata().map_err(|e| Error::io(path, "read the size", e))?;
        if metadata.is_dir() {
            return Err(Error::io(path, "open", std::io::ErrorKind::IsADirectory.into()));
        }
        let fault = |fault| Error::file(path.display(), fault);
        let header_bytes = header_length(path, &file, metadata.len())?;
        let mut header = vec![0; header_bytes as usize];
        positioned::read_exact_at(&file, &mut header, 8).map_err(|e| Error::io(path, "read the header", e))?;
        let data_start = 8 + header_bytes;
        let mut tensors = parse_header(&header, metadata.len() - data_start).map_err(fault)?;
        tensors.iter_mut().for_each(|tensor| tensor.file = index);
        Ok((Self { path: path.to_path_buf(), file, data_start }, tensors))
    }

    /// Fills `buffer` with the bytes of `tensor` from `offset` on.
    ///
    /// # Panics
    /// When `offset + buffer.len()` is beyond the tensor.
    pub(super) fn read_at(&self, tensor: &TensorInfo, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let begin = tensor.begin + offset;
        let end = begin + buffer.len() as u64;
        assert!(end <= tensor.end, "tensor {} has {} bytes", tensor.name, tensor.num_bytes());
        positioned::read_exact_at(&self.file, buffer, self.data_start + begin).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Error::file(self.path.display(), FileFault::Truncated { tensor: tensor.name.clone(), begin, end })
            }
            _ => Error::io(&self.path, "read", e).in_tensor(self.path.display(), &tensor.name),
        })
    }
}

fn header_length(path: &Path, file: &File, file_bytes: u64) -> Result<u64> {
    let fault = |fault| Err(Error::file(path.display(), fault));
    if file_bytes < 8 {
        return fault(FileFault::TooShort { file_bytes });
    }
    let mut length = [0; 8];
    positioned::read_exact_at(file, &mut length, 0).map_err(|e| Error::io(path, "read the header length", e))?;
    let header_bytes = u64::from_le_bytes(length);
    if header_bytes > file_bytes - 8 {
        return fault(FileFault::HeaderPastEnd { header_bytes, file_bytes });
    }
    if header_bytes > MAX_HEADER_BYTES {
        return fault(FileFault::HeaderTooLarge { header_bytes, limit_bytes: MAX_HEADER_BYTES });
    }
    Ok(header_bytes)
}

/// Checks a header against a data section of `data_bytes`; the tensors come in the order of their data.
///
/// # Errors
/// The [`FileFault`] of the first rule that is broken.
pub fn parse_header(header: &[u8], data_bytes: u64) -> Result<Vec<TensorInfo>, FileFault> {
    let text = std::str::from_utf8(header).map_err(|e| FileFault::HeaderNotUtf8 { offset: 8 + e.valid_up_to() })?;
    let Pairs(entries) = serde_json::from_str(text).map_err(|e| match e.is_data() {
        true => FileFault::HeaderNotObject { reason: e.to_string() },
        false => FileFault::HeaderNotJson { reason: e.to_string() },
    })?;
    let mut names = HashSet::with_capacity(entries.len());
    let mut tensors = Vec::with_capacity(entries.len());
    for (name, entry) in &entries {
        if !names.insert(name.as_str()) {
            return Err(FileFault::DuplicateTensor { tensor: name.clone() });
        }
        match name.as_str() {
            "__metadata__" => check_metadata(entry)?,
            _ => tensors.push(parse_entry(name, entry, data_bytes)?),
        }
    }
    tensors.sort_by(|a, b| (a.begin, a.end, &a.name).cmp(&(b.begin, b.end, &b.name)));
    check_coverage(&tensors, data_bytes)?;
    Ok(tensors)
}

fn check_metadata(metadata: &Value) -> Result<(), FileFault> {
    let bad = |found: String| Err(FileFault::BadMetadata { found });
    match metadata.as_object() {
        None => bad(kind(metadata)),
        Some(map) => match map.iter().find(|(_, value)| !value.is_string()) {
            Some((key, value)) => bad(format!("{} for {key:?}", kind(value))),
            None => Ok(()),
        },
    }
}

fn parse_entry(name: &str, entry: &Value, data_bytes: u64) -> Result<TensorInfo, FileFault> {
    let bad = |field, rule, found: Option<&Value>| FileFault::BadEntry {
        tensor: name.to_string(),
        field,
        rule,
        found: found.map_or_else(|| "nothing".to_string(), kind),
    };
    let object = entry.as_object().ok_or_else(|| bad("entry", "an object", Some(entry)))?;
    let get = |field| object.get(field);
    let dtype_name = get("dtype").and_then(Value::as_str).ok_or_else(|| bad("dtype", "a string", get("dtype")))?;
    let dtype = StoredDtype::from_name(dtype_name)
        .ok_or_else(|| FileFault::UnknownDtype { tensor: name.to_string(), dtype: shorten(dtype_name) })?;
    let sides = get("shape").and_then(Value::as_array).ok_or_else(|| bad("shape", "an array", get("shape")))?;
    let shape: Vec<usize> = sides
        .iter()
        .map(|side| side.as_u64().and_then(|side| usize::try_from(side).ok()))
        .collect::<Option<_>>()
        .ok_or_else(|| bad("shape", "non-negative 64-bit integers", get("shape")))?;
    let offsets: Option<Vec<u64>> =
        get("data_offsets").and_then(Value::as_array).and_then(|pair| pair.iter().map(Value::as_u64).collect());
    let Some(&[begin, end]) = offsets.as_deref() else {
        return Err(bad("data_offsets", "two non-negative 64-bit integers", get("data_offsets")));
    };
    let tensor = TensorInfo { name: name.to_string(), dtype, shape, file: 0, begin, end };
    check_extent(&tensor, data_bytes)?;
    Ok(tensor)
}

/// Offsets in order, inside the data section, and as far apart as dtype and shape demand.
fn check_extent(info: &TensorInfo, data_bytes: u64) -> Result<(), FileFault> {
    let TensorInfo { dtype, shape, begin, end, .. } = info;
    let (tensor, shape, begin, end) = (info.name.clone(), shape.clone(), *begin, *end);
    if begin > end {
        return Err(FileFault::OffsetsReversed { tensor, begin, end });
    }
    if end > data_bytes {
        return Err(FileFault::OffsetsPastEnd { tensor, begin, end, data_bytes });
    }
    let bits = shape.iter().try_fold(dtype.bits(), |product, &side| product.checked_mul(side as u64));
    let dtype = dtype.name();
    match bits {
        None => Err(FileFault::ShapeOverflow { tensor, dtype, shape }),
        Some(bits) if bits % 8 != 0 => Err(FileFault::PartialByte { tensor, dtype, shape, bits }),
        Some(bits) if bits / 8 != end - begin => {
            Err(FileFault::WrongSize { tensor, dtype, shape, expected: bits / 8, found: end - begin })
        }
        Some(_) => Ok(()),
    }
}

/// The tensors, sorted by offset, cover the data section exactly.
fn check_coverage(tensors: &[TensorInfo], data_bytes: u64) -> Result<(), FileFault> {
    let mut previous: Option<&TensorInfo> = None;
    for info in tensors {
        let (tensor, begin) = (info.name.clone(), info.begin);
        match previous {
            Some(other) if begin < other.end => {
                return Err(FileFault::Overlap { tensor, begin, other: other.name.clone(), other_end: other.end });
            }
            _ => {
                let previous_end = previous.map_or(0, |other| other.end);
                if begin > previous_end {
                    return Err(FileFault::Hole { tensor, begin, previous_end });
                }
            }
        }
        previous = Some(info);
    }
    let tensors_end = previous.map_or(0, |last| last.end);
    if tensors_end == data_bytes { Ok(()) } else { Err(FileFault::TrailingData { data_bytes, tensors_end }) }
}

/// What a JSON value is, short enough for a message.
pub(super) fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_string(),
        Value::Object(_) => "an object".to_string(),
        _ => shorten(&value.to_string()),
    }
}

/// At most 80 characters of a text that may be hostile.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

/// A JSON object in file order with repeated names kept: a map would hide them.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
