//! The Rust text that the build leaves in OUT_DIR: `fatbins.rs` for the crate, `ptx.rs` for its tests.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// One multi-architecture file of a kernel family.
pub struct Fatbin {
    /// The name of the kernel family.
    pub stem: String,
    /// Architectures whose machine code is in it, ascending.
    pub archs: Vec<String>,
    /// The architecture whose PTX is in it.
    pub ptx: String,
    /// Of the text that it was compiled from.
    pub source_hash: String,
    /// The file.
    pub path: PathBuf,
}

/// One kernel family for one architecture.
pub struct Compiled {
    /// The name of the kernel family.
    pub stem: String,
    /// `80`, `90a`, ...
    pub arch: String,
    /// The file with its PTX.
    pub ptx: PathBuf,
    /// The file with its machine code.
    pub cubin: PathBuf,
    /// The file with what the compilers said.
    pub log: PathBuf,
}

/// What this build has of kernels.
pub struct Outcome {
    /// Why there are none.
    pub missing: Option<String>,
    /// Version of the toolkit that compiled them; zeros without kernels.
    pub toolkit: (u32, u32),
    /// The folder of its programs.
    pub toolkit_bin: Option<PathBuf>,
    /// For the crate.
    pub fatbins: Vec<Fatbin>,
    /// For the tests; empty when the fatbins were compiled elsewhere.
    pub compiled: Vec<Compiled>,
}

impl Outcome {
    /// No kernels, and why.
    pub fn missing(reason: &str) -> Self {
        Self {
            missing: Some(reason.to_string()),
            toolkit: (0, 0),
            toolkit_bin: None,
            fatbins: Vec::new(),
            compiled: Vec::new(),
        }
    }
}

/// Writes `fatbins.rs` and `ptx.rs`.
pub fn write_rust(out: &Path, outcome: &Outcome, required: bool) -> Result<(), String> {
    write(&out.join("fatbins.rs"), &fatbins(outcome))?;
    write(&out.join("ptx.rs"), &tests(outcome, required))
}

/// `Fatbin` and `Aligned` are types of the file that includes this one.
fn fatbins(outcome: &Outcome) -> String {
    let mut text = String::from("/// The kernels in this build, one fatbin for each file of `cuda/`.\n");
    text += "pub static FATBINS: &[Fatbin] = &[\n";
    for Fatbin { stem, archs, ptx, path, .. } in &outcome.fatbins {
        let image = format!("{{ static IMAGE: &Aligned<[u8]> = &Aligned(*include_bytes!({path:?})); &IMAGE.0 }}");
        writeln!(text, "    Fatbin {{ stem: {stem:?}, archs: &{archs:?}, ptx: {ptx:?}, image: {image} }},").unwrap();
    }
    text += "];\n";
    writeln!(text, "/// Major and minor version of the CUDA toolkit that compiled them; zeros without kernels.")
        .unwrap();
    writeln!(text, "pub const TOOLKIT: (u32, u32) = {:?};", outcome.toolkit).unwrap();
    writeln!(text, "/// Why this build has no kernels.").unwrap();
    writeln!(text, "pub const MISSING: Option<&str> = {:?};", outcome.missing).unwrap();
    text
}

fn tests(outcome: &Outcome, required: bool) -> String {
    let mut text = String::from("/// Kernel family, architecture, PTX.\npub static PTX: &[(&str, &str, &str)] = &[\n");
    for Compiled { stem, arch, ptx, .. } in &outcome.compiled {
        writeln!(text, "    ({stem:?}, {arch:?}, include_str!({ptx:?})),").unwrap();
    }
    text += "];\n/// Kernel family, architecture, path of the cubin, what the compilers said.\n";
    text += "pub static CUBINS: &[(&str, &str, &str, &str)] = &[\n";
    for Compiled { stem, arch, cubin, log, .. } in &outcome.compiled {
        writeln!(text, "    ({stem:?}, {arch:?}, {cubin:?}, include_str!({log:?})),").unwrap();
    }
    let bytes = outcome.fatbins.iter().filter_map(|f| fs::metadata(&f.path).ok()).map(|m| m.len()).sum::<u64>();
    let toolkit_bin = outcome.toolkit_bin.as_ref().map(|bin| bin.display().to_string());
    let reason =
        outcome.missing.as_deref().or(outcome.compiled.is_empty().then_some("the kernels were compiled elsewhere"));
    writeln!(
        text,
        "];\n/// The folder of the toolkit's programs.\npub const TOOLKIT_BIN: Option<&str> = {toolkit_bin:?};"
    )
    .unwrap();
    writeln!(text, "/// Size of all fatbins together.\npub static FATBIN_BYTES: u64 = {bytes};").unwrap();
    writeln!(text, "/// Why the lists are empty.\npub const NO_PTX: Option<&str> = {reason:?};").unwrap();
    writeln!(
        text,
        "/// Whether the build was told that kernels must be there.\npub static REQUIRED: bool = {required};"
    )
    .unwrap();
    text
}

/// Writes a file, naming it when that fails.
pub fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}
