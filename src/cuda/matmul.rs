//! The choice among the ways to a product on the GPU.

use crate::cuda::CudaDevice;
use crate::cuda::buffer::Region;
use crate::cuda::ops::gemm_dense::GemmDense;
use crate::cuda::ops::gemm_dense::dense;
use crate::cuda::ops::gemv_w4;
use crate::cuda::ops::quantize_int8;
use crate::cuda::ops::quantize_int8::QuantizedRows;
use crate::cuda::ops::quantize_int8::QuantizedSize;
use crate::cuda::ops::quantize_int8::Rounding;
use crate::cuda::ops::quantize_int8::Rows;
use crate::cuda::prepared::Weights;
use crate::error::Error;
use crate::error::Result;
use crate::formats::QuantMatrix;
use crate::formats::integer;
use crate::strategy::Activations;
use crate::strategy::Strategy;
use crate::values::Dtype;

/// y = x · Wᵀ + bias on one device; M is not 0.
pub(super) struct Product<'a> {
    pub device: &'a CudaDevice,
    pub matrix: &'a QuantMatrix,
    pub weights: &'a Weights,
    pub activations: Activations,
    /// [M, K] of `dtype`.
    pub x: Region<'a>,
    /// f32 [N].
    pub bias: Option<Region<'a>>,
    /// [M, N] of `dtype`.
    pub y: Region<'a>,
    pub m: usize,
    pub dtype: Dtype,
}

impl Product<'_> {
    /// Enqueues it by `strategy`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when format, shape or type do not have the strategy; the driver's.
    pub fn enqueue(&self, strategy: Strategy) -> Result<()> {
        let gemv = self.gemv_rule();
        match (strategy, gemv) {
            (Strategy::Auto | Strategy::Gemv, None) => self.gemv(),
            (Strategy::Auto | Strategy::DequantizeThenMultiply, _) => self.dequantize_then_multiply(),
            (Strategy::Gemv, Some(rule)) => Err(self.unsupported("strategy gemv", rule)),
            (Strategy::Fused, _) => {
                Err(self.unsupported("strategy fused", "it is the CPU's; use auto or dequantize-then-multiply".into()))
            }
        }
    }

    fn unsupported(&self, op: &'static str, rule: String) -> Error {
        let subject = format!(
            "{} {} and {} {} of M = {}",
            self.matrix.format(),
            self.matrix.shape(),
            self.dtype,
            self.activations,
            self.m
        );
        Error::Unsupported { op, subject, device: self.device.name().into(), rule }
    }

    /// Why the product cannot stream the codes; `None` when it can.
    fn gemv_rule(&self) -> Option<String> {
        match (self.weights, self.activations) {
            (Weights::W4(weights), Activations::Float) => gemv_w4::rule(weights, self.m, self.dtype),
            (Weights::W8(_), _) => Some("it streams 4-bit codes".into()),
            (_, activations) => Some(format!("it takes float activations, not {activations}")),
        }
    }

    fn gemv(&self) -> Result<()> {
        let Weights::W4(weights) = self.weights else { unreachable!("gemv_rule: 4-bit codes") };
        gemv_w4::gemv_w4(self.device, weights, self.x, self.m, self.dtype, self.bias, self.y)
    }

    /// Writes the whole of W as floats, then multiplies densely. With rounded activations everything is f32, which holds the
    /// values of all codes exactly enough that the sums are those of the integers to a few parts in 10^7.
    fn dequantize_then_multiply(&self) -> Result<()> {
        let (shape, m) = (self.matrix.shape(), self.m);
        let (n, k) = (shape.n(), shape.k());
        let gemm = |x, w, in_dtype| {
            let product =
                GemmDense { x, w, bias: self.bias, y: self.y, m, n, k, in_dtype, out_dtype: self.dtype };
            dense(&product, self.device)
        };
        let Some((max_code, threshold)) = integer::rounding(self.activations) else {
            let lease = self.device.lease(&[n * k * self.dtype.size_bytes()])?;
            self.weights.dequantize(self.device, self.dtype, lease.region(0))?;
            return gemm(self.x, lease.region(0), self.dtype);
        };
        let size = QuantizedSize { m, k, n: 0, dtype: self.dtype, has_outliers: threshold > 0.0 };
        let floats = [4 * n * k, 4 * m * k];
        let regions: Vec<usize> = floats.into_iter().chain(size.bytes()).collect();
        let lease = self.device.lease(&regions)?;
        let (w, x) = (lease.region(0), lease.region(1));
        let rounded = QuantizedRows::new(size, std::array::from_fn(|i| lease.region(floats.len() + i)));
        let rows = Rows { x: self.x, dtype: self.dtype, m, k };
        let rounding = Rounding { max_code, threshold };
        quantize_int8::quantize(self.device, &rows, rounding, None, &rounded)?;
        quantize_int8::dequantize(self.device, &rows, rounding, &rounded, x)?;
        self.weights.dequantize(self.device, Dtype::F32, w)?;
        gemm(x, w, Dtype::F32)
    }
}
