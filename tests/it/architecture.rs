//! The module graph of `src/` is a DAG, and unsafe code stays where it is allowed.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Modules that all may use.
const BASE: &[&str] = &["error", "shape", "strategy", "values"];

/// A module, and the modules besides itself and [`BASE`] that it may name with `crate::`.
const MAY_USE: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("shape", &[]),
    ("strategy", &[]),
    ("values", &[]),
    ("formats", &[]),
    ("reference", &["formats"]),
    ("checkpoint", &["formats"]),
    ("cpu", &["formats"]),
    ("layout", &["formats"]),
    ("cuda", &["layout", "formats"]),
    ("device", &["cpu", "cuda"]),
    ("tensor", &["device", "cuda"]),
    ("ops", &["device", "tensor", "cpu", "cuda", "layout", "formats"]),
    ("quantize", &["ops", "device", "formats"]),
    ("functional", &["ops", "device", "formats"]),
    ("layers", &["checkpoint", "ops", "tensor", "device", "formats"]),
    ("convert", &["checkpoint", "ops", "quantize", "device", "formats"]),
    ("bench", &["ops", "reference", "tensor", "device", "cpu", "cuda", "formats"]),
    (
        "cli",
        &["bench", "layers", "convert", "checkpoint", "quantize", "ops", "tensor", "device", "formats", "cpu", "cuda"],
    ),
];

/// Modules whose files may hold unsafe code.
const MAY_BE_UNSAFE: &[&str] = &["cpu", "cuda"];

/// Files that may name CPU intrinsics.
const INTRINSICS: &str = "cpu/arch/";

/// Files that may name cudarc and libloading: the conversions from and to a caller's memory besides the driver.
const DRIVER: &[&str] = &["cuda/", "device.rs", "tensor.rs"];

/// Every file of `src/` with its path from there and its text without comments.
fn sources() -> Vec<(String, String)> {
    fn walk(dir: &Path, root: &Path, out: &mut Vec<(String, String)>) {
        let mut entries: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                walk(&path, root, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                // Unit tests compare with `reference` from wherever they are.
                if path.file_stem().unwrap().to_string_lossy().ends_with("_tests") {
                    continue;
                }
                let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]").next().unwrap();
                let code = text.lines().map(|l| l.split("//").next().unwrap()).collect::<Vec<_>>().join("\n");
                out.push((name, code));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut out = Vec::new();
    walk(&root, &root, &mut out);
    out
}

fn module_of(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap()
}

/// The complaints about one file.
fn complaints(file: &str, code: &str) -> Vec<String> {
    let module = module_of(file);
    let Some((_, allowed)) = MAY_USE.iter().find(|(m, _)| *m == module) else {
        return vec![format!("{file}: add `{module}` to MAY_USE")];
    };
    let mut found = Vec::new();
    if code.contains("crate::{") {
        found.push(format!("{file}: one `use crate::x` per line"));
    }
    for used in code.split("crate::").skip(1) {
        let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if used != module && !BASE.contains(&used.as_str()) && !allowed.contains(&used.as_str()) {
            found.push(format!("{file}: `{module}` may not use `{used}`"));
        }
    }
    if code.contains("unsafe") && !MAY_BE_UNSAFE.contains(&module) {
        found.push(format!("{file}: unsafe code is not allowed here"));
    }
    let names_driver = code.contains("cudarc::") || code.contains("libloading");
    if names_driver && !DRIVER.iter().any(|allowed| file.starts_with(allowed)) {
        found.push(format!("{file}: cudarc and libloading belong in {}", DRIVER[0]));
    }
    if code.contains("std::arch") && !file.starts_with(INTRINSICS) {
        found.push(format!("{file}: intrinsics belong in {INTRINSICS}"));
    }
    found
}

#[test]
fn modules_only_name_the_layers_below_them() {
    let files = sources();
    assert!(files.len() > 20);
    let found: Vec<String> = files
        .iter()
        .filter(|(file, _)| file != "lib.rs" && !file.starts_with("bin/"))
        .flat_map(|(file, code)| complaints(file, code))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_rules_have_no_cycle() {
    // Depth-first: a module may not reach itself.
    fn reaches(from: &str, to: &str) -> bool {
        let uses = MAY_USE.iter().find(|(m, _)| *m == from).map_or(&[][..], |(_, uses)| uses);
        uses.iter().any(|&used| used == to || reaches(used, to))
    }
    for (module, _) in MAY_USE {
        assert!(!reaches(module, module), "{module} reaches itself");
    }
}

#[test]
fn a_planted_violation_is_found() {
    assert_eq!(complaints("formats/x.rs", "use crate::shape::MatShape;"), Vec::<String>::new());
    assert_eq!(complaints("formats/x.rs", "use crate::cpu::Isa;").len(), 1);
    assert_eq!(complaints("layers/x.rs", "unsafe { std::arch::x() }").len(), 2);
    assert_eq!(complaints("layers/x.rs", "use cudarc::driver::CudaSlice;").len(), 1);
    assert_eq!(complaints("cuda/real/x.rs", "use cudarc::driver::CudaSlice;"), Vec::<String>::new());
    assert_eq!(complaints("news.rs", "").len(), 1);
}
