//! What this device can do at best, measured: bytes a second, and floating-point operations a second.

use super::data;
use super::dense::Dense;
use super::dense::dense_dtype;
use super::timing;
use crate::cpu;
use crate::cuda::DeviceBuffer;
use crate::device::Device;
use crate::error::Result;
use crate::shape::MatShape;
use crate::tensor::Tensor;
use crate::values::Dtype;
use crate::values::OwnedValues;

/// Samples of each measurement; the best one counts.
const SAMPLES: usize = 12;

/// The device's own limits. Every row is stated as a share of the larger floor they give.
#[derive(Clone, Debug, PartialEq)]
pub struct Ceilings {
    /// Bytes per second: of a read of main memory by all threads on the CPU, of a copy (read and written bytes both counted)
    /// on a GPU.
    pub bytes_per_second: f64,
    /// `read` or `copy`.
    pub bytes_by: &'static str,
    /// Floating-point operations per second of a large dense product of random values.
    pub operations_per_second: f64,
    /// The type of that product.
    pub dtype: Dtype,
    /// Who multiplied.
    pub library: &'static str,
}

impl Ceilings {
    /// Measures them, with dense products in the type that belongs to `dtype`.
    ///
    /// # Errors
    /// Out of memory, the driver's, and for a device without a clock.
    pub fn measure(device: &Device, dtype: Dtype) -> Result<Self> {
        let (bytes_per_second, bytes_by) = bandwidth(device)?;
        // 2 K M N operations: 8 GFLOP of f32 on the CPU, 1.1 TFLOP on a GPU.
        let (m, side) = match device {
            Device::Cpu(_) => (1024, 2048),
            Device::Cuda(_) => (8192, 8192),
        };
        let shape = MatShape::new(side, side)?;
        let dense = Dense::new(device, shape, &data::normal(1, shape.num_values(), 1.0), dtype, 1)?;
        let dtype = dense_dtype(device, dtype);
        let x = OwnedValues::from_f32(dtype, &data::normal(2, m * side, 1.0));
        let x = Tensor::new(x, &[m, side])?.to(device)?;
        let mut y = Tensor::zeros_on(dtype, &[m, side], device)?;
        let operations = 2.0 * m as f64 * shape.num_values() as f64;
        let times = timing::sample(device, SAMPLES, 1, &mut || dense.multiply(0, &x, &mut y))?;
        let operations_per_second = operations / least(&times);
        Ok(Self { bytes_per_second, bytes_by, operations_per_second, dtype, library: dense.library() })
    }

    /// Seconds that so many bytes and operations take at least.
    pub fn floor(&self, bytes: usize, operations: f64) -> f64 {
        (bytes as f64 / self.bytes_per_second).max(operations / self.operations_per_second)
    }
}

fn bandwidth(device: &Device) -> Result<(f64, &'static str)> {
    match device {
        Device::Cpu(isa) => {
            let values = vec![1f32; (4 * last_cache_bytes(device)).max(256 << 20) / 4];
            let times = timing::sample(device, SAMPLES, 1, &mut || {
                // The sum is used, so that the reading cannot be left out.
                std::hint::black_box(cpu::ceiling::read(*isa, &values));
                Ok(())
            })?;
            Ok((4.0 * values.len() as f64 / least(&times), "read"))
        }
        Device::Cuda(cuda) => {
            let bytes = (1usize << 30).min(cuda.limits().memory_bytes / 16);
            let from = DeviceBuffer::zeros(cuda, bytes)?;
            let to = DeviceBuffer::zeros(cuda, bytes)?;
            let times = timing::sample(device, SAMPLES, 1, &mut || to.copy_from(&from))?;
            Ok((2.0 * bytes as f64 / least(&times), "copy"))
        }
    }
}

fn least(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::MAX, f64::min)
}

/// Bytes of the last cache before memory: weights that are to come from memory must be more than that.
pub fn last_cache_bytes(device: &Device) -> usize {
    /// Where the system does not tell: more than most processors have.
    const UNKNOWN: usize = 64 << 20;
    match device {
        Device::Cuda(device) => device.limits().l2_bytes,
        Device::Cpu(_) => {
            let size = |index: u32| {
                let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size");
                let text = std::fs::read_to_string(path).ok()?;
                text.trim().strip_suffix('K')?.parse::<usize>().ok().map(|kib| kib << 10)
            };
            (0..8).filter_map(size).max().unwrap_or(UNKNOWN)
        }
    }
}
