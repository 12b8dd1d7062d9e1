//! `cuda/include/args.h`, the argument structs of the kernels, as Rust: `args.rs` in OUT_DIR, to be compared with the
//! committed `src/cuda/args.rs` or, where `LOWBIT_WRITE_ARGS` says so, to be written there (`make args`).

use std::env;
use std::fs;
use std::panic;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use crate::target;

const HEADER: &str = "cuda/include/args.h";

/// Writes `args.rs` and `args_check.rs`, where `REGENERATED` is its text or the reason why there is none. Without
/// libclang that is a warning, so that `--all-features` builds everywhere; with `LOWBIT_ARGS=require` it is an error.
pub fn generate() -> Result<(), String> {
    println!("cargo::rerun-if-changed={HEADER}");
    println!("cargo::rerun-if-env-changed=LOWBIT_ARGS");
    println!("cargo::rerun-if-env-changed=LOWBIT_WRITE_ARGS");
    println!("cargo::rerun-if-env-changed=LIBCLANG_PATH");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets no OUT_DIR")?);
    let write = |path: PathBuf, text: &str| fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()));
    let target_folder = target::folder(&out);
    target::watch_tools(&target_folder);
    use_installed_libclang(&target_folder);
    let check = match structs() {
        Ok(text) => {
            if let Some(path) = env::var_os("LOWBIT_WRITE_ARGS") {
                write(PathBuf::from(path), &text)?;
            }
            write(out.join("args.rs"), &text)?;
            "Ok(include_str!(concat!(env!(\"OUT_DIR\"), \"/args.rs\")))".to_string()
        }
        Err(reason) if env::var("LOWBIT_ARGS").is_ok_and(|v| v == "require") => {
            return Err(format!("LOWBIT_ARGS=require: {reason}"));
        }
        Err(reason) => {
            println!("cargo::warning=src/cuda/args.rs is not checked: {}", reason.replace('\n', " | "));
            format!("Err({reason:?})")
        }
    };
    let check = format!(
        "/// {HEADER} as Rust, or why it could not be made.\npub const REGENERATED: Result<&str, &str> = {check};\n"
    );
    write(out.join("args_check.rs"), &check)
}

/// Points bindgen to what `scripts/libclang` installed, unless LIBCLANG_PATH names another.
#[allow(unsafe_code)]
fn use_installed_libclang(target: &Path) {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let installed =
        [target, &workspace].map(|folder| folder.join("libclang")).into_iter().find(|folder| folder.is_dir());
    if let Some(folder) = installed.filter(|_| env::var_os("LIBCLANG_PATH").is_none()) {
        // SAFETY: the build script has one thread here.
        unsafe { env::set_var("LIBCLANG_PATH", folder) };
    }
}

/// The structs of args.h with asserts of their layout.
fn structs() -> Result<String, String> {
    let builder = bindgen::Builder::default()
        .header(HEADER)
        .clang_args(["-x", "c++", "-std=c++17"])
        .clang_args(compiler_headers())
        .allowlist_file(".*args\\.h")
        .disable_header_comment()
        .raw_line(format!("// Made by bindgen from {HEADER}; `make args` writes it."))
        .use_core()
        .default_enum_style(bindgen::EnumVariation::Consts)
        .layout_tests(true)
        .parse_callbacks(Box::new(PlainData))
        .formatter(bindgen::Formatter::Rustfmt)
        .rustfmt_configuration_file(Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("rustfmt.toml")));
    // Without libclang bindgen panics.
    let quiet = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let made = panic::catch_unwind(panic::AssertUnwindSafe(|| builder.generate()));
    panic::set_hook(quiet);
    let made = made.map_err(|cause| match cause.downcast::<String>() {
        Ok(message) => message.to_string(),
        Err(_) => "bindgen panicked".to_string(),
    })?;
    let text = made.map_err(|e| e.to_string())?.to_string();
    let lines = text.trim_end().lines();
    Ok(lines.map(|line| doc_comment(line).unwrap_or_else(|| line.replace(" :: ", "::")) + "\n").collect())
}

/// Has every struct derive `bytemuck::Pod`, which refuses padding.
#[derive(Debug)]
struct PlainData;

impl bindgen::callbacks::ParseCallbacks for PlainData {
    fn add_derives(&self, _: &bindgen::callbacks::DeriveInfo<'_>) -> Vec<String> {
        vec!["bytemuck::Pod".to_string(), "bytemuck::Zeroable".to_string()]
    }
}

/// `/// text` for `#[doc = " text"]`.
fn doc_comment(line: &str) -> Option<String> {
    let (indent, rest) = line.split_once("#[doc = \"")?;
    let text = rest.strip_suffix("\"]")?.trim_start_matches('<').replace("\\\"", "\"");
    Some(format!("{indent}///{text}"))
}

/// Where the C compiler has `stddef.h`: a libclang from PyPI brings none.
fn compiler_headers() -> Vec<String> {
    let output = Command::new("cc").arg("-print-file-name=include").output();
    let folder = output.ok().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string());
    folder.filter(|folder| folder.starts_with('/')).map_or(Vec::new(), |folder| vec!["-isystem".to_string(), folder])
}
