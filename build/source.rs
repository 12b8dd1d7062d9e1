//! What a `.cu` file says about itself: its architectures, the headers that it includes, a hash of all of that text.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// One `cuda/<stem>.cu`.
pub struct Source {
    /// The name of the kernel family.
    pub stem: String,
    /// Where it is.
    pub path: PathBuf,
    /// What goes into the fatbin: `80`, `90a`, ... as line 1 gives them.
    pub archs: Vec<String>,
    /// What is compiled for the tests only, from line 2.
    pub test_archs: Vec<String>,
    /// The text of the file and of all headers that it includes, transitively, hashed.
    pub hash: Hash,
}

/// All `.cu` files of `folder`, by name. Headers are looked up in `include`.
pub fn all(folder: &Path, include: &[&Path]) -> Result<Vec<Source>, String> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(|e| format!("{}: {e}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "cu"))
        .collect();
    paths.sort();
    paths.into_iter().map(|path| read(path, include)).collect()
}

fn read(path: PathBuf, include: &[&Path]) -> Result<Source, String> {
    let in_file = |e: String| format!("{}: {e}", path.display());
    let text = fs::read_to_string(&path).map_err(|e| in_file(e.to_string()))?;
    let (archs, test_archs) = architectures(&text).map_err(in_file)?;
    let stem =
        path.file_stem().and_then(|s| s.to_str()).ok_or_else(|| in_file("not a UTF-8 name".to_string()))?.to_string();
    let mut files = BTreeMap::new();
    closure(&path, &text, include, &mut files);
    let mut hash = Hash::new().with(text.as_bytes());
    for (name, text) in &files {
        hash = hash.with(name.as_bytes()).with(text.as_bytes());
    }
    Ok(Source { stem, path, archs, test_archs, hash })
}

/// The architectures for the fatbin (line 1, `// archs: 80 90a`) and those for the tests only (line 2, `// test archs: 90a`).
pub fn architectures(text: &str) -> Result<(Vec<String>, Vec<String>), String> {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let list =
        first.strip_prefix("// archs:").ok_or("line 1 is not `// archs: 80 ...`, the architectures to compile for")?;
    let archs = arch_list(list)?;
    if archs.is_empty() {
        return Err("line 1 names no architecture".to_string());
    }
    let test_archs =
        lines.next().and_then(|line| line.strip_prefix("// test archs:")).map_or(Ok(Vec::new()), arch_list)?;
    Ok((archs, test_archs))
}

/// `80 89,90a` as a list; each is a number with perhaps an `a` or `f` behind it.
pub fn arch_list(text: &str) -> Result<Vec<String>, String> {
    let is_arch = |s: &str| {
        let digits = s.strip_suffix(['a', 'f']).unwrap_or(s);
        digits.len() >= 2 && digits.bytes().all(|b| b.is_ascii_digit())
    };
    let split = text.split([' ', ',', ';', '\t', '\r']).filter(|s| !s.is_empty());
    split
        .map(|s| {
            is_arch(s).then(|| s.to_string()).ok_or_else(|| format!("`{s}` is not an architecture such as 80 or 90a"))
        })
        .collect()
}

/// The number of an architecture: 90 of `90a`.
pub fn arch_number(arch: &str) -> u32 {
    arch.trim_end_matches(['a', 'f']).parse().unwrap_or(0)
}

/// Adds the headers of `include` and of the file's own folder that `text` includes. Those of the toolkit are found in
/// neither and stand for themselves through the version of nvcc.
fn closure(path: &Path, text: &str, include: &[&Path], files: &mut BTreeMap<String, String>) {
    let own = path.parent().unwrap_or(Path::new("."));
    for name in text.lines().filter_map(included) {
        if files.contains_key(name) {
            continue;
        }
        let candidates = [own].into_iter().chain(include.iter().copied()).map(|folder| folder.join(name));
        let Some((header, text)) = candidates.into_iter().find_map(|p| fs::read_to_string(&p).ok().map(|t| (p, t)))
        else {
            continue;
        };
        files.insert(name.to_string(), text.clone());
        closure(&header, &text, include, files);
    }
}

/// The name in `#include "name"` or `#include <name>`.
pub fn included(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix('#')?.trim_start().strip_prefix("include")?.trim_start();
    let close = if rest.starts_with('"') { '"' } else { '>' };
    rest.strip_prefix(['"', '<'])?.split(close).next()
}

/// FNV-1a of 128 bits: the same on every machine and with every compiler, unlike the hashers of `std`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash(u128);

impl Hash {
    /// Of nothing.
    pub fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    /// With `bytes` and their number added.
    pub fn with(self, bytes: &[u8]) -> Self {
        let length = (bytes.len() as u64).to_le_bytes();
        let step = |state: u128, &byte: &u8| {
            (state ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        };
        Self(bytes.iter().chain(&length).fold(self.0, step))
    }

    /// As 32 hexadecimal digits.
    pub fn text(self) -> String {
        format!("{:032x}", self.0)
    }
}
