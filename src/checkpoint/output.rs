//! [`Output`]: a file or directory that appears whole or not at all.

use std::fs;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use serde_json::Value;

use super::store;
use crate::error::Error;
use crate::error::Result;

/// What an output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// One safetensors file.
    File,
    /// A model directory.
    Directory,
}

/// A file or directory under construction beside its target. [`Output::commit`] renames it into place; dropped before
/// that, it is removed and whatever was at the target is untouched.
#[derive(Debug)]
pub struct Output {
    target: PathBuf,
    temporary: PathBuf,
    kind: OutputKind,
    overwrite: bool,
    committed: bool,
}

impl Output {
    /// Begins an output at `target`. With `overwrite`, what is there is replaced on commit;
    /// a directory only if it is empty or holds a model. `input` is what is converted, if anything is.
    ///
    /// # Errors
    /// [`Error::OutputExists`], [`Error::BadOutput`] when replacing the target would harm the input or something that is
    /// not a model, [`Error::Io`] when nothing can be created beside it.
    pub fn create(target: &Path, kind: OutputKind, overwrite: bool, input: Option<&Path>) -> Result<Self> {
        let target = resolve(target)?;
        if let Some(input) = input {
            let input = fs::canonicalize(input).map_err(|e| Error::io(input, "find", e))?;
            check_distance(&target, &input)?;
        }
        check_existing(&target, kind, overwrite)?;
        let temporary = create_temporary(&target, kind)?;
        Ok(Self { target, temporary, kind, overwrite, committed: false })
    }

    /// Where the output will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Where it is until then.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// What it is.
    pub fn kind(&self) -> OutputKind {
        self.kind
    }

    /// Writes `value` with an indent of two spaces to the file `name` of an output directory.
    pub(super) fn write_json(&self, name: &str, value: &Value) -> Result<()> {
        self.write_file(name, &mut format!("{value:#}\n").as_bytes())
    }

    /// Writes all that `content` yields to the file `name` of an output directory.
    pub(super) fn write_file(&self, name: &str, content: &mut dyn std::io::Read) -> Result<()> {
        let io = |e| Error::io(&self.target.join(name), "write", e);
        let mut file = File::create_new(self.temporary.join(name)).map_err(io)?;
        std::io::copy(content, &mut file).and_then(|_| file.flush()).and_then(|()| file.sync_all()).map_err(io)
    }

    /// Puts the output in its place. What was there is moved aside first and removed last.
    ///
    /// # Errors
    /// [`Error::Io`] when a rename fails; what was there is then there again. [`Error::OutputExists`] when something
    /// appeared there meanwhile.
    pub fn commit(mut self) -> Result<()> {
        let io = |e| Error::io(&self.target, "rename the finished output to", e);
        check_existing(&self.target, self.kind, self.overwrite)?;
        if self.kind == OutputKind::Directory {
            sync_directory(&self.temporary);
        }
        if self.kind == OutputKind::File || fs::symlink_metadata(&self.target).is_err() {
            // Renaming replaces a file in one step.
            fs::rename(&self.temporary, &self.target).map_err(io)?;
        } else {
            let aside = free_name(&self.target, "old");
            fs::rename(&self.target, &aside).map_err(io)?;
            if let Err(error) = fs::rename(&self.temporary, &self.target) {
                let restored = fs::rename(&aside, &self.target);
                return Err(
                    restored.map_or_else(|e| Error::io(&aside, "move back the old output from", e), |()| io(error))
                );
            }
            remove(&aside).map_err(|e| Error::io(&aside, "remove the old output", e))?;
        }
        self.committed = true;
        self.target.parent().map(sync_directory);
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.committed {
            // There is no one to tell; what is left is a hidden file beside the target.
            let _ = remove(&self.temporary);
        }
    }
}

/// The absolute path of `target`, whose parent must exist.
fn resolve(target: &Path) -> Result<PathBuf> {
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let parent = fs::canonicalize(parent).map_err(|e| Error::io(parent, "find the directory for the output", e))?;
    match target.file_name() {
        Some(name) => Ok(parent.join(name)),
        None => Err(bad(target, "it has no name of its own".to_string())),
    }
}

fn bad(path: &Path, rule: String) -> Error {
    Error::BadOutput { path: path.display().to_string(), rule }
}

/// Input and output must not contain each other.
fn check_distance(target: &Path, input: &Path) -> Result<()> {
    let real = fs::canonicalize(target).unwrap_or_else(|_| target.to_path_buf());
    let input_name = input.display();
    if real == input {
        return Err(bad(target, format!("it is the input {input_name}")));
    }
    if real.starts_with(input) || target.starts_with(input) {
        return Err(bad(target, format!("it lies inside the input {input_name}")));
    }
    if input.starts_with(&real) || input.starts_with(target) {
        return Err(bad(target, format!("the input {input_name} lies inside it")));
    }
    Ok(())
}

fn check_existing(target: &Path, kind: OutputKind, overwrite: bool) -> Result<()> {
    let Ok(metadata) = fs::symlink_metadata(target) else { return Ok(()) };
    if !overwrite {
        return Err(Error::OutputExists { path: target.display().to_string() });
    }
    let existing_directory = fs::metadata(target).map_or(metadata.is_dir(), |followed| followed.is_dir());
    match (existing_directory, kind) {
        (false, OutputKind::File) => Ok(()),
        (true, OutputKind::File) => Err(bad(target, "it is a directory, and a file is to be written".to_string())),
        (false, OutputKind::Directory) => {
            Err(bad(target, "it is a file, and a directory is to be written".to_string()))
        }
        (true, OutputKind::Directory) if is_replaceable(target) => Ok(()),
        (true, OutputKind::Directory) => {
            Err(bad(target, "it is a directory with something else than a model in it".to_string()))
        }
    }
}

/// Whether a directory may be replaced: it is empty or it holds a model and no directories.
fn is_replaceable(directory: &Path) -> bool {
    let Ok(entries) = fs::read_dir(directory) else { return false };
    let entries: Vec<_> = entries.flatten().collect();
    let has_model = [store::SINGLE_FILE, store::INDEX_FILE].iter().any(|name| directory.join(name).is_file());
    let has_directories = entries.iter().any(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    entries.is_empty() || (has_model && !has_directories)
}

/// A hidden name beside `target` that nothing has.
fn free_name(target: &Path, purpose: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let process = std::process::id();
    (0u32..)
        .map(|i| target.with_file_name(format!(".{name}.{process}-{i}.{purpose}")))
        .find(|path| fs::symlink_metadata(path).is_err())
        .unwrap_or_else(|| target.with_file_name(format!(".{name}.{purpose}")))
}

fn create_temporary(target: &Path, kind: OutputKind) -> Result<PathBuf> {
    let path = free_name(target, "tmp");
    let created = match kind {
        OutputKind::Directory => fs::create_dir(&path),
        OutputKind::File => File::create_new(&path).map(drop),
    };
    created.map_err(|e| Error::io(&path, "create", e))?;
    Ok(path)
}

/// Makes renames in `directory` durable where the system can; a failure does not make the output wrong.
fn sync_directory(directory: &Path) {
    if let Ok(directory) = File::open(directory) {
        let _ = directory.sync_all();
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}
