//! Rows of activations and of weights to i8 codes: LLM.int8() on the device, and back.

use crate::cuda::CudaDevice;
use crate::cuda::args::DequantRowsArgs;
use crate::cuda::args::OutliersArgs;
use crate::cuda::args::QuantizeRowsArgs;
use crate::cuda::args::W8Args;
use crate::cuda::buffer::Region;
use crate::cuda::kernels::DEQUANT_ROWS_INT8;
use crate::cuda::kernels::Kernel;
use crate::cuda::kernels::QUANTIZE_INT8_OUTLIERS;
use crate::cuda::kernels::QUANTIZE_INT8_ROWS;
use crate::cuda::kernels::QUANTIZE_INT8_SHORT;
use crate::cuda::ops::w8::W8;
use crate::error::Error;
use crate::error::Result;
use crate::values::Dtype;

/// What is rounded: x [M, K], row-major.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Its values.
    pub x: Region<'a>,
    /// Their type.
    pub dtype: Dtype,
    /// M.
    pub m: usize,
    /// K.
    pub k: usize,
}

/// How it is rounded.
#[derive(Clone, Copy, Debug)]
pub struct Rounding {
    /// The largest code: 127, or 7 for activations of 4 bits.
    pub max_code: u8,
    /// Columns that hold a magnitude of `threshold` or more stay in floating point; 0: none.
    pub threshold: f32,
}

/// How much memory the rounded rows need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantizedSize {
    /// Rows of x.
    pub m: usize,
    /// Columns of x and W.
    pub k: usize,
    /// Rows of W; 0 when W is not gathered.
    pub n: usize,
    /// The type of x.
    pub dtype: Dtype,
    /// Whether there is a threshold.
    pub has_outliers: bool,
}

/// How many regions [`QuantizedRows`] has.
pub const NUM_REGIONS: usize = 8;

impl QuantizedSize {
    /// Bytes of each region of [`QuantizedRows`], for [`CudaDevice::lease`]. Those of the outliers allow for all K columns,
    /// because their number is known on the device alone.
    pub fn bytes(self) -> [usize; NUM_REGIONS] {
        let Self { m, k, n, dtype, has_outliers } = self;
        let ld = leading_dimension(k);
        let outliers = if has_outliers {
            [k.next_multiple_of(SLICE_COLUMNS), 4 * k, 4, m * ld * dtype.size_bytes(), n * ld * dtype.size_bytes()]
        } else {
            [0; 5]
        };
        let [flags, columns, count, x, w] = outliers;
        [m * k, 4 * m, 4 * m, flags, columns, count, x, w]
    }
}

/// The leading dimension of [`Outliers::x`] and [`Outliers::w`]: K rounded up to 16.
pub fn leading_dimension(k: usize) -> usize {
    k.next_multiple_of(16)
}

/// Rounded rows in device memory.
#[derive(Clone, Copy, Debug)]
pub struct QuantizedRows<'a> {
    /// i8 [M, K]: 0 in columns with outliers.
    pub codes: Region<'a>,
    /// f32 [M]: each row's largest magnitude, outliers not counted; NaN when the row has a NaN or infinity.
    pub absmax: Region<'a>,
    /// i32 [M]: the sum of each row's codes.
    pub sums: Region<'a>,
    /// What stays in floating point, when there is a threshold.
    pub outliers: Option<Outliers<'a>>,
}

/// The columns of x that hold an outlier, and those of W.
///
/// `x` and `w` are row-major with [`leading_dimension`]`(K)` values a row, in the type of x. Their first `count` columns are
/// valid, then zeros up to the next multiple of 16; nothing is written beyond.
#[derive(Clone, Copy, Debug)]
pub struct Outliers<'a> {
    /// u8 [K]: 1 for a column with outliers, 0 otherwise.
    pub flags: Region<'a>,
    /// u32 [K], the first `count` valid: the columns, ascending.
    pub columns: Region<'a>,
    /// u32: how many.
    pub count: Region<'a>,
    /// x of these columns, [M, ld].
    pub x: Region<'a>,
    /// Dequantized W of these columns, [N, ld].
    pub w: Region<'a>,
}

impl<'a> QuantizedRows<'a> {
    /// From regions of [`QuantizedSize::bytes`].
    pub fn new(size: QuantizedSize, regions: [Region<'a>; NUM_REGIONS]) -> Self {
        let [codes, absmax, sums, flags, columns, count, x, w] = regions;
        let outliers = size.has_outliers.then_some(Outliers { flags, columns, count, x, w });
        Self { codes, absmax, sums, outliers }
    }
}
