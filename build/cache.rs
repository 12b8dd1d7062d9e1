//! Compiled kernels, kept below the target folder: one folder an architecture of a `.cu`, named for a hash of all that
//! went into it. Every profile and feature set shares them, and two cargo processes may compile at once.

use std::env;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process;

/// The folder `<target>/lowbit-kernels/<name>`, which `fill` fills if it is not there.
pub fn folder(target: &Path, name: &str, fill: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let root = target.join("lowbit-kernels");
    let entry = root.join(name);
    if entry.is_dir() {
        return Ok(entry);
    }
    let unfinished = root.join(format!(".{name}-{}", process::id()));
    let failed = |e: std::io::Error| format!("{}: {e}", unfinished.display());
    fs::create_dir_all(&unfinished).map_err(failed)?;
    let outcome = fill(&unfinished).and_then(|()| match fs::rename(&unfinished, &entry) {
        // Another process was faster: what it made is the same.
        Err(_) if entry.is_dir() => Ok(()),
        renamed => renamed.map_err(failed),
    });
    // Gone after the rename; a rest of a failure must not stay.
    let _ = fs::remove_dir_all(&unfinished);
    outcome.map(|()| entry)
}

/// An environment variable that the build reads; cargo runs the build script again when it changes.
pub fn variable(name: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={name}");
    env::var(name).ok().filter(|value| !value.is_empty())
}
