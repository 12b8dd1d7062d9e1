//! The target folder, where the build keeps what outlives one run of the build script.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// The target folder: the nearest one above OUT_DIR that cargo marked as a cache. One that was there before cargo, as after
/// `scripts/cuda-toolkit` in a fresh clone, has no mark: then the folder above that of the profile, or OUT_DIR itself.
pub fn folder(out: &Path) -> PathBuf {
    let marked = out.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let above_profile = || out.ancestors().find(|folder| folder.ends_with("build"))?.parent()?.parent();
    marked.or_else(above_profile).unwrap_or(out).to_path_buf()
}

/// Has cargo run the build script again when one of `scripts/` has installed a tool: they touch this file. A path that does
/// not exist must not be watched: cargo would run the build script every time.
pub fn watch_tools(target: &Path) {
    let stamp = target.join("tools.stamp");
    if stamp.exists() || fs::write(&stamp, "").is_ok() {
        println!("cargo::rerun-if-changed={}", stamp.display());
    }
}
