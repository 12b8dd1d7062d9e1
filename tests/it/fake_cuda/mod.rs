//! Processes that find a libcuda without a GPU: `libcuda.c` says what it does.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::Output;

use tempfile::TempDir;

/// Compiles the C text with the system's compiler, which Rust needs too, to a library named `file`.
pub fn library(folder: &Path, file: &str, text: &str) {
    let source = folder.join(format!("{file}.c"));
    fs::write(&source, text).unwrap();
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(folder.join(file))
        .arg(&source)
        .output()
        .expect("cc, which links Rust programs, compiles C");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A folder with the driver.
pub fn driver() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    library(folder.path(), "libcuda.so.1", include_str!("libcuda.c"));
    folder
}

/// Runs `program` with the libraries of `folder` before the system's, and none of our variables but `settings`.
pub fn run(program: &Path, args: &[&str], folder: &Path, settings: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program);
    command.args(args).env("LD_LIBRARY_PATH", folder);
    for name in ["LOWBIT_CUBLASLT", "REQUIRE_CUDA", "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "CUDA_PATH"] {
        command.env_remove(name);
    }
    command.env("FAKE_CUDA", "1").envs(settings.iter().copied()).output().unwrap()
}

/// Runs one ignored test of this executable that way and gives what it printed, once it has passed.
pub fn run_test(name: &str, folder: &Path, settings: &[(&str, &str)]) -> String {
    let program = std::env::current_exe().unwrap();
    let output = run(&program, &["--ignored", "--exact", "--nocapture", name], folder, settings);
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{name} with {settings:?}:\n{text}");
    text
}

/// Whether this process is one of those: the ignored tests do nothing elsewhere.
pub fn is_child() -> bool {
    std::env::var_os("FAKE_CUDA").is_some()
}
