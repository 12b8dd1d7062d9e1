//! What the tests share: reading test vectors with the official `safetensors` crate, and the devices to test.

use std::fmt::Debug;
use std::path::PathBuf;

use bytemuck::Pod;
use lowbit::Device;
use lowbit::cpu::Isa;
use lowbit::values::OwnedValues;
use safetensors::Dtype;
use safetensors::SafeTensors;

/// A file below `tests/data`, or below LOWBIT_TEST_DATA where this executable runs on another machine.
pub fn data(path: &str) -> PathBuf {
    let here = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    std::env::var_os("LOWBIT_TEST_DATA").map_or_else(here, PathBuf::from).join(path)
}

/// Every backend of this machine.
pub fn cpus() -> Vec<Device> {
    Isa::available().into_iter().map(Device::Cpu).collect()
}

/// [`cpus`], a simulated GPU when the build has kernels, and the first GPU, if there is one.
pub fn devices() -> Vec<Device> {
    #[cfg(feature = "cuda")]
    let gpus = {
        let simulated = crate::built::present().then(|| crate::simulator::Simulator::new(90).device());
        [simulated, gpu()].into_iter().flatten()
    };
    #[cfg(not(feature = "cuda"))]
    let gpus = [];
    cpus().into_iter().chain(gpus).collect()
}

/// The GPU of this machine, for tests that need one. Without, they say so and are skipped; with REQUIRE_CUDA=1 that is a
/// failure, so that a run on a GPU cannot pass empty.
#[cfg(feature = "cuda")]
pub fn gpu() -> Option<Device> {
    gpu_of(Device::cuda(0), std::env::var("REQUIRE_CUDA").is_ok_and(|value| value == "1"))
}

/// [`gpu`], of what was found.
pub fn gpu_of(found: lowbit::Result<Device>, required: bool) -> Option<Device> {
    match found {
        Ok(device) => Some(device),
        Err(error) if required => panic!("REQUIRE_CUDA=1, but there is no device to test: {error}"),
        Err(error) => {
            println!("skipped: no device: {error}");
            None
        }
    }
}

/// A safetensors file read by the official crate.
pub struct Vectors(Vec<u8>);

impl Vectors {
    pub fn open(path: &str) -> Self {
        Self(std::fs::read(data(path)).unwrap_or_else(|e| panic!("{path}: {e}")))
    }

    fn parse(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.0).unwrap()
    }

    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.parse().names().into_iter().map(String::from).collect();
        names.sort();
        names
    }

    pub fn has(&self, name: &str) -> bool {
        self.parse().tensor(name).is_ok()
    }

    pub fn shape(&self, name: &str) -> Vec<usize> {
        self.parse().tensor(name).unwrap_or_else(|e| panic!("{name}: {e}")).shape().to_vec()
    }

    /// The elements of a tensor whose element type the caller knows.
    pub fn get<T: Pod>(&self, name: &str) -> Vec<T> {
        let file = self.parse();
        let tensor = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        bytemuck::pod_collect_to_vec(tensor.data())
    }

    /// The elements of an f32, f16 or bf16 tensor.
    pub fn values(&self, name: &str) -> OwnedValues {
        let dtype = self.parse().tensor(name).unwrap_or_else(|e| panic!("{name}: {e}")).dtype();
        match dtype {
            Dtype::F32 => OwnedValues::F32(self.get(name)),
            Dtype::F16 => OwnedValues::F16(self.get(name)),
            Dtype::BF16 => OwnedValues::Bf16(self.get(name)),
            other => panic!("{name}: {other:?} is not a type of weights"),
        }
    }
}

/// `Err` with the first place where two arrays differ.
pub fn same<T: PartialEq + Debug>(what: &str, expected: &[T], found: &[T]) -> Result<(), String> {
    if expected.len() != found.len() {
        return Err(format!("{what}: {} elements, expected {}", found.len(), expected.len()));
    }
    match expected.iter().zip(found).position(|(e, f)| e != f) {
        None => Ok(()),
        Some(i) => Err(format!("{what}[{i}]: {:?}, expected {:?}", found[i], expected[i])),
    }
}

/// [`same`] by bits, so that -0.0 and 0.0 differ and NaNs can be equal.
pub fn same_bits(what: &str, expected: &[f32], found: &[f32]) -> Result<(), String> {
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    same(what, &bits(expected), &bits(found)).map_err(|e| {
        let i = expected.iter().zip(found).position(|(e, f)| e.to_bits() != f.to_bits()).unwrap_or(0);
        format!("{e} ({:?}, expected {:?})", found.get(i), expected.get(i))
    })
}

/// Pseudo-random numbers that are the same everywhere (splitmix64).
#[cfg(feature = "cuda")]
pub struct Random(u64);

#[cfg(feature = "cuda")]
impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// From -1 to 1.
    pub fn uniform(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}
