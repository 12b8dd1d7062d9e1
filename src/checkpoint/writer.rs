//! Streaming safetensors out: the tensors may come in any order and in pieces, the bytes of the files do not depend on it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fs::File;
use std::fs::OpenOptions;
use std::path::Path;
use std::path::PathBuf;

use serde_json::json;

use super::encoding;
use super::layout;
use super::layout::Placed;
use super::layout::TensorSpec;
use super::layout::Unit;
use super::output::Output;
use super::output::OutputKind;
use super::positioned;
use super::store;
use crate::error::Error;
use crate::error::Result;
use crate::formats::QuantMatrix;

/// A tensor's name and its bytes.
pub(super) type Encoded<'a> = (String, Cow<'a, [u8]>);

/// One file being written. Its header is written last, into room that was left for it.
struct ShardWriter {
    file: File,
    /// The path that the file will have, for messages.
    path: PathBuf,
    header_bytes: u64,
    tensors: Vec<Placed>,
    index_by_name: HashMap<String, usize>,
    written: Vec<u64>,
    late_bytes: HashMap<usize, Vec<u8>>,
}

impl ShardWriter {
    fn create(temporary: &Path, path: PathBuf, mut specs: Vec<TensorSpec>) -> Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(temporary);
        let file = file.map_err(|e| Error::io(&path, "create", e))?;
        layout::sort_for_alignment(&mut specs);
        let tensors = layout::place(specs);
        // Offsets only shrink when late tensors turn out shorter, and so does their text.
        let header_bytes = (layout::header_text(&tensors).len() as u64).next_multiple_of(8);
        let index_by_name = tensors.iter().enumerate().map(|(i, tensor)| (tensor.spec.name.clone(), i)).collect();
        let written = vec![0; tensors.len()];
        Ok(Self { file, path, header_bytes, tensors, index_by_name, written, late_bytes: HashMap::new() })
    }

    fn write_all(&self, bytes: &[u8], position: u64) -> Result<()> {
        positioned::write_all_at(&self.file, bytes, position).map_err(|e| Error::io(&self.path, "write", e))
    }

    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Result<()> {
        let index = *self.index_by_name.get(name).ok_or_else(|| unplanned(&self.path, name))?;
        let Placed { spec, begin, end } = &self.tensors[index];
        let (expected, found) = (end - begin, offset + bytes.len() as u64);
        if found > expected || (!spec.late && bytes.len() as u64 > expected - self.written[index]) {
            return Err(wrong_length(expected, found, name));
        }
        if spec.late {
            self.late_bytes.insert(index, bytes.to_vec());
        } else {
            self.write_all(bytes, 8 + self.header_bytes + begin + offset)?;
        }
        self.written[index] += bytes.len() as u64;
        Ok(())
    }

    /// Writes the late tensors and the header, and waits until all is on the disk. Returns the bytes of all tensors.
    fn finish(mut self) -> Result<u64> {
        let mut position = 0;
        for index in 0..self.tensors.len() {
            if let Some(bytes) = self.late_bytes.remove(&index) {
                self.tensors[index].spec.shape = vec![bytes.len()];
                (self.tensors[index].begin, self.tensors[index].end) = (position, position + bytes.len() as u64);
                self.write_all(&bytes, 8 + self.header_bytes + position)?;
            }
            let Placed { spec, begin, end } = &self.tensors[index];
            if self.written[index] != end - begin {
                return Err(wrong_length(end - begin, self.written[index], &spec.name));
            }
            position = *end;
        }
        let mut header = layout::header_text(&self.tensors).into_bytes();
        header.resize(self.header_bytes as usize, b' ');
        self.write_all(&self.header_bytes.to_le_bytes(), 0)?;
        self.write_all(&header, 8)?;
        self.file.sync_all().map_err(|e| Error::io(&self.path, "write", e))?;
        Ok(position)
    }
}

fn unplanned(path: &Path, name: &str) -> Error {
    Error::NotFound { path: path.display().to_string(), what: "planned tensor", name: name.to_string() }
}

fn wrong_length(expected: u64, found: u64, name: &str) -> Error {
    let rule = format!("bytes of {name}, as planned");
    Error::Length { what: "tensor", expected: expected as usize, found: found as usize, rule }
}

/// Writes a safetensors file, or the shards and the index of a model directory.
///
/// Tensors come in the order of the units given to [`ModelWriter::new`]; within a unit in any order. Nothing is at the
/// target before [`ModelWriter::finish`]; a writer that is dropped before leaves nothing behind.
pub struct ModelWriter {
    /// The shards that are not begun yet, the next one last.
    waiting: Vec<(String, Vec<TensorSpec>)>,
    current: Option<ShardWriter>,
    weight_map: BTreeMap<String, String>,
    total_bytes: u64,
    /// Dropped last: some systems do not remove a file that is open.
    output: Output,
}

impl ModelWriter {
    /// Plans the shards, none above `max_shard_bytes` unless a single unit is larger; a single-file output is one shard.
    pub fn new(output: Output, units: &[Unit], max_shard_bytes: u64) -> Self {
        let limit = match output.kind() {
            OutputKind::Directory => max_shard_bytes,
            OutputKind::File => u64::MAX,
        };
        let shards = layout::assign_shards(units, limit);
        let count = shards.len();
        let file_name = |i: usize| match count {
            1 => store::SINGLE_FILE.to_string(),
            _ => format!("model-{:05}-of-{count:05}.safetensors", i + 1),
        };
        let mut waiting: Vec<_> = shards.into_iter().enumerate().map(|(i, specs)| (file_name(i), specs)).collect();
        let weight_map = waiting
            .iter()
            .flat_map(|(file, specs)| specs.iter().map(move |spec| (spec.name.clone(), file.clone())))
            .collect();
        waiting.reverse();
        Self { output, waiting, current: None, weight_map, total_bytes: 0 }
    }

    /// Writes a whole tensor.
    ///
    /// # Errors
    /// Those of [`ModelWriter::write_at`].
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.write_at(name, 0, bytes)
    }

    /// Writes a piece of a tensor, which begins `offset` bytes into it.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses, [`Error::NotFound`] for a tensor that was not planned or whose shard is
    /// finished, [`Error::Length`] for more bytes than planned.
    pub fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Result<()> {
        loop {
            if let Some(shard) = self.current.as_mut().filter(|shard| shard.index_by_name.contains_key(name)) {
                return shard.write(name, offset, bytes);
            }
            if !self.next_shard()? {
                return Err(unplanned(self.output.target(), name));
            }
        }
    }

    /// Writes all tensors of the quantized weight of `module`, planned by [`plan_matrix`](super::plan_matrix) or
    /// [`plan_format`](super::plan_format).
    ///
    /// # Errors
    /// Those of [`ModelWriter::write_at`].
    pub fn write_matrix(&mut self, module: &str, matrix: &QuantMatrix) -> Result<()> {
        encoding::encode(module, matrix).iter().try_for_each(|(name, bytes)| self.write(name, bytes))
    }

    /// Finishes the current shard and begins the next; `false` when there is none.
    fn next_shard(&mut self) -> Result<bool> {
        if let Some(shard) = self.current.take() {
            self.total_bytes += shard.finish()?;
        }
        let Some((file, specs)) = self.waiting.pop() else { return Ok(false) };
        let (temporary, path) = match self.output.kind() {
            OutputKind::Directory => (self.output.temporary().join(&file), self.output.target().join(&file)),
            OutputKind::File => (self.output.temporary().to_path_buf(), self.output.target().to_path_buf()),
        };
        self.current = Some(ShardWriter::create(&temporary, path, specs)?);
        Ok(true)
    }

    /// Completes the files and the index, and hands the output back; [`Output::commit`] then puts it in its place.
    /// The second value is the bytes of all tensors.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses, [`Error::Length`] when a tensor is not complete.
    pub fn finish(mut self) -> Result<(Output, u64)> {
        while self.next_shard()? {}
        let is_sharded = self.weight_map.values().any(|file| file != store::SINGLE_FILE);
        if is_sharded {
            let index = json!({"metadata": {"total_size": self.total_bytes}, "weight_map": self.weight_map});
            self.output.write_json(store::INDEX_FILE, &index)?;
        }
        Ok((self.output, self.total_bytes))
    }
}
