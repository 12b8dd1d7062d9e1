//! [`Linear4bit`]: NF4, FP4 and INT4 weights.

use crate::checkpoint::Checkpoint;
use crate::device::Device;
use crate::error::Result;
use crate::formats::Format;
use crate::formats::QuantMatrix;
use crate::formats::Recipe;
use crate::layers::core::Core;
use crate::layers::core::linear_methods;
use crate::layers::core::wrong_width;
use crate::strategy::Activations;
use crate::tensor::Tensor;

/// A linear layer with 4-bit weights. Activations stay floating point unless
/// [`with_activations`](Self::with_activations) says otherwise; int8 ones (W4A8) are what
/// [`Int4ChannelGroup`](crate::Int4ChannelGroup) is for, on a GPU the only 4-bit format that takes them.
///
/// ```
/// use lowbit::{Device, Linear4bit, Nf4, Tensor};
///
/// let device = Device::best()?;
/// let weight = Tensor::new(vec![0.5f32; 128 * 64], &[128, 64])?; // [out, in]
/// let layer = Linear4bit::quantize(&weight, None, Nf4::default().double_quant(true), &device)?;
/// let y = layer.forward(&Tensor::new(vec![1.0f32; 64], &[1, 64])?)?;
/// assert_eq!(y.shape(), [1, 128]);
/// # Ok::<(), lowbit::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Linear4bit {
    core: Core,
}

impl Linear4bit {
    /// Quantizes `weight` `[out, in]`; `bias` is `[out]`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for a weight that is not a matrix or a bias that does not fit,
    /// [`Error::NonFinite`](crate::Error::NonFinite) for a NaN or infinity,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a recipe that is not 4-bit.
    pub fn quantize(weight: &Tensor, bias: Option<Tensor>, recipe: impl Into<Recipe>, device: &Device) -> Result<Self> {
        let recipe = recipe.into();
        check(recipe.format, device)?;
        Ok(Self { core: Core::quantize(weight, bias, recipe, Activations::Float, device)? })
    }

    /// Takes weights that are quantized already: a [`QuantMatrix::from_parts`] of the caller's own arrays.
    ///
    /// # Errors
    /// As [`Linear4bit::quantize`].
    pub fn from_parts(matrix: QuantMatrix, bias: Option<Tensor>, device: &Device) -> Result<Self> {
        check(matrix.format(), device)?;
        Ok(Self { core: Core::new(matrix, bias, Activations::Float, device)? })
    }

    /// Reads the linear `name`, such as `model.layers.0.self_attn.q_proj`, and its bias if it has one.
    ///
    /// # Errors
    /// Those of [`Checkpoint::load_matrix`]; [`Error::Unsupported`](crate::Error::Unsupported) when it is not 4-bit.
    pub fn load(checkpoint: &Checkpoint, name: &str, device: &Device) -> Result<Self> {
        let core = Core::load(checkpoint, name, |_| Activations::Float, device)?;
        check(core.matrix().format(), device)?;
        Ok(Self { core })
    }
}

linear_methods!(Linear4bit);

fn check(format: Format, device: &Device) -> Result<()> {
    match format.code_bits() {
        4 => Ok(()),
        _ => Err(wrong_width("Linear4bit", format, device, "it takes nf4, fp4 and int4; use Linear8bit")),
    }
}
