//! The kernels in this build: one multi-architecture image for each file of `cuda/`, embedded by `build.rs`.

#[cfg(feature = "cuda")]
use crate::error::CudaError;

/// One file of `cuda/`, compiled.
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "only the driver reads it"))]
pub struct Fatbin {
    /// The name of the file, without `.cu`.
    pub stem: &'static str,
    /// Architectures whose machine code is in it, ascending: `80`, `90a`, ...
    pub archs: &'static [&'static str],
    /// The architecture whose PTX is in it, for devices that the machine code does not fit.
    pub ptx: &'static str,
    /// The image that the driver loads.
    pub image: &'static [u8],
}

/// An image aligned as the driver reads it.
#[repr(C, align(16))]
#[allow(dead_code, reason = "a build without kernels has no image")]
struct Aligned<T: ?Sized>(T);

#[cfg(feature = "cuda")]
include!(concat!(env!("OUT_DIR"), "/fatbins.rs"));

/// The kernels in this build.
#[cfg(not(feature = "cuda"))]
pub static FATBINS: &[Fatbin] = &[];
/// Major and minor version of the CUDA toolkit that compiled them; zeros without kernels.
#[cfg(not(feature = "cuda"))]
pub const TOOLKIT: (u32, u32) = (0, 0);
/// Why this build has no kernels.
#[cfg(not(feature = "cuda"))]
pub const MISSING: Option<&str> = Some("built without the feature `cuda`");

/// A set of images and where it comes from.
pub struct Images {
    /// One for each file of `cuda/`.
    pub fatbins: &'static [Fatbin],
    /// Major and minor version of the CUDA toolkit that compiled them.
    pub toolkit: (u32, u32),
    /// Why there are none.
    pub missing: Option<&'static str>,
}

/// Those of this build.
pub static BUILD: Images = Images { fatbins: FATBINS, toolkit: TOOLKIT, missing: MISSING };

impl Images {
    /// Why there are no kernels and how to get them; `None` where there are.
    pub fn missing(&self) -> Option<String> {
        let mend = if cfg!(feature = "cuda") {
            "build where nvcc is found (scripts/cuda-toolkit installs one), or with LOWBIT_KERNELS naming a folder of \
             prebuilt kernels"
        } else {
            "build with it"
        };
        self.missing.map(|why| format!("{why}; {mend}"))
    }

    /// Every architecture that some kernel has machine code for, ascending.
    pub fn archs(&self) -> Vec<&'static str> {
        let mut all: Vec<&str> = self.fatbins.iter().flat_map(|fatbin| fatbin.archs).copied().collect();
        let number = |arch: &str| arch.trim_end_matches(char::is_alphabetic).parse::<u32>().unwrap_or(u32::MAX);
        all.sort_by_key(|arch| (number(arch), *arch));
        all.dedup();
        all
    }

    /// The image that holds the kernels of one file.
    ///
    /// # Errors
    /// [`CudaError::NoKernels`] when it is not among them.
    #[cfg(feature = "cuda")]
    pub fn find(&self, stem: &str) -> Result<&'static Fatbin, CudaError> {
        self.fatbins.iter().find(|fatbin| fatbin.stem == stem).ok_or_else(|| {
            let why = self.missing().unwrap_or_else(|| format!("cuda/{stem}.cu is not among those that were compiled"));
            CudaError::NoKernels { why }
        })
    }
}
