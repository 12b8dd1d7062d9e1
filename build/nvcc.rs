//! Finding an nvcc that works, and running it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use crate::source;
use crate::target;

/// An nvcc with its version and the host compiler that it uses.
pub struct Toolkit {
    nvcc: PathBuf,
    host_compiler: Vec<String>,
    host_env: Vec<(OsString, OsString)>,
    /// What `nvcc --version` prints.
    pub version_text: String,
    /// Major and minor version.
    pub version: (u32, u32),
    /// The numbers of the architectures that it compiles for.
    pub archs: Vec<u32>,
}

/// The first nvcc that compiles an empty kernel, or why there is none. `scratch` is a folder for that.
pub fn find(target_folder: &Path, scratch: &Path) -> Result<Toolkit, String> {
    for name in ["NVCC", "CUDA_HOME", "CUDA_PATH", "NVCC_CCBIN"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    target::watch_tools(target_folder);
    let mut reasons = Vec::new();
    for (origin, nvcc) in candidates(target_folder).into_iter().filter(|(_, nvcc)| nvcc.is_file()) {
        match try_toolkit(&nvcc, scratch) {
            Ok(toolkit) => {
                if origin == "PATH" {
                    println!("cargo::rerun-if-env-changed=PATH");
                }
                println!("cargo::rerun-if-changed={}", nvcc.display());
                return Ok(toolkit);
            }
            Err(reason) => reasons.push(reason),
        }
    }
    println!("cargo::rerun-if-env-changed=PATH");
    if reasons.is_empty() {
        reasons
            .push("no nvcc in NVCC, CUDA_HOME, CUDA_PATH, PATH, the usual folders or target/cuda-toolkit".to_string());
    }
    Err(reasons.join("; "))
}

fn candidates(target_folder: &Path) -> Vec<(&'static str, PathBuf)> {
    let exe = format!("nvcc{}", env::consts::EXE_SUFFIX);
    let mut found = Vec::new();
    found.extend(env::var_os("NVCC").map(|nvcc| ("NVCC", PathBuf::from(nvcc))));
    for name in ["CUDA_HOME", "CUDA_PATH"] {
        found.extend(env::var_os(name).map(|home| (name, Path::new(&home).join("bin").join(&exe))));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    found.extend(env::split_paths(&path).map(|folder| ("PATH", folder.join(&exe))));
    for home in ["/usr/local/cuda", "/opt/cuda"] {
        found.push(("a usual folder", Path::new(home).join("bin").join(&exe)));
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    found.extend([target_folder, &workspace].map(|t| ("target", t.join("cuda-toolkit/bin").join(&exe))));
    found
}

fn try_toolkit(nvcc: &Path, scratch: &Path) -> Result<Toolkit, String> {
    let (host_compiler, host_env) = host_compiler();
    let mut toolkit = Toolkit {
        nvcc: nvcc.to_path_buf(),
        host_compiler,
        host_env,
        version_text: String::new(),
        version: (0, 0),
        archs: Vec::new(),
    };
    toolkit.version_text = toolkit.run(&["--version"])?.stdout;
    toolkit.version =
        version(&toolkit.version_text).ok_or_else(|| format!("{}: --version names no release", nvcc.display()))?;
    let list = toolkit.run(&["--list-gpu-arch"])?.stdout;
    toolkit.archs = list.lines().filter_map(|line| line.trim().strip_prefix("compute_")?.parse().ok()).collect();
    if !toolkit.tool("fatbinary").is_file() {
        return Err(format!("{}: no fatbinary beside it", nvcc.display()));
    }
    let empty = scratch.join("empty.cu");
    fs::write(&empty, "extern \"C\" __global__ void empty() {}\n").map_err(|e| format!("{}: {e}", empty.display()))?;
    let ptx = empty.with_extension("ptx");
    toolkit.run(&["--ptx", "-o", &ptx.to_string_lossy(), &empty.to_string_lossy()])?;
    Ok(toolkit)
}

/// `-ccbin` and the compiler of the host, unless NVCC_CCBIN says another; and the environment it wants.
fn host_compiler() -> (Vec<String>, Vec<(OsString, OsString)>) {
    let host = env::var("HOST").unwrap_or_default();
    match cc::Build::new().cpp(true).host(&host).target(&host).try_get_compiler() {
        Ok(tool) if env::var_os("NVCC_CCBIN").is_none() => {
            let path = tool.path().to_string_lossy().into_owned();
            (vec!["-ccbin".to_string(), path], tool.get_envs().map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
        }
        _ => (Vec::new(), Vec::new()),
    }
}

/// Major and minor of `... release 13.0, V13.0.88`.
fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split("release ").nth(1)?.split(',').next()?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// What a run that succeeded printed.
pub struct Printed {
    /// On its standard output.
    pub stdout: String,
    /// On its standard error: warnings, and what `ptxas -v` says.
    pub stderr: String,
}

impl Toolkit {
    /// Runs nvcc.
    pub fn run(&self, arguments: &[&str]) -> Result<Printed, String> {
        let mut command = Command::new(&self.nvcc);
        command.args(&self.host_compiler).envs(self.host_env.iter().map(|(k, v)| (k, v))).args(arguments);
        output(&mut command)
    }

    /// Runs the fatbinary tool.
    pub fn fatbinary(&self, arguments: &[String]) -> Result<Printed, String> {
        output(Command::new(self.tool("fatbinary")).args(arguments))
    }

    /// The folder of the toolkit's programs.
    pub fn bin(&self) -> &Path {
        self.nvcc.parent().unwrap_or(Path::new(""))
    }

    fn tool(&self, name: &str) -> PathBuf {
        self.bin().join(format!("{name}{}", env::consts::EXE_SUFFIX))
    }

    /// Whether it compiles for `arch`.
    pub fn knows(&self, arch: &str) -> bool {
        self.archs.contains(&source::arch_number(arch))
    }
}

fn output(command: &mut Command) -> Result<Printed, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| format!("{program}: {e}"))?;
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if output.status.success() {
        Ok(Printed { stdout, stderr })
    } else {
        Err(format!("{program}: {}: {}{}", output.status, stderr.trim(), stdout.trim()))
    }
}
