//! What `lowbit bench` is asked for.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::ValueEnum;

use crate::bench::Layer;
use crate::bench::Settings;
use crate::bench::models;
use crate::bench::models::Model;
use crate::cli::args;
use crate::cli::args::DtypeArg;
use crate::device::Device;
use crate::error::Result;
use crate::formats::Format;
use crate::formats::Recipe;
use crate::shape::Granularity;
use crate::shape::MatShape;
use crate::strategy::Activations;
use crate::strategy::Strategy;
use crate::values::Dtype;

/// Columns with such a magnitude stay floating point in LLM.int8(); the paper's number.
const LLM_INT8_THRESHOLD: f32 = 6.0;
/// The largest batch.
const MAX_BATCH: usize = 1 << 20;

/// `lowbit bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Models whose linear layers are measured, separated by commas [default: llama-3-8b, unless --shape is given]
    #[arg(long, value_delimiter = ',', value_name = "NAME", value_parser = parse_model)]
    pub models: Vec<&'static Model>,
    /// A weight matrix of N out-features and K in-features; may be given several times
    #[arg(long = "shape", value_delimiter = ',', value_name = "NxK", value_parser = parse_shape)]
    pub shapes: Vec<MatShape>,
    /// Rows of activations, separated by commas [default: 1 to 4096 in powers of 2 on a GPU, 1,4,16,64 on the CPU]
    #[arg(long, value_delimiter = ',', value_name = "M", value_parser = parse_batch)]
    pub batch: Vec<usize>,
    /// Formats, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "NAME", value_parser = args::preset, default_value = "nf4,int4,int8")]
    pub format: Vec<(&'static str, Recipe)>,
    /// What activations are rounded to [default: that of the format's layer; LLM.int8() for int8 with a scale per row]
    #[arg(long, value_enum)]
    pub activations: Option<ActivationsArg>,
    /// Strategies, separated by commas; those are measured that exist
    #[arg(long, value_delimiter = ',', value_enum, default_value = "dequantize,gemv,fused,auto")]
    pub strategy: Vec<StrategyArg>,
    /// Type of activations and results [default: bf16 on a GPU, f32 on the CPU]
    #[arg(long, value_enum)]
    pub dtype: Option<DtypeArg>,
    /// Where to measure: cpu, cuda, cuda:1, ... [default: the first GPU, or the CPU where there is none]
    #[arg(long, value_name = "DEVICE", value_parser = parse_device)]
    pub device: Option<DeviceArg>,
    /// Samples of each product
    #[arg(long, value_name = "N", default_value = "12", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub samples: u32,
    /// Milliseconds that a sample takes at least, by repeating its product
    #[arg(long, value_name = "MS", default_value = "10", value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pub min_time: u32,
    /// Draw speed-up over dense against batch size: an .svg file for one shape, or a folder
    #[arg(long, value_name = "FILE-OR-FOLDER")]
    pub svg: Option<PathBuf>,
    /// Replace plots that exist
    #[arg(long)]
    pub force: bool,
}

/// `--activations`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ActivationsArg {
    /// Not rounded
    Float,
    /// Rows to int8, no outliers
    Int8,
    /// Rows to int8, columns with outliers apart (threshold 6)
    LlmInt8,
    /// Rows to int4
    Int4,
}

/// `--strategy`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum StrategyArg {
    /// Decode all of W to floats, then multiply densely: the comparison
    Dequantize,
    /// Stream the codes: for few rows of activations
    Gemv,
    /// Decode within the product; on a GPU, for its tensor cores
    #[value(alias = "tensor-core")]
    Fused,
    /// The one that lowbit takes by itself
    Auto,
}

/// `--device`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceArg {
    /// The CPU.
    Cpu,
    /// A GPU by its index.
    Cuda(usize),
}

impl DeviceArg {
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::cpu()),
            Self::Cuda(index) => Device::cuda(index),
        }
    }
}

impl From<StrategyArg> for Strategy {
    fn from(arg: StrategyArg) -> Self {
        match arg {
            StrategyArg::Dequantize => Self::DequantizeThenMultiply,
            StrategyArg::Gemv => Self::Gemv,
            StrategyArg::Fused => Self::Fused,
            StrategyArg::Auto => Self::Auto,
        }
    }
}

impl BenchArgs {
    /// What they say, for `device`.
    pub fn settings(&self, device: &Device) -> Result<Settings> {
        let default_model = self.models.is_empty() && self.shapes.is_empty();
        let default_models: Vec<&Model> = models::find("llama-3-8b").into_iter().collect();
        let models = if default_model { &default_models } else { &self.models };
        let (batches, dtype, memory_bytes) = match device {
            Device::Cuda(device) => {
                ((0..=12).map(|power| 1 << power).collect(), Dtype::Bf16, device.limits().memory_bytes / 16)
            }
            _ => (vec![1, 4, 16, 64], Dtype::F32, 1 << 30),
        };
        let layer = |&(name, recipe): &(&str, Recipe)| Layer {
            name: name.into(),
            recipe,
            activations: self.activations.map_or_else(|| default_activations(recipe.format), activations),
        };
        Ok(Settings {
            shapes: models::shapes(models, &self.shapes)?,
            batches: if self.batch.is_empty() { batches } else { self.batch.clone() },
            layers: self.format.iter().map(layer).collect(),
            strategies: self.strategy.iter().map(|&strategy| strategy.into()).collect(),
            dtype: self.dtype.map_or(dtype, Dtype::from),
            samples: self.samples as usize,
            min_time: Duration::from_millis(self.min_time.into()),
            memory_bytes,
        })
    }
}

fn activations(arg: ActivationsArg) -> Activations {
    match arg {
        ActivationsArg::Float => Activations::Float,
        ActivationsArg::Int8 => Activations::Int8 { threshold: 0.0 },
        ActivationsArg::LlmInt8 => Activations::Int8 { threshold: LLM_INT8_THRESHOLD },
        ActivationsArg::Int4 => Activations::Int4,
    }
}

fn default_activations(format: Format) -> Activations {
    match format {
        Format::Int8 { granularity: Granularity::PerRow | Granularity::PerTensor } => {
            Activations::Int8 { threshold: LLM_INT8_THRESHOLD }
        }
        // What it is for: W4A8.
        Format::Int4ChannelGroup => Activations::Int8 { threshold: 0.0 },
        _ => Activations::Float,
    }
}

fn parse_model(name: &str) -> Result<&'static Model, String> {
    models::find(name).ok_or_else(|| {
        let names: Vec<&str> = models::MODELS.iter().map(|model| model.name).collect();
        format!("known models: {}", names.join(", "))
    })
}

fn parse_shape(text: &str) -> Result<MatShape, String> {
    let sides = text.split_once(['x', 'X']).map(|(n, k)| (n.parse(), k.parse()));
    match sides {
        Some((Ok(n), Ok(k))) => MatShape::new(n, k).map_err(|e| e.to_string()),
        _ => Err("must be N out-features and K in-features such as 4096x14336".into()),
    }
}

fn parse_batch(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(m) if (1..=MAX_BATCH).contains(&m) => Ok(m),
        _ => Err(format!("must be a number of rows from 1 to {MAX_BATCH}")),
    }
}

fn parse_device(text: &str) -> Result<DeviceArg, String> {
    match (text, text.strip_prefix("cuda:").map(str::parse)) {
        ("cpu", _) => Ok(DeviceArg::Cpu),
        ("cuda", _) => Ok(DeviceArg::Cuda(0)),
        (_, Some(Ok(index))) => Ok(DeviceArg::Cuda(index)),
        _ => Err("must be cpu, cuda, or cuda: and the GPU's number, such as cuda:0".into()),
    }
}
