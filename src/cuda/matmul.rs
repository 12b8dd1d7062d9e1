//! The choice among the ways to a product on the GPU.

use crate::cuda::CudaDevice;
use crate::cuda::buffer::Region;
use crate::cuda::ops::gemm_dense;
use crate::cuda::ops::gemm_dense::GemmDense;
use crate::cuda::ops::gemm_int4;
use crate::cuda::ops::gemm_int4::GemmInt4;
use crate::cuda::ops::gemm_int8;
use crate::cuda::ops::gemm_int8::GemmInt8;
use crate::cuda::ops::gemm_int8_sm90;
use crate::cuda::ops::gemm_w4;
use crate::cuda::ops::gemm_w4_sm90;
use crate::cuda::ops::gemm_w4a8;
use crate::cuda::ops::gemm_w4a8::GemmW4A8;
use crate::cuda::ops::gemm_w4a8_sm90;
use crate::cuda::ops::gemv_w4;
use crate::cuda::ops::quantize_int4;
use crate::cuda::ops::quantize_int4::PackedRows;
use crate::cuda::ops::quantize_int8;
use crate::cuda::ops::quantize_int8::NUM_REGIONS;
use crate::cuda::ops::quantize_int8::QuantizedRows;
use crate::cuda::ops::quantize_int8::QuantizedSize;
use crate::cuda::ops::quantize_int8::Rounding;
use crate::cuda::ops::quantize_int8::Rows;
use crate::cuda::ops::s4::S4;
use crate::cuda::ops::tiles::ProductSize;
use crate::cuda::ops::w4::W4;
use crate::cuda::ops::w4_product::W4Product;
use crate::cuda::ops::w4a8::W4A8;
use crate::cuda::ops::w8::CodeOrder;
use crate::cuda::ops::w8::W8;
use crate::cuda::plan;
use crate::cuda::prepared::Weights;
use crate::cuda::workspace::Lease;
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
        if let Some(rule) = self.rule(strategy) {
            return Err(self.unsupported(strategy, rule));
        }
        match strategy {
            Strategy::Auto => self.enqueue(self.choice()),
            Strategy::Gemv => self.gemv(),
            Strategy::Fused => self.fused(),
            Strategy::DequantizeThenMultiply => self.dequantize_then_multiply(),
        }
    }

    /// Why there is no such way to this product; `None` when there is.
    fn rule(&self, strategy: Strategy) -> Option<String> {
        match strategy {
            Strategy::Gemv => self.gemv_rule(),
            Strategy::Fused => self.fused_rule(),
            Strategy::Auto | Strategy::DequantizeThenMultiply => None,
        }
    }

    /// What [`Strategy::Auto`] is.
    pub fn choice(&self) -> Strategy {
        let capability = self.device.limits().capability;
        let weight_bits = self.matrix.format().code_bits();
        plan::choose(capability, weight_bits, self.activations, self.m, |strategy| self.rule(strategy).is_none())
    }

    fn unsupported(&self, strategy: Strategy, rule: String) -> Error {
        let Self { matrix, dtype, activations, m, .. } = self;
        Error::Unsupported {
            op: "the strategy",
            subject: format!(
                "{strategy} with {} {} and {dtype} x of M = {m}, {activations}",
                matrix.format(),
                matrix.shape()
            ),
            device: self.device.name().into(),
            rule: format!("{rule}; use auto or dequantize-then-multiply"),
        }
    }

    fn size(&self) -> ProductSize {
        let shape = self.matrix.shape();
        ProductSize { m: self.m, n: shape.n(), k: shape.k() }
    }

    /// Why the codes cannot be streamed; `None` when they can.
    fn gemv_rule(&self) -> Option<String> {
        match (self.weights, self.activations) {
            (Weights::W4(w), Activations::Float) => gemv_w4::rule(w, self.m, self.dtype),
            (Weights::W4(_), activations) => Some(format!("it takes float activations, not {activations}")),
            (Weights::W4A8(_), _) => Some("it takes 4-bit weights with a codebook".into()),
            (Weights::W8(_), _) => Some("it takes 4-bit weights".into()),
            (Weights::S4(_), activations) => Some(format!("it takes float activations, not {activations}")),
        }
    }

    fn gemv(&self) -> Result<()> {
        let Weights::W4(w) = self.weights else { unreachable!("gemv_rule: 4-bit weights") };
        let lease = self.device.lease(&[gemv_w4::scratch_bytes(self.device.limits(), w, self.m)])?;
        gemv_w4::enqueue(&self.w4_product(w), self.device, lease.region(0))
    }

    /// Why there is no kernel that decodes within the product; `None` when there is one.
    fn fused_rule(&self) -> Option<String> {
        let shape = self.matrix.shape();
        match (self.weights, integer::rounding(self.activations)) {
            (Weights::W8(_) | Weights::S4(_), Some(_)) if self.dtype == Dtype::F32 => {
                Some("its kernels write f16 and bf16".into())
            }
            (Weights::W8(w), Some((max_code, _))) => {
                gemm_int8::check(self.device, w.format(), w.shape(), max_code).err().map(|e| e.to_string())
            }
            (Weights::W8(_), None) => Some("8-bit weights are multiplied with rounded activations only".into()),
            (Weights::S4(_), _) => None,
            (Weights::W4(w), None) => {
                self.wgmma_rule(w).and_then(|_| gemm_w4::rule(self.device.limits(), w, self.dtype))
            }
            (Weights::W4(w), Some(_)) if self.activations == Activations::Int4 => {
                gemm_int4::rule(self.device.limits(), w.format(), shape)
            }
            (Weights::W4(_), Some(_)) => Some(format!("it takes float activations, not {}", self.activations)),
            (Weights::W4A8(_), Some((_, threshold))) => gemm_w4a8::rule(self.dtype, threshold),
            (Weights::W4A8(_), None) => Some("int4_channel_group is multiplied with int8 activations only".into()),
        }
    }

    fn fused(&self) -> Result<()> {
        match (self.weights, integer::rounding(self.activations)) {
            (Weights::S4(w), _) => self.gemm_int4(w),
            (Weights::W4(w), _) => self.gemm_w4(w),
            (Weights::W8(w), Some(rounding)) => self.gemm_int8(w, rounding),
            (Weights::W4A8(w), Some((max_code, _))) => self.gemm_w4a8(w, max_code),
            (Weights::W8(_) | Weights::W4A8(_), None) => unreachable!("fused_rule: rounded activations"),
        }
    }

    /// Why 4-bit weights are not multiplied by the warpgroup instructions of sm_90a; `None` when they are.
    fn wgmma_rule(&self, w: &W4) -> Option<String> {
        gemm_w4_sm90::rule(self.device.limits(), w, self.dtype)
    }

    fn gemm_w4(&self, w: &W4) -> Result<()> {
        let (limits, product) = (self.device.limits(), self.w4_product(w));
        if self.wgmma_rule(w).is_none() {
            let lease = self.device.lease(&[gemm_w4_sm90::scratch_bytes(limits, w, self.m)?])?;
            return gemm_w4_sm90::enqueue(&product, self.device, lease.region(0));
        }
        let lease = self.device.lease(&[gemm_w4::scratch_bytes(limits, w, self.m)])?;
        gemm_w4::enqueue(&product, self.device, lease.region(0))
    }

    fn w4_product<'w>(&'w self, w: &'w W4) -> W4Product<'w> {
        W4Product { w, x: self.x, bias: self.bias, y: self.y, m: self.m, dtype: self.dtype }
    }

    fn gemm_w4a8(&self, w: &W4A8, max_code: u8) -> Result<()> {
        let ProductSize { m, n, k } = self.size();
        let (limits, order) = (self.device.limits(), gemm_w4a8_sm90::order_of_x(self.device));
        let size = QuantizedSize { m, k, n, dtype: self.dtype, has_outliers: false, order };
        let scratch_bytes = match order {
            CodeOrder::Rows => gemm_w4a8::scratch_bytes(limits, self.size())?,
            CodeOrder::Tiles => gemm_w4a8_sm90::scratch_bytes(limits, self.size())?,
        };
        let lease = self.lease_rounded(size, [scratch_bytes])?;
        let rounded = self.round(&lease, size, Rounding { max_code, threshold: 0.0 }, None)?;
        let product = GemmW4A8 { x: &rounded, max_code, w, bias: self.bias, y: self.y, m, dtype: self.dtype };
        match order {
            CodeOrder::Rows => product.enqueue(self.device, lease.region(NUM_REGIONS)),
            CodeOrder::Tiles => gemm_w4a8_sm90::enqueue(&product, self.device, lease.region(NUM_REGIONS)),
        }
    }

    fn gemm_int8(&self, w: &W8, (max_code, threshold): (u8, f32)) -> Result<()> {
        let size = QuantizedSize {
            m: self.m,
            k: w.shape().k(),
            n: w.shape().n(),
            dtype: self.dtype,
            has_outliers: threshold > 0.0,
            order: w.order(),
        };
        let scratch_bytes = match w.order() {
            CodeOrder::Rows => gemm_int8::scratch_bytes(self.device.limits(), self.size())?,
            CodeOrder::Tiles => gemm_int8_sm90::scratch_bytes(self.device.limits(), self.size())?,
        };
        let lease = self.lease_rounded(size, [scratch_bytes])?;
        let rounded = self.round(&lease, size, Rounding { max_code, threshold }, Some(w))?;
        let (m, dtype) = (self.m, self.dtype);
        let product = GemmInt8 { x: &rounded, max_code, w, bias: self.bias, y: self.y, m, dtype };
        match w.order() {
            CodeOrder::Rows => product.enqueue(self.device, lease.region(NUM_REGIONS)),
            CodeOrder::Tiles => gemm_int8_sm90::enqueue(&product, self.device, lease.region(NUM_REGIONS)),
        }
    }

    /// Rounds x to 4 bits and multiplies it by `w`.
    fn gemm_int4(&self, w: &S4) -> Result<()> {
        let [codes, absmax] = PackedRows::bytes(self.m, w.shape().k());
        let scratch_bytes = gemm_int4::scratch_bytes(self.device.limits(), self.size())?;
        let lease = self.device.lease(&[codes, absmax, scratch_bytes])?;
        let x = PackedRows { codes: lease.region(0), absmax: lease.region(1) };
        quantize_int4::quantize(self.device, &self.rows(), &x)?;
        let (m, dtype) = (self.m, self.dtype);
        GemmInt4 { x: &x, w, bias: self.bias, y: self.y, m, dtype }.enqueue(self.device, lease.region(2))
    }

    /// Scratch memory for rounded rows, and for `more` after it.
    fn lease_rounded<const N: usize>(&self, size: QuantizedSize, more: [usize; N]) -> Result<Lease<'_>> {
        let regions: Vec<usize> = size.bytes().into_iter().chain(more).collect();
        self.device.lease(&regions)
    }

    /// Rounds x into the first regions of `lease`.
    fn round<'l>(
        &self,
        lease: &'l Lease<'_>,
        size: QuantizedSize,
        rounding: Rounding,
        weights: Option<&W8>,
    ) -> Result<QuantizedRows<'l>> {
        let rounded = QuantizedRows::new(size, std::array::from_fn(|i| lease.region(i)));
        quantize_int8::quantize(self.device, &self.rows(), rounding, weights, &rounded)?;
        Ok(rounded)
    }

    fn rows(&self) -> Rows<'_> {
        Rows { x: self.x, dtype: self.dtype, m: self.m, k: self.matrix.shape().k() }
    }

    /// Writes the whole of W as floats, then multiplies densely. With rounded activations everything is f32, which holds the
    /// values of all codes closely enough that the sums are those of the integers to a few parts in 10^7.
    fn dequantize_then_multiply(&self) -> Result<()> {
        let size @ ProductSize { m, n, k } = self.size();
        let gemm = |x, w, in_dtype, scratch| {
            let product = GemmDense { x, w, bias: self.bias, y: self.y, m, n, k, in_dtype, out_dtype: self.dtype };
            gemm_dense::dense(&product, self.device, scratch)
        };
        let Some((max_code, threshold)) = integer::rounding(self.activations) else {
            let scratch_bytes = gemm_dense::scratch_bytes(self.device.limits(), size, self.dtype)?;
            let lease = self.device.lease(&[n * k * self.dtype.size_bytes(), scratch_bytes])?;
            let w = lease.region(0);
            self.weights.dequantize(self.device, self.dtype, w)?;
            return gemm(self.x, w, self.dtype, lease.region(1));
        };
        let order = CodeOrder::Rows;
        let rows = QuantizedSize { m, k, n: 0, dtype: self.dtype, has_outliers: threshold > 0.0, order };
        let scratch_bytes = gemm_dense::scratch_bytes(self.device.limits(), size, Dtype::F32)?;
        let lease = self.lease_rounded(rows, [4 * m * k, 4 * n * k, scratch_bytes])?;
        let [x, w, scratch] = std::array::from_fn(|i| lease.region(NUM_REGIONS + i));
        let rounding = Rounding { max_code, threshold };
        let rounded = self.round(&lease, rows, rounding, None)?;
        quantize_int8::dequantize(self.device, &self.rows(), rounding, &rounded, x)?;
        self.weights.dequantize(self.device, Dtype::F32, w)?;
        gemm(x, w, Dtype::F32, scratch)
    }
}
