//! Where and how something was measured: what every number needs beside it.

use crate::cuda::Inventory;
use crate::device::Device;

/// The machine and the command.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The processor's own name.
    pub cpu: String,
    /// Threads that compute on the CPU.
    pub threads: usize,
    /// What was measured.
    pub device: String,
    /// The CUDA version of the NVIDIA driver, of a GPU.
    pub driver: Option<String>,
    /// The version of cuBLASLt, of a GPU where it is installed.
    pub cublaslt: Option<String>,
    /// The command line.
    pub command: String,
}

impl Machine {
    /// This one, with `device`.
    pub fn of(device: &Device) -> Self {
        let (mut driver, mut cublaslt) = (None, None);
        if matches!(device, Device::Cuda(_)) {
            let inventory = Inventory::take();
            driver = inventory.driver.as_ref().ok().map(|&version| crate::cli::devices::cuda_version(version));
            let library = inventory.dense.ok().flatten();
            cublaslt = library.map(|library| crate::cli::devices::dense_version(library.version));
        }
        let command: Vec<String> =
            std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
        Self {
            cpu: cpu_name(),
            threads: rayon::current_num_threads(),
            device: device.name().into(),
            driver,
            cublaslt,
            command: format!("lowbit {}", command.join(" ")),
        }
    }
}

/// As Linux tells it; the architecture elsewhere.
fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    name.unwrap_or(std::env::consts::ARCH).trim().to_string()
}
