//! Rows of activations and of weights to i8 codes: LLM.int8() on the device, and back.
//!
//! Nothing here waits for the host or allocates, but [`quantize_weight`], which ends in a download.
#![allow(unsafe_code)]

use crate::cuda::CudaDevice;
use crate::cuda::DeviceBuffer;
use crate::cuda::args::DequantRowsArgs;
use crate::cuda::args::OutliersArgs;
use crate::cuda::args::QuantizeRowsArgs;
use crate::cuda::args::TensorAbsmaxArgs;
use crate::cuda::buffer::Region;
use crate::cuda::driver::DevicePtr;
use crate::cuda::kernels;
use crate::cuda::kernels::Kernel;
use crate::cuda::ops::blocks;
use crate::cuda::ops::is_aligned;
use crate::cuda::ops::nonfinite::FirstNonFinite;
use crate::cuda::ops::w8::CodeOrder;
use crate::cuda::ops::w8::W8;
use crate::error::Error;
use crate::error::Result;
use crate::formats::Format;
use crate::formats::Parts;
use crate::formats::QuantMatrix;
use crate::layout::wgmma_w8::ATOM_BYTES;
use crate::layout::wgmma_w8::ATOM_COLS;
use crate::layout::wgmma_w8::ATOM_ROWS;
use crate::shape::Granularity;
use crate::shape::MatShape;
use crate::values::Dtype;

/// Columns of one block of the kernel `outliers`.
const SLICE_COLUMNS: usize = 256;
/// Rows of x and W of one block of the kernel `outliers`.
const SLICE_ROWS: usize = 512;
/// Rows of up to so many columns are quantized by a warp, longer ones by 256 threads: 32 lanes of 4 (16-bit values) or 8
/// (f32) vectors, half of what they keep in registers or all.
const SHORT_COLUMNS: usize = 1024;
/// Rows in one block, a warp each.
const SHORT_ROWS: usize = 8;

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
    /// How the codes lie.
    pub order: CodeOrder,
}

/// How many regions [`QuantizedRows`] has.
pub const NUM_REGIONS: usize = 8;

impl QuantizedSize {
    /// Bytes of each region of [`QuantizedRows`], for [`CudaDevice::lease`]. Those of the outliers allow for all K columns,
    /// because their number is known on the device alone.
    pub fn bytes(self) -> [usize; NUM_REGIONS] {
        let Self { m, k, n, dtype, has_outliers, order } = self;
        let ld = leading_dimension(k);
        let outliers = if has_outliers {
            [k.next_multiple_of(SLICE_COLUMNS), 4 * k, 4, m * ld * dtype.size_bytes(), n * ld * dtype.size_bytes()]
        } else {
            [0; 5]
        };
        let [flags, columns, count, x, w] = outliers;
        let codes = match order {
            CodeOrder::Rows => m * k,
            CodeOrder::Tiles => order.row_atoms(m) * k.div_ceil(ATOM_COLS) * ATOM_BYTES,
        };
        [codes, 4 * m, 4 * m, flags, columns, count, x, w]
    }
}

/// The leading dimension of [`Outliers::x`] and [`Outliers::w`]: K rounded up to 16.
pub fn leading_dimension(k: usize) -> usize {
    k.next_multiple_of(16)
}

/// Rounded rows in device memory.
#[derive(Clone, Copy, Debug)]
pub struct QuantizedRows<'a> {
    /// i8 [M, K] in `order`: 0 in columns with outliers. In tiles also the padding is written.
    pub codes: Region<'a>,
    /// How the codes lie.
    pub order: CodeOrder,
    /// f32 \[M\]: each row's largest magnitude, outliers not counted; NaN when the row has a NaN or infinity.
    pub absmax: Region<'a>,
    /// i32 \[M\]: the sum of each row's codes.
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
    /// u8 \[K\]: 1 for a column with outliers, 0 otherwise.
    pub flags: Region<'a>,
    /// u32 \[K\], the first `count` valid: the columns, ascending.
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
        Self { codes, order: size.order, absmax, sums, outliers }
    }
}

/// Quantizes `rows` into `to`. When there is a threshold, `weights` [N, K] is the matrix that they will be multiplied with:
/// its columns with outliers are gathered; without it only those of x are.
///
/// # Errors
/// [`Error::Invalid`] for a threshold that is not 0 or positive and finite, and when `to` has outliers and there is no
/// threshold, or the reverse; [`Error::Unsupported`] for codes in tiles on a device without wgmma; [`Error::Shape`] when `weights` does not have K columns; [`Error::Length`] when a region is too
/// short; [`Error::TooLarge`]; the driver's.
pub fn quantize(
    device: &CudaDevice,
    rows: &Rows<'_>,
    rounding: Rounding,
    weights: Option<&W8>,
    to: &QuantizedRows<'_>,
) -> Result<()> {
    let Rounding { max_code, threshold } = rounding;
    check_threshold(threshold, to.outliers.is_some())?;
    to.order.check(device)?;
    if let Some(shape) = weights.map(W8::shape).filter(|shape| shape.k() != rows.k) {
        return Err(Error::Shape {
            what: "weights of rounded rows",
            expected: vec![shape.n(), rows.k],
            found: vec![shape.n(), shape.k()],
        });
    }
    if rows.m == 0 {
        return Ok(());
    }
    let size = QuantizedSize {
        m: rows.m,
        k: rows.k,
        n: weights.map_or(0, |w| w.shape().n()),
        dtype: rows.dtype,
        has_outliers: to.outliers.is_some(),
        order: to.order,
    };
    let at = to.addresses(size)?;
    let mut args = rows.args()?;
    args.codes = at.codes;
    args.row_atoms = to.order.row_atoms(rows.m) as u64;
    args.absmax = at.absmax;
    args.sums = at.sums;
    args.flags = at.flags;
    args.max_code = max_code.into();
    if to.outliers.is_none() {
        return rows.enqueue(device, args);
    }
    args.threshold = threshold;
    let grid = outlier_grid(size)?;
    let outliers = OutliersArgs {
        w: weights.map_or_else(bytemuck::Zeroable::zeroed, W8::args),
        x: args.x,
        codes: at.codes,
        sums: at.sums,
        flags: at.flags,
        columns: at.columns,
        count: at.count,
        outlier_x: at.x,
        outlier_w: at.w,
        m: size.m as u64,
        n: size.n as u64,
        row_atoms: args.row_atoms,
        k: args.k,
        ld: leading_dimension(size.k) as u32,
    };
    let [.., gather] = kernels_of(rows.dtype);
    // SAFETY: `addresses` has checked every region for what `size` says, flags padded to whole slices.
    unsafe { device.driver().fill(at.flags, 0, size.k.next_multiple_of(SLICE_COLUMNS))? };
    rows.enqueue(device, args)?;
    // SAFETY: as above; `weights` outlives the call, and freeing it is ordered behind the launch.
    unsafe { device.launch(gather, grid, 0, &outliers) }
}

/// Writes the values that the codes stand for, and x itself in columns with outliers, to `out` f32 [M, K]: what
/// dequantize-then-multiply multiplies. `rows` and `rounding` are what `from` was made with.
///
/// # Errors
/// [`Error::Unsupported`] for codes in tiles; [`Error::Length`] when a region is too short; [`Error::TooLarge`]; the driver's.
pub fn dequantize(
    device: &CudaDevice,
    rows: &Rows<'_>,
    rounding: Rounding,
    from: &QuantizedRows<'_>,
    out: Region<'_>,
) -> Result<()> {
    let Rows { dtype, m, k, .. } = *rows;
    if m == 0 {
        return Ok(());
    }
    if from.order == CodeOrder::Tiles {
        return Err(Error::Unsupported {
            op: "dequantizing rounded rows",
            subject: "codes in tiles".into(),
            device: device.name().into(),
            rule: "the kernel reads them in rows".into(),
        });
    }
    let size = QuantizedSize { m, k, n: 0, dtype, has_outliers: from.outliers.is_some(), order: from.order };
    let at = from.addresses(size)?;
    let QuantizeRowsArgs { x, k: columns, .. } = rows.args()?;
    let args = DequantRowsArgs {
        x,
        codes: at.codes,
        absmax: at.absmax,
        flags: at.flags,
        out: out.holds("rounded activations", 4 * m * k, &format!("f32 [{m}, {k}]"))?,
        m: m as u64,
        k: columns,
        max_code: rounding.max_code.into(),
    };
    let kernel = match dtype {
        Dtype::F32 => &kernels::DEQUANT_ROWS_INT8_F32,
        Dtype::F16 => &kernels::DEQUANT_ROWS_INT8_F16,
        Dtype::Bf16 => &kernels::DEQUANT_ROWS_INT8_BF16,
    };
    // SAFETY: all regions hold what M and K say.
    unsafe { device.launch(kernel, blocks(m)?, 0, &args) }
}

/// Quantizes a weight matrix to [`Format::Int8`] per row or per tensor.
///
/// # Errors
/// [`Error::NonFinite`] for a NaN or infinity, [`Error::Unsupported`] for groups; [`Error::Length`] when `values` is too
/// short; out of memory.
pub fn quantize_weight(
    device: &CudaDevice,
    values: Region<'_>,
    dtype: Dtype,
    shape: MatShape,
    granularity: Granularity,
) -> Result<QuantMatrix> {
    let format = Format::Int8 { granularity };
    let rows = Rows { x: values, dtype, m: shape.n(), k: shape.k() };
    let codes = DeviceBuffer::new(device, shape.num_values())?;
    let absmax = DeviceBuffer::zeros(device, 4 * format.num_scales(shape))?;
    let first = FirstNonFinite::new(device)?;
    let mut args = rows.args()?;
    args.codes = codes.ptr();
    args.max_code = 127.0;
    args.first_nonfinite = first.ptr();
    match granularity {
        Granularity::PerRow => args.absmax = absmax.ptr(),
        Granularity::PerTensor => {
            args.tensor_absmax = absmax.ptr();
            enqueue_tensor_absmax(device, &args, dtype, absmax.ptr())?;
        }
        Granularity::PerGroup(_) => {
            return Err(Error::Unsupported {
                op: "quantizing",
                subject: format.to_string(),
                device: device.name().into(),
                rule: "the kernel has one scale per row or tensor".into(),
            });
        }
    }
    rows.enqueue(device, args)?;
    first.check(args.x, dtype, "weight")?;
    let parts = Parts::new(codes.to_vec()?, absmax.to_vec()?);
    QuantMatrix::from_parts(format, shape, dtype, parts)
}

fn enqueue_tensor_absmax(device: &CudaDevice, rows: &QuantizeRowsArgs, dtype: Dtype, absmax: DevicePtr) -> Result<()> {
    let num_values = rows.m * u64::from(rows.k);
    let args = TensorAbsmaxArgs { x: rows.x, absmax, num_values };
    if !is_aligned(args.x) {
        return Err(Error::Unsupported {
            op: "quantizing",
            subject: "a tensor".into(),
            device: device.name().into(),
            rule: format!("it begins at {:#x}, which is not a multiple of 16 bytes", args.x),
        });
    }
    let kernel = match dtype {
        Dtype::F32 => &kernels::QUANTIZE_INT8_F32_TENSOR,
        Dtype::F16 => &kernels::QUANTIZE_INT8_F16_TENSOR,
        Dtype::Bf16 => &kernels::QUANTIZE_INT8_BF16_TENSOR,
    };
    // Eight blocks of 256 threads fill a multiprocessor; each goes on with further parts of the tensor.
    let parts = num_values.div_ceil(256 * 16 / dtype.size_bytes() as u64) as usize;
    let grid = blocks(parts.min(8 * device.limits().num_sms as usize))?;
    // SAFETY: x holds M * K values, as `rows.args` has checked; `absmax` is one zero of the caller's.
    unsafe { device.launch(kernel, grid, 0, &args) }
}

/// The kernels of a type of x: a block a row, a warp a row, outliers.
fn kernels_of(dtype: Dtype) -> [&'static Kernel; 3] {
    use crate::cuda::kernels::*;
    match dtype {
        Dtype::F32 => [&QUANTIZE_INT8_F32_ROWS, &QUANTIZE_INT8_F32_SHORT, &QUANTIZE_INT8_F32_OUTLIERS],
        Dtype::F16 => [&QUANTIZE_INT8_F16_ROWS, &QUANTIZE_INT8_F16_SHORT, &QUANTIZE_INT8_F16_OUTLIERS],
        Dtype::Bf16 => [&QUANTIZE_INT8_BF16_ROWS, &QUANTIZE_INT8_BF16_SHORT, &QUANTIZE_INT8_BF16_OUTLIERS],
    }
}

/// Whether rows of `k` columns are short, and the grid for `m` of them.
fn row_plan(m: usize, k: usize) -> Result<(bool, [u32; 3])> {
    let is_short = k <= SHORT_COLUMNS;
    Ok((is_short, blocks(if is_short { m.div_ceil(SHORT_ROWS) } else { m })?))
}

/// The grid of the kernel `outliers`: slices of columns by slices of rows of x and W.
fn outlier_grid(size: QuantizedSize) -> Result<[u32; 3]> {
    let slices = blocks(size.k.div_ceil(SLICE_COLUMNS))?[0];
    let rows = size.m + size.n;
    match rows.div_ceil(SLICE_ROWS) {
        parts @ 0..=65535 => Ok([slices, parts as u32, 1]),
        _ => Err(Error::TooLarge { what: "rows of x and W with outliers", shape: vec![rows] }),
    }
}

fn check_threshold(threshold: f32, has_outliers: bool) -> Result<()> {
    let rule = match (threshold > 0.0, has_outliers) {
        _ if !(0.0..f32::INFINITY).contains(&threshold) => "must be 0 (no outliers) or a positive number",
        (true, false) => "a threshold needs memory for the outliers",
        (false, true) => "without a threshold there are no outliers",
        (true, true) | (false, false) => return Ok(()),
    };
    Err(Error::Invalid { what: "outlier threshold", value: threshold.to_string(), rule })
}

/// Addresses of the regions of [`QuantizedRows`]; 0 for what is not there.
#[derive(Clone, Copy)]
struct Addresses {
    codes: DevicePtr,
    absmax: DevicePtr,
    sums: DevicePtr,
    flags: DevicePtr,
    columns: DevicePtr,
    count: DevicePtr,
    x: DevicePtr,
    w: DevicePtr,
}

impl QuantizedRows<'_> {
    /// The addresses, when each region is as long as `size` says.
    fn addresses(&self, size: QuantizedSize) -> Result<Addresses> {
        let QuantizedSize { m, k, n, dtype, .. } = size;
        let rule = format!("x [{m}, {k}] of {dtype}, N = {n}");
        let [codes, absmax, sums, flags, columns, count, x, w] = size.bytes();
        let outlier = |region: for<'a> fn(&Outliers<'a>) -> Region<'a>, what, bytes| {
            self.outliers.as_ref().map_or(Ok(0), |outliers| region(outliers).holds(what, bytes, &rule))
        };
        Ok(Addresses {
            codes: self.codes.holds("codes of x", codes, &rule)?,
            absmax: self.absmax.holds("absmax of x", absmax, &rule)?,
            sums: self.sums.holds("sums of codes", sums, &rule)?,
            flags: outlier(|o| o.flags, "outlier flags", flags)?,
            columns: outlier(|o| o.columns, "outlier columns", columns)?,
            count: outlier(|o| o.count, "outlier count", count)?,
            x: outlier(|o| o.x, "outliers of x", x)?,
            w: outlier(|o| o.w, "outliers of W", w)?,
        })
    }
}

impl Rows<'_> {
    /// The arguments that x decides; nothing else is wanted, and nothing is an outlier.
    fn args(&self) -> Result<QuantizeRowsArgs> {
        let Self { x, dtype, m, k } = *self;
        let Ok(columns) = i32::try_from(k) else {
            return Err(Error::TooLarge { what: "row", shape: vec![m, k] });
        };
        let x = x.holds("activations", m * k * dtype.size_bytes(), &format!("[{m}, {k}] of {dtype}"))?;
        Ok(QuantizeRowsArgs {
            x,
            codes: 0,
            absmax: 0,
            sums: 0,
            flags: 0,
            first_nonfinite: 0,
            tensor_absmax: 0,
            m: m as u64,
            row_atoms: 0,
            k: columns as u32,
            is_aligned: 0,
            threshold: f32::NAN,
            max_code: 0.0,
        })
    }

    fn enqueue(&self, device: &CudaDevice, mut args: QuantizeRowsArgs) -> Result<()> {
        // Padding has rows of its own.
        let (is_short, grid) = row_plan(self.m.max(ATOM_ROWS * args.row_atoms as usize), self.k)?;
        let row_bytes = self.k * self.dtype.size_bytes();
        let aligned = is_aligned(args.x) && is_aligned(args.codes) && row_bytes.is_multiple_of(16);
        args.is_aligned = aligned.into();
        let [long, short, _] = kernels_of(self.dtype);
        // SAFETY: the caller has set the addresses to regions that hold what M and K say, or to 0.
        unsafe { device.launch(if is_short { short } else { long }, grid, 0, &args) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_planned_by_their_length_in_grids_that_exist() {
        assert_eq!(row_plan(1, SHORT_COLUMNS).unwrap(), (true, [1, 1, 1]));
        assert_eq!(row_plan(1 << 20, SHORT_COLUMNS).unwrap(), (true, [1 << 17, 1, 1]));
        assert_eq!(row_plan(1 << 20, SHORT_COLUMNS + 1).unwrap(), (false, [1 << 20, 1, 1]));
        assert!(row_plan(i32::MAX as usize, 4096).is_ok());
        assert!(matches!(row_plan(1 << 31, 4096), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn slices_of_outliers_cover_all_columns_and_rows() {
        let grid = |m, k, n| {
            outlier_grid(QuantizedSize { m, k, n, dtype: Dtype::F16, has_outliers: true, order: CodeOrder::Rows })
        };
        assert_eq!(grid(1, 1, 0).unwrap(), [1, 1, 1]);
        assert_eq!(grid(1, 257, 512).unwrap(), [2, 2, 1]);
        assert_eq!(grid(1 << 20, 53_248, 57_344).unwrap(), [208, 2160, 1]);
        assert!(matches!(grid(65_535 * 512, 16, 1), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn memory_is_for_all_columns_in_rows_of_a_multiple_of_16() {
        let order = CodeOrder::Rows;
        let size = |has_outliers| QuantizedSize { m: 3, k: 33, n: 5, dtype: Dtype::F16, has_outliers, order };
        assert_eq!(size(false).bytes(), [99, 12, 12, 0, 0, 0, 0, 0]);
        assert_eq!(size(true).bytes(), [99, 12, 12, 256, 132, 4, 3 * 48 * 2, 5 * 48 * 2]);
        let tiles = QuantizedSize { m: 9, k: 129, order: CodeOrder::Tiles, ..size(false) };
        assert_eq!(tiles.bytes(), [16 * 256, 36, 36, 0, 0, 0, 0, 0]);
        // Beyond 2^31 bytes nothing wraps.
        let large = QuantizedSize { m: 1 << 20, k: 16_384, n: 0, dtype: Dtype::F32, has_outliers: true, order }.bytes();
        assert_eq!((large[0], large[6]), (1 << 34, 1 << 36));
    }
}
