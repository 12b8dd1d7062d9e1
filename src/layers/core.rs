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

/// The state of a layer. Cheap to clone: weights and bias are shared.
#[derive(Clone, Debug)]
pub struct Core {
    weights: Prepared,
    /// [N], in its own type, on the CPU.
    bias: Option<Arc<Tensor>>,
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
        let matrix = ops::quantize_tensor(weight, recipe, device)?;
        Self::new(matrix, bias, activations, device)
    }

    /// Takes a quantized weight.
    pub fn new(matrix: QuantMatrix, bias: Option<Tensor>, activations: Activations, device: &Device) -> Result<Self> {
        let n = matrix.shape().n();
        let bias = match bias {
            Some(bias) if *bias.shape() != [n] => {
                return Err(Error::Shape { what: "bias [N]", expected: vec![n], found: bias.shape().to_vec() });
            }
            Some(bias) => Some(Arc::new(bias.to(&Device::cpu())?)),
            None => None,
        };
        Self::prepare(Arc::new(matrix), bias, activations, device)
    }

    fn prepare(
        matrix: Arc<QuantMatrix>,
        bias: Option<Arc<Tensor>>,
        activations: Activations,
        device: &Device,
    ) -> Result<Self> {
        let values = bias.as_deref().map(Tensor::values).transpose()?.map(|values| values.to_f32());
        Ok(Self { weights: ops::prepare(matrix, values.as_deref(), activations, device)?, bias })
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
        self.bias.as_deref()
    }

    pub fn with_activations(self, activations: Activations) -> Result<Self> {
        Self::prepare(Arc::clone(self.weights.matrix()), self.bias, activations, self.weights.device())
    }

    pub fn to(&self, device: &Device) -> Result<Self> {
        Self::prepare(Arc::clone(self.weights.matrix()), self.bias.clone(), self.weights.activations(), device)
    }

    pub fn forward(&self, x: &Tensor, strategy: Strategy) -> Result<Tensor> {
        ops::matmul(x, &self.weights, strategy)
    }

    pub fn forward_into(&self, x: &Tensor, strategy: Strategy, y: &mut Tensor) -> Result<()> {
        ops::matmul_into(x, &self.weights, strategy, y)
    }

    pub fn dequantize(&self, dtype: Dtype) -> Result<Tensor> {
        self.weights.dequantize(dtype)
    }

    pub fn save(&self, path: &Path, name: &str, existing: Existing) -> Result<()> {
        let bias = self.bias().map(Tensor::values).transpose()?;
        checkpoint::save(path, &[NamedLayer { name, weight: self.matrix(), bias }], existing)
    }

    pub fn memory_bytes(&self) -> usize {
        let bias = self.bias.as_ref().map_or(0, |bias| bias.shape()[0] * bias.dtype().size_bytes());
        self.weights.memory_bytes() + bias
    }
}

/// The error of a layer that was given a format of the other width.
pub fn wrong_width(layer: &'static str, format: Format, device: &Device, rule: &str) -> Error {
    Error::Unsupported { op: layer, subject: format.to_string(), device: device.name().into(), rule: rule.to_string() }
}

/// The methods both layers have; `$type` is a struct around a [`Core`] called `core`.
macro_rules! linear_methods {
    ($type:ident) => {
        impl $type {
            /// y = x · Wᵀ + b: `x` [.., K] in f32, f16 or bf16 on the layer's device, the result [.., N] in the same type there.
            ///
            /// # Errors
            /// [`Error::Shape`](crate::Error::Shape) when the last dimension of `x` is not K;
            /// [`Error::WrongDevice`](crate::Error::WrongDevice) when `x` is elsewhere.
            pub fn forward(&self, x: &crate::tensor::Tensor) -> crate::error::Result<crate::tensor::Tensor> {
                self.core.forward(x, crate::strategy::Strategy::Auto)
            }

            /// [`forward`](Self::forward) into a tensor that is there, [.., N]: of any type on the CPU, of the type of `x` on a
            /// GPU.
            ///
            /// # Errors
            /// [`Error::Shape`](crate::Error::Shape) when `x` is not [.., K] or `y` not [.., N];
            /// [`Error::WrongDevice`](crate::Error::WrongDevice) when one of them is elsewhere.
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

            /// The weights as they are multiplied, [N, K] in the type they had before quantization, on the layer's device.
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

            /// Bytes that weights and bias take where they are multiplied, and the bias as it was given.
            ///
            /// On a GPU the stored form of the weights stays in host memory besides, for saving and moving.
            pub fn memory_bytes(&self) -> usize {
                self.core.memory_bytes()
            }

            /// The quantized weights, in host memory.
            pub fn weight(&self) -> &crate::formats::QuantMatrix {
                self.core.matrix()
            }

            /// The bias, `[N]`, in host memory.
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
