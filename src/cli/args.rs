//! What the command line says, and the recipe its format options name.

use std::path::PathBuf;

use clap::Args;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;
use regex::Regex;

use super::bench::BenchArgs;
use crate::formats::AffineInt8;
use crate::formats::Dynamic8;
use crate::formats::Fp4;
use crate::formats::Int4;
use crate::formats::Int4ChannelGroup;
use crate::formats::Int8;
use crate::formats::Nf4;
use crate::formats::Recipe;
use crate::formats::Symmetry;
use crate::shape::BlockSize;
use crate::shape::Granularity;
use crate::shape::GroupSize;
use crate::values::Dtype;

/// Low-bit weights: quantize, inspect and compare checkpoints.
#[derive(Debug, Parser)]
#[command(name = "lowbit", version, arg_required_else_help = true)]
pub struct Cli {
    /// Print JSON for machines instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// Threads to use; all cores unless set.
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<usize>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Quantize a .safetensors file or a model directory
    Quantize(QuantizeArgs),
    /// Turn a quantized checkpoint back into a dense one
    Dequantize(DequantizeArgs),
    /// List tensors, formats, shapes, bits per weight and sizes
    Inspect(InspectArgs),
    /// Quantize in memory to several formats and compare size, error and time
    Compare(CompareArgs),
    /// Time strategies side by side: dense, low-bit, dequantize-then-multiply
    Bench(BenchArgs),
    /// Show what this machine can compute with
    Devices,
}

/// `lowbit quantize`.
#[derive(Debug, Args)]
pub struct QuantizeArgs {
    /// A .safetensors file, or a model directory (sharded or not)
    pub input: PathBuf,
    /// What to make of it
    #[command(flatten)]
    pub format: FormatArgs,
    /// Where to put the result [default: INPUT with the format's name appended]
    #[arg(short, long)]
    pub output: Option<PathBuf>,
    /// Leave linears dense whose name matches; may be given several times
    #[arg(long, value_name = "REGEX")]
    pub skip: Vec<Regex>,
    /// Largest file to write, such as 5GB or 500MB
    #[arg(long, value_name = "SIZE", default_value = "5GB", value_parser = parse_size)]
    pub max_shard_size: u64,
    /// Replace an output that exists
    #[arg(long)]
    pub force: bool,
}

/// `lowbit dequantize`.
#[derive(Debug, Args)]
pub struct DequantizeArgs {
    /// A quantized .safetensors file or model directory
    pub input: PathBuf,
    /// Where to put the result
    #[arg(short, long)]
    pub output: PathBuf,
    /// Type of the dense weights
    #[arg(long, value_enum, default_value = "f16")]
    pub dtype: DtypeArg,
    /// Largest file to write, such as 5GB or 500MB
    #[arg(long, value_name = "SIZE", default_value = "5GB", value_parser = parse_size)]
    pub max_shard_size: u64,
    /// Replace an output that exists
    #[arg(long)]
    pub force: bool,
}

/// `lowbit inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A .safetensors file or a model directory
    pub input: PathBuf,
}

/// `lowbit compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// A dense .safetensors file or model directory
    pub input: PathBuf,
    /// Formats to compare, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "NAME", value_parser = preset)]
    pub formats: Vec<(&'static str, Recipe)>,
    /// Leave linears out whose name matches; may be given several times
    #[arg(long, value_name = "REGEX")]
    pub skip: Vec<Regex>,
}

/// The options that make a [`Recipe`].
#[derive(Debug, Args)]
pub struct FormatArgs {
    /// The format
    #[arg(long = "format", value_enum)]
    pub name: FormatName,
    /// Values per absmax over the flattened matrix, for nf4, fp4 (default 64) and dynamic8 (default 4096)
    #[arg(long, value_name = "B", value_parser = parse_block_size)]
    pub block_size: Option<BlockSize>,
    /// Values per scale within a row, or `row` or `tensor`, for int4 (default 128), int8 and affine-int8 (default row)
    #[arg(long, value_name = "G", value_parser = parse_granularity)]
    pub group_size: Option<Granularity>,
    /// Quantize the absmax values too, for nf4 and fp4
    #[arg(long)]
    pub double_quant: bool,
    /// Search the scale with the smallest squared error, for nf4, fp4 and int4
    #[arg(long)]
    pub search: bool,
    /// Store zero points, for int4 (affine-int8 always does)
    #[arg(long)]
    pub asymmetric: bool,
}

/// Format names of `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatName {
    /// 4-bit NormalFloat; transformers with bitsandbytes loads it
    Nf4,
    /// bitsandbytes' 4-bit float; transformers with bitsandbytes loads it
    Fp4,
    /// LLM.int8() rows; transformers with bitsandbytes loads it
    Int8,
    /// 4-bit integers with a scale per group, in lowbit's own serialization
    Int4,
    /// 4-bit integers in two levels, for int8 activations (W4A8), in lowbit's own serialization
    #[value(alias = "int4_channel_group")]
    Int4ChannelGroup,
    /// 8-bit integers with zero points, in lowbit's own serialization
    AffineInt8,
    /// bitsandbytes' blockwise 8-bit dynamic map, in lowbit's own serialization
    Dynamic8,
}

/// Types of `--dtype`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum DtypeArg {
    /// IEEE binary32
    F32,
    /// IEEE binary16
    F16,
    /// bfloat16
    Bf16,
}

impl From<DtypeArg> for Dtype {
    fn from(arg: DtypeArg) -> Self {
        match arg {
            DtypeArg::F32 => Self::F32,
            DtypeArg::F16 => Self::F16,
            DtypeArg::Bf16 => Self::Bf16,
        }
    }
}

impl FormatName {
    /// As typed on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nf4 => "nf4",
            Self::Fp4 => "fp4",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
            Self::Int4ChannelGroup => "int4-channel-group",
            Self::AffineInt8 => "affine-int8",
            Self::Dynamic8 => "dynamic8",
        }
    }
}

impl FormatArgs {
    /// The recipe, or the complaint about an option that the format does not have.
    pub fn recipe(&self) -> Result<Recipe, String> {
        use FormatName::*;
        let name = self.name;
        let only = |option: &str, given: bool, formats: &[FormatName]| {
            if !given || formats.contains(&name) {
                return Ok(());
            }
            let formats: Vec<&str> = formats.iter().map(|f| f.as_str()).collect();
            Err(format!("{option} is for {}, not for {}", formats.join(", "), name.as_str()))
        };
        only("--block-size", self.block_size.is_some(), &[Nf4, Fp4, Dynamic8])?;
        only("--group-size", self.group_size.is_some(), &[Int4, Int8, AffineInt8])?;
        only("--double-quant", self.double_quant, &[Nf4, Fp4])?;
        only("--search", self.search, &[Nf4, Fp4, Int4])?;
        only("--asymmetric", self.asymmetric, &[Int4, AffineInt8])?;
        let block = self.block_size;
        let rows = self.group_size.unwrap_or(Granularity::PerRow);
        let symmetry = if self.asymmetric { Symmetry::Asymmetric } else { Symmetry::Symmetric };
        Ok(match name {
            Nf4 => crate::formats::Nf4::default()
                .block_size(block.unwrap_or(BlockSize::B64))
                .double_quant(self.double_quant)
                .search(self.search)
                .into(),
            Fp4 => crate::formats::Fp4::default()
                .block_size(block.unwrap_or(BlockSize::B64))
                .double_quant(self.double_quant)
                .search(self.search)
                .into(),
            Int4 => crate::formats::Int4::default()
                .granularity(self.group_size.unwrap_or(Granularity::PerGroup(GroupSize::G128)))
                .symmetry(symmetry)
                .search(self.search)
                .into(),
            Int4ChannelGroup => crate::formats::Int4ChannelGroup.into(),
            Int8 => crate::formats::Int8::default().granularity(rows).into(),
            AffineInt8 => crate::formats::AffineInt8::default().granularity(rows).into(),
            Dynamic8 => crate::formats::Dynamic8::default().block_size(block.unwrap_or(BlockSize::B4096)).into(),
        })
    }
}

/// The formats that `compare` and `bench` know by one name each; all of them are the default of `compare`.
pub fn presets() -> Vec<(&'static str, Recipe)> {
    let g32 = Granularity::PerGroup(GroupSize::G32);
    vec![
        ("nf4", Nf4::default().into()),
        ("nf4-dq", Nf4::default().double_quant(true).into()),
        ("nf4-dq-search", Nf4::default().double_quant(true).search(true).into()),
        ("nf4-32-dq-search", Nf4::default().block_size(BlockSize::B32).double_quant(true).search(true).into()),
        ("fp4", Fp4::default().into()),
        ("fp4-search", Fp4::default().search(true).into()),
        ("int4", Int4::default().into()),
        ("int4-search", Int4::default().search(true).into()),
        ("int4-asym", Int4::default().symmetry(Symmetry::Asymmetric).into()),
        ("int4-32", Int4::default().granularity(g32).into()),
        ("int4-channel-group", Int4ChannelGroup.into()),
        ("int8", Int8::default().into()),
        ("int8-tensor", Int8::default().granularity(Granularity::PerTensor).into()),
        ("affine-int8", AffineInt8::default().into()),
        ("dynamic8", Dynamic8::default().into()),
    ]
}

/// One of [`presets`] by its name.
pub fn preset(name: &str) -> Result<(&'static str, Recipe), String> {
    let all = presets();
    match all.iter().find(|(known, _)| *known == name) {
        Some(found) => Ok(*found),
        None => Err(format!("known formats: {}", all.iter().map(|p| p.0).collect::<Vec<_>>().join(", "))),
    }
}

fn parse_block_size(text: &str) -> Result<BlockSize, String> {
    let size: usize = text.parse().map_err(|_| "not a number".to_string())?;
    BlockSize::new(size).map_err(|e| e.to_string())
}

fn parse_granularity(text: &str) -> Result<Granularity, String> {
    match text {
        "row" => Ok(Granularity::PerRow),
        "tensor" => Ok(Granularity::PerTensor),
        _ => {
            let size: usize = text.parse().map_err(|_| "must be a number, `row` or `tensor`".to_string())?;
            GroupSize::new(size).map(Granularity::PerGroup).map_err(|e| e.to_string())
        }
    }
}

/// `5GB`, `500MB`, `64kB` (powers of 1000, as transformers counts) or plain bytes.
fn parse_size(text: &str) -> Result<u64, String> {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1000), ("kB", 1000), ("B", 1), ("", 1)];
    let (unit, factor) = units.into_iter().find(|(unit, _)| text.ends_with(unit)).unwrap_or(("", 1));
    let number = text.trim_end_matches(unit).trim();
    match number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err("must be a positive size such as 5GB, 500MB or a number of bytes".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("5GB"), Ok(5_000_000_000));
        assert_eq!(parse_size("64kB"), Ok(64_000));
        assert_eq!(parse_size("77"), Ok(77));
        assert!(parse_size("0").is_err() && parse_size("-3MB").is_err() && parse_size("99999999999GB").is_err());
    }

    #[test]
    fn an_option_of_another_format_is_refused() {
        let parse = |args: &[&str]| match Cli::parse_from([&["lowbit", "quantize", "x"], args].concat()).command {
            Command::Quantize(args) => args.format.recipe(),
            _ => unreachable!(),
        };
        assert_eq!(parse(&["--format", "nf4", "--double-quant"]), Ok(Nf4::default().double_quant(true).into()));
        let refused = parse(&["--format", "int8", "--double-quant"]).unwrap_err();
        assert_eq!(refused, "--double-quant is for nf4, fp4, not for int8");
        assert!(parse(&["--format", "nf4", "--group-size", "64"]).is_err());
    }
}
