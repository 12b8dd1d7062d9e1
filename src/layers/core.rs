//! Weights, bias and product: what [`Linear4bit`](crate::layers::Linear4bit) and
//! [`Linear8bit`](crate::layers::Linear8bit) share.

use std::path::Path;
use std::sync::Arc;

use crate::checkpoint;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::Existing;
use crate::checkpoint::NamedLayer;
use crate::device::Device;
use crate::error::Error;
use crate::error::Result;
use crate::formats::Format;
use crate::formats::QuantMatrix;
use crate::formats::Recipe;
use crate::ops;
use crate::ops::Prepared;
use crate::strategy::Activations;
use crate::strategy::Strategy;
use crate::tensor::Tensor;
use crate::values::Dtype;

/// A bias as it was given, and widened for the product.
#[derive(Debug)]
pub struct Bias {
    /// [N], in its own type.
    pub tensor: Tensor,
    values: Vec<f32>,
}

/// The state of a layer. Cheap to clone: weights and bias are shared.
#[derive(Clone, Debug)]
pub struct Core {
    weights: Prepared,
    bias: Option<Arc<Bias>>,
}

impl Core {
    /// Quantizes a dense weight [N, K].
    pub fn quantize(
        weight: &Tensor,
        bias: Option<Tensor>,
        recipe: Recipe,
        activations: Activations,
        device: &Device,
    ) -> Result<Self> {
        let matrix = ops::quantize(weight.values(), weight.mat_shape()?, recipe, device)?;
        Self::new(matrix, bias, activations, device)
    }

    /// Takes a quantized weight.
    pub fn new(matrix: QuantMatrix, bias: Option<Tensor>, activations: Activations, device: &Device) -> Result<Self> {
        let n = matrix.shape().n();
        let bias = bias.map(|tensor| match tensor.shape() {
            &[len] if len == n => Ok(Arc::new(Bias { values: tensor.values().to_f32(), tensor })),
            found => Err(Error::Shape { what: "bias [N]", expected: vec![n], found: found.to_vec() }),
        });
        Ok(Self { weights: ops::prepare(Arc::new(matrix), activations, device)?, bias: bias.transpose()? })
    }

    /// Reads the linear `name` of a checkpoint, with its bias if it has one.
    pub fn load(
        checkpoint: &Checkpoint,
        name: &str,
        activations: impl FnOnce(Format) -> Activations,
        device: &Device,
    ) -> Result<Self> {
        let matrix = checkpoint.load_matrix(name)?;
        let n = matrix.shape().n();
        let bias = checkpoint.load_bias(name)?.map(|values| Tensor::new(values, &[n])).transpose()?;
        let activations = activations(matrix.format());
        Self::new(matrix, bias, activations, device)
    }

    pub fn weights(&self) -> &Prepared {
        &self.weights
    }

    pub fn matrix(&self) -> &QuantMatrix {
        self.weights.matrix()
    }

    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_deref().map(|bias| &bias.tensor)
    }

    pub fn with_activations(self, activations: Activations) -> Result<Self> {
        let Self { weights, bias } = self;
        let weights = ops::prepare(Arc::clone(weights.matrix()), activations, weights.device())?;
        Ok(Self { weights, bias })
    }

    pub fn to(&self, device: &Device) -> Result<Self> {
        let weights = ops::prepare(Arc::clone(self.weights.matrix()), self.weights.activations(), device)?;
        Ok(Self { weights, bias: self.bias.clone() })
    }

    pub fn forward(&self, x: &Tensor, strategy: Strategy) -> Result<Tensor> {
        ops::matmul(x, &self.weights, self.bias_values(), strategy)
    }

    pub fn forward_into(&self, x: &Tensor, strategy: Strategy, y: &mut Tensor) -> Result<()> {
        ops::matmul_into(x, &self.weights, self.bias_values(), strategy, y)
    }

    pub fn dequantize(&self, dtype: Dtype) -> Result<Tensor> {
        let shape = self.matrix().shape();
        let mut out = Tensor::zeros(dtype, &[shape.n(), shape.k()])?;
        ops::dequantize(self.matrix(), out.values_mut(), self.weights.device())?;
        Ok(out)
    }

    pub fn save(&self, path: &Path, name: &str, existing: Existing) -> Result<()> {
        let layer = NamedLayer { name, weight: self.matrix(), bias: self.bias().map(Tensor::values) };
        checkpoint::save(path, &[layer], existing)
    }

    pub fn memory_bytes(&self) -> usize {
        let bias = self.bias.as_ref().map_or(0, |bias| bias.values.len() * (4 + bias.tensor.dtype().size_bytes()));
        self.weights.memory_bytes() + bias
    }

    fn bias_values(&self) -> Option<&[f32]> {
        self.bias.as_deref().map(|bias| &bias.values[..])
    }
}

/// The error of a layer that was given a format of the other width.
pub fn wrong_width(layer: &'static str, format: Format, device: &Device, rule: &str) -> Error {
    Error::Unsupported { op: layer, subject: format.to_string(), device: device.name(), rule: rule.to_string() }
}

/// The methods both layers have; `$type` is a struct around a [`Core`] called `core`.
macro_rules! linear_methods {
    ($type:ident) => {
        impl $type {
            /// y = x · Wᵀ + b: `x` [.., K] in f32, f16 or bf16, the result [.., N] in the same type.
            ///
            /// # Errors
            /// [`Error::Shape`](crate::Error::Shape) when the last dimension of `x` is not K.
            pub fn forward(&self, x: &crate::tensor::Tensor) -> crate::error::Result<crate::tensor::Tensor> {
                self.core.forward(x, crate::strategy::Strategy::Auto)
            }

            /// [`forward`](Self::forward) into a tensor that is there, [.., N] of any type.
            ///
            /// # Errors
            /// [`Error::Shape`](crate::Error::Shape) when `x` is not [.., K] or `y` not [.., N].
            pub fn forward_into(
                &self,
                x: &crate::tensor::Tensor,
                y: &mut crate::tensor::Tensor,
            ) -> crate::error::Result<()> {
                self.core.forward_into(x, crate::strategy::Strategy::Auto, y)
            }

            /// [`forward`](Self::forward) by a strategy of the caller's choice. It changes the speed, not what is computed.
            ///
            /// # Errors
            /// [`Error::Unsupported`](crate::Error::Unsupported) when this format, shape or device does not have it.
            pub fn forward_with(
                &self,
                x: &crate::tensor::Tensor,
                strategy: crate::strategy::Strategy,
            ) -> crate::error::Result<crate::tensor::Tensor> {
                self.core.forward(x, strategy)
            }

            /// The layer with activations rounded to something else.
            ///
            /// # Errors
            /// [`Error::Unsupported`](crate::Error::Unsupported) when the format cannot be multiplied with them.
            pub fn with_activations(self, activations: crate::strategy::Activations) -> crate::error::Result<Self> {
                Ok(Self { core: self.core.with_activations(activations)? })
            }

            /// The same layer on another device.
            ///
            /// # Errors
            /// [`Error::Unsupported`](crate::Error::Unsupported) when that device cannot multiply this format.
            pub fn to(&self, device: &crate::device::Device) -> crate::error::Result<Self> {
                Ok(Self { core: self.core.to(device)? })
            }

            /// The weights as they are multiplied, [N, K] in the type they had before quantization.
            ///
            /// # Errors
            /// [`Error::TooLarge`](crate::Error::TooLarge) when they do not fit the address space.
            pub fn dequantize(&self) -> crate::error::Result<crate::tensor::Tensor> {
                self.core.dequantize(self.core.matrix().dtype())
            }

            /// Writes weight and bias to a safetensors file of its own, as the linear `name`;
            /// [`checkpoint::save`](crate::checkpoint::save) puts several layers into one file.
            ///
            /// # Errors
            /// Those of [`checkpoint::save`](crate::checkpoint::save).
            pub fn save(
                &self,
                path: impl AsRef<std::path::Path>,
                name: &str,
                existing: crate::checkpoint::Existing,
            ) -> crate::error::Result<()> {
                self.core.save(path.as_ref(), name, existing)
            }

            /// Bytes of memory the layer holds.
            pub fn memory_bytes(&self) -> usize {
                self.core.memory_bytes()
            }

            /// The quantized weights.
            pub fn weight(&self) -> &crate::formats::QuantMatrix {
                self.core.matrix()
            }

            /// The bias, `[N]`.
            pub fn bias(&self) -> Option<&crate::tensor::Tensor> {
                self.core.bias()
            }

            /// What activations are rounded to.
            pub fn activations(&self) -> crate::strategy::Activations {
                self.core.weights().activations()
            }

            /// Where the weights live.
            pub fn device(&self) -> &crate::device::Device {
                self.core.weights().device()
            }
        }
    };
}
pub(super) use linear_methods;
