//! [`Linear8bit`]: INT8 weights, LLM.int8() among them.

use crate::checkpoint::Checkpoint;
use crate::device::Device;
use crate::error::Result;
use crate::formats::Format;
use crate::formats::Parts;
use crate::formats::QuantMatrix;
use crate::formats::Recipe;
use crate::layers::core::Core;
use crate::layers::core::linear_methods;
use crate::layers::core::wrong_width;
use crate::shape::Granularity;
use crate::shape::MatShape;
use crate::strategy::Activations;
use crate::tensor::Tensor;
use crate::values::Dtype;

/// A linear layer with 8-bit weights.
///
/// With [`Int8`](crate::Int8) weights per row (the default) or per tensor it is LLM.int8() (arXiv 2208.07339): activations
/// are quantized per row too, products are summed in i32, and columns that hold an outlier stay in floating point when
/// [`threshold`](Self::threshold) is set. With every other 8-bit format activations stay floating point.
#[derive(Clone, Debug)]
pub struct Linear8bit {
    core: Core,
}

impl Linear8bit {
    /// Quantizes `weight` `[out, in]`; `bias` is `[out]`. The threshold is 0.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for a weight that is not a matrix or a bias that does not fit,
    /// [`Error::NonFinite`](crate::Error::NonFinite) for a NaN or infinity,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a recipe that is not 8-bit.
    pub fn quantize(weight: &Tensor, bias: Option<Tensor>, recipe: impl Into<Recipe>, device: &Device) -> Result<Self> {
        let recipe = recipe.into();
        check(recipe.format, device)?;
        let activations = default_activations(recipe.format, 0.0);
        Ok(Self { core: Core::quantize(weight, bias, recipe, activations, device)? })
    }

    /// Takes weights that are quantized already.
    ///
    /// # Errors
    /// As [`Linear8bit::quantize`].
    pub fn from_parts(matrix: QuantMatrix, bias: Option<Tensor>, device: &Device) -> Result<Self> {
        check(matrix.format(), device)?;
        let activations = default_activations(matrix.format(), 0.0);
        Ok(Self { core: Core::new(matrix, bias, activations, device)? })
    }

    /// Takes bitsandbytes' arrays: `cb` `[N, K]` and `scb` `[N]`, the absmax of each row.
    ///
    /// # Errors
    /// [`Error::Length`](crate::Error::Length) when an array does not fit `shape`.
    pub fn from_cb_scb(
        cb: Vec<i8>,
        scb: Vec<f32>,
        shape: MatShape,
        bias: Option<Tensor>,
        device: &Device,
    ) -> Result<Self> {
        let format = Format::Int8 { granularity: Granularity::PerRow };
        let parts = Parts::new(bytemuck::cast_vec(cb), scb);
        Self::from_parts(QuantMatrix::from_parts(format, shape, Dtype::F16, parts)?, bias, device)
    }

    /// Reads the linear `name`, such as `model.layers.0.self_attn.q_proj`, and its bias if it has one.
    ///
    /// The threshold is the `llm_int8_threshold` of the model's `config.json`, 0 where there is none.
    ///
    /// # Errors
    /// Those of [`Checkpoint::load_matrix`]; [`Error::Unsupported`](crate::Error::Unsupported) when it is not 8-bit.
    pub fn load(checkpoint: &Checkpoint, name: &str, device: &Device) -> Result<Self> {
        let threshold = checkpoint.int8_threshold().unwrap_or(0.0);
        let core = Core::load(checkpoint, name, |format| default_activations(format, threshold), device)?;
        check(core.matrix().format(), device)?;
        Ok(Self { core })
    }

    /// Leaves columns of x that hold a magnitude of `threshold` or more in floating point; 6.0 in the paper, 0 turns it off.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) when the format's activations are not int8.
    pub fn threshold(self, threshold: f32) -> Result<Self> {
        self.with_activations(Activations::Int8 { threshold })
    }
}

linear_methods!(Linear8bit);

fn check(format: Format, device: &Device) -> Result<()> {
    match format.code_bits() {
        8 => Ok(()),
        _ => Err(wrong_width("Linear8bit", format, device, "it takes 8-bit formats; use Linear4bit")),
    }
}

/// LLM.int8() where the format is its own, else floating point.
fn default_activations(format: Format, threshold: f32) -> Activations {
    match format {
        Format::Int8 { granularity: Granularity::PerRow | Granularity::PerTensor } => Activations::Int8 { threshold },
        _ => Activations::Float,
    }
}
