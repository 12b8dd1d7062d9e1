//! What can go wrong between lowbit and a GPU.

/// A failure of the CUDA backend, each with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// The crate was built without its feature `cuda`.
    #[error("this build has no CUDA backend: build with the feature `cuda`")]
    NotBuilt,
    /// libcuda is not on this machine.
    #[error("no NVIDIA driver: libcuda could not be loaded; install the driver, or use Device::cpu()")]
    NoDriver,
    /// The driver sees no GPU.
    #[error("the NVIDIA driver sees no CUDA device; check nvidia-smi and CUDA_VISIBLE_DEVICES")]
    NoDevice,
    /// A device index that does not exist.
    #[error("there is no CUDA device {index}: the driver sees {count}, counted from 0")]
    NoSuchDevice {
        /// The index asked for.
        index: usize,
        /// How many devices there are.
        count: usize,
    },
    /// The driver is older than the kernels.
    #[error(
        "the NVIDIA driver supports CUDA {}, these kernels need {}: update the driver{}",
        version(*.found), version(*.need), release(*.need)
    )]
    DriverTooOld {
        /// The CUDA version of the driver: 1000 × major + 10 × minor.
        found: u32,
        /// The one needed.
        need: u32,
    },
    /// A device that no kernel of this crate can run on.
    #[error("{device} has compute capability {}.{}; the kernels need 8.0 or later", .capability / 10, .capability % 10)]
    DeviceTooOld {
        /// The device's name.
        device: String,
        /// 10 × major + minor.
        capability: u32,
    },
    /// The build holds no kernels.
    #[error("this build has no CUDA kernels: {why}")]
    NoKernels {
        /// Why, and how to get them.
        why: String,
    },
    /// No image of a kernel fits the device.
    #[error("kernel {kernel} has no image for {device} (sm_{capability}); this build has {built}")]
    NoImage {
        /// The kernel.
        kernel: &'static str,
        /// The device's name.
        device: String,
        /// 10 × major + minor.
        capability: u32,
        /// The architectures in the build.
        built: String,
    },
    /// Device memory is used up.
    #[error("out of memory on {device}: {bytes} bytes wanted, {free} free")]
    OutOfMemory {
        /// The device's name.
        device: String,
        /// How many bytes were asked for.
        bytes: usize,
        /// How many were free.
        free: usize,
    },
    /// Scratch memory would have to grow while a CUDA graph is being captured.
    #[error(
        "the workspace has {have} bytes and this call needs {need}, which cannot be allocated while a graph is captured: \
         run the call once before capturing"
    )]
    WorkspaceInCapture {
        /// Bytes there are.
        have: usize,
        /// Bytes needed.
        need: usize,
    },
    /// Something that cannot be part of a CUDA graph was asked for while one is being captured.
    #[error("{what} cannot be captured in a CUDA graph: do it before capturing")]
    InCapture {
        /// What was asked for.
        what: &'static str,
    },
    /// A kernel could not be launched.
    #[error("launching {kernel} (grid {grid:?}, {threads} threads, {shared_bytes} bytes of shared memory): {reason}")]
    Launch {
        /// The kernel.
        kernel: &'static str,
        /// Blocks in x, y and z.
        grid: [u32; 3],
        /// Threads per block.
        threads: u32,
        /// Dynamic shared memory.
        shared_bytes: u32,
        /// The driver's answer.
        reason: String,
    },
    /// Another call to the driver or to cuBLASLt failed.
    #[error("{call}: {reason}")]
    Call {
        /// The call.
        call: &'static str,
        /// The driver's answer: its name and number.
        reason: String,
    },
}

/// A CUDA version as people write it.
fn version(number: u32) -> String {
    format!("{}.{}", number / 1000, number % 1000 / 10)
}

/// The driver that brought a CUDA version, as its packages are numbered.
/// Source: CUDA Toolkit release notes, minimum driver for minor version compatibility.
fn release(number: u32) -> &'static str {
    match number {
        12_000 => " to 525 or later",
        13_000 => " to 580 or later",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_capabilities_are_spelled_out() {
        let old = CudaError::DriverTooOld { found: 12040, need: 13000 };
        assert!(
            old.to_string().contains("supports CUDA 12.4, these kernels need 13.0: update the driver to 580 or later"),
            "{old}"
        );
        let small = CudaError::DeviceTooOld { device: "T4".into(), capability: 75 };
        assert!(small.to_string().contains("capability 7.5"), "{small}");
    }
}
