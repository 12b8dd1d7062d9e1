//! NF4 and FP4 by blocks of the flattened matrix, with f32 or doubly quantized absmax values.
#![allow(unsafe_code)]

use crate::cuda::CudaDevice;
use crate::cuda::DeviceBuffer;
use crate::cuda::args::CodebookBucket;
use crate::cuda::args::NestAbsmaxArgs;
use crate::cuda::args::QuantizeW4Args;
use crate::cuda::buffer::Region;
use crate::cuda::driver::Limits;
use crate::cuda::kernels;
use crate::cuda::ops::blocks;
use crate::cuda::ops::is_aligned;
use crate::cuda::ops::nonfinite::FirstNonFinite;
use crate::error::Error;
use crate::error::Result;
use crate::formats::AbsmaxKind;
use crate::formats::Format;
use crate::formats::NestedAbsmax;
use crate::formats::Parts;
use crate::formats::QuantMatrix;
use crate::formats::Scales;
use crate::shape::MatShape;
use crate::values::Dtype;

/// Values that a block of threads takes at a time.
const TILE: usize = 4096;
/// Buckets of the kernel's search.
const BUCKETS: usize = 48;
/// Absmax values that are summed first, in order.
const RUN: usize = 1024;

/// Quantizes a matrix in device memory to [`Format::Nf4`] or [`Format::Fp4`].
///
/// # Errors
/// [`Error::NonFinite`] for a NaN or infinity, [`Error::Unsupported`] for another format; [`Error::Length`] when `values` is
/// too short; out of memory.
pub fn quantize_w4(
    device: &CudaDevice,
    values: Region<'_>,
    dtype: Dtype,
    shape: MatShape,
    format: Format,
) -> Result<QuantMatrix> {
    let (Format::Nf4 { block_size, absmax: kind } | Format::Fp4 { block_size, absmax: kind }) = format else {
        return Err(unsupported(device, format, "the kernel has blocks of NF4 and FP4"));
    };
    let buckets = format.codebook().and_then(|codebook| buckets(&codebook));
    let buckets =
        buckets.ok_or_else(|| unsupported(device, format, "two midpoints lie in one bucket of the search"))?;
    let num_values = shape.num_values();
    let rule = format!("shape {shape} of {dtype}");
    let x = values.holds("weight", num_values * dtype.size_bytes(), &rule)?;
    // The kernel writes whole words of eight codes.
    let codes = DeviceBuffer::new(device, num_values.div_ceil(8) * 4)?;
    let absmax = DeviceBuffer::new(device, 4 * format.num_scales(shape))?;
    let first = FirstNonFinite::new(device)?;
    let args = QuantizeW4Args {
        x,
        codes: codes.ptr(),
        absmax: absmax.ptr(),
        first_nonfinite: first.ptr(),
        num_values: num_values as u64,
        log2_block: block_size.get().trailing_zeros(),
        is_aligned: is_aligned(x).into(),
        buckets,
    };
    let kernel = match dtype {
        Dtype::F32 => &kernels::QUANTIZE_W4_F32,
        Dtype::F16 => &kernels::QUANTIZE_W4_F16,
        Dtype::Bf16 => &kernels::QUANTIZE_W4_BF16,
    };
    // SAFETY: x holds `num_values`; the buffers are as long as args.h says and live until the end of this function, which
    // waits for the kernels.
    unsafe { device.launch(kernel, blocks(plan(device.limits(), num_values))?, 0, &args)? };
    let nested = match kind {
        AbsmaxKind::F32 => None,
        AbsmaxKind::Nested => Some(Nested::enqueue(device, &absmax)?),
    };
    first.check(x, dtype, "weight")?;
    let scales = match nested {
        None => Scales::F32(absmax.to_vec()?),
        Some(nested) => Scales::Nested(nested.download()?),
    };
    let mut codes = codes.to_vec()?;
    codes.truncate(format.num_code_bytes(shape));
    QuantMatrix::from_parts(format, shape, dtype, Parts { codes, scales, zero_points: None, map: None, steps: None })
}

/// Blocks of threads: a tile each, or as many as eight on a multiprocessor, which then go on with further tiles.
fn plan(limits: &Limits, num_values: usize) -> usize {
    num_values.div_ceil(TILE).min(8 * limits.num_sms as usize)
}

fn unsupported(device: &CudaDevice, format: Format, rule: &str) -> Error {
    Error::Unsupported {
        op: "quantizing",
        subject: format.to_string(),
        device: device.name().into(),
        rule: rule.into(),
    }
}

/// The absmax values in 8 bits, being made.
struct Nested {
    codes: DeviceBuffer,
    absmax: DeviceBuffer,
    offset: DeviceBuffer,
}

impl Nested {
    /// `absmax` f32, written by kernels enqueued before.
    fn enqueue(device: &CudaDevice, absmax: &DeviceBuffer) -> Result<Self> {
        let count = absmax.bytes() / size_of::<f32>();
        let nested_blocks = count.div_ceil(NestedAbsmax::BLOCK_SIZE.get());
        let run_sums = DeviceBuffer::new(device, count.div_ceil(RUN) * size_of::<f64>())?;
        let nested = Self {
            codes: DeviceBuffer::new(device, count)?,
            absmax: DeviceBuffer::new(device, 4 * nested_blocks)?,
            offset: DeviceBuffer::new(device, 4)?,
        };
        let args = NestAbsmaxArgs {
            absmax: absmax.ptr(),
            run_sums: run_sums.ptr(),
            offset: nested.offset.ptr(),
            codes: nested.codes.ptr(),
            nested_absmax: nested.absmax.ptr(),
            count: count as u64,
            midpoints: midpoints(&NestedAbsmax::default_map()),
        };
        // A warp sums a run; a block has eight.
        let sums = blocks(count.div_ceil(RUN).div_ceil(8))?;
        // SAFETY: the buffers are as long as args.h says; that of the sums is freed behind the kernels.
        unsafe {
            device.launch(&kernels::QUANTIZE_W4_NEST_SUMS, sums, 0, &args)?;
            device.launch(&kernels::QUANTIZE_W4_NEST_MEAN, [1, 1, 1], 0, &args)?;
            device.launch(&kernels::QUANTIZE_W4_NEST_CODES, blocks(nested_blocks)?, 0, &args)?;
        }
        Ok(nested)
    }

    fn download(&self) -> Result<NestedAbsmax> {
        Ok(NestedAbsmax {
            codes: self.codes.to_vec()?,
            absmax: self.absmax.to_vec()?,
            offset: self.offset.to_vec()?[0],
            map: NestedAbsmax::default_map(),
        })
    }
}

/// Halfway between neighbours of an ascending map, rounded to f32 as bitsandbytes does; the last is infinite.
fn midpoints(map: &[f32; 256]) -> [f32; 256] {
    std::array::from_fn(|i| map.get(i + 1).map_or(f32::INFINITY, |next| (map[i] + next) / 2.0))
}

/// The search table of a codebook of values from -1 to 1; `None` when two midpoints lie in one bucket.
fn buckets(codebook: &[f32; 16]) -> Option<[CodebookBucket; BUCKETS]> {
    let mut order: [usize; 16] = std::array::from_fn(|code| code);
    order.sort_by(|&a, &b| codebook[a].total_cmp(&codebook[b]));
    // Of two codes with one value, FP4's zeros, the lower is written.
    let code_of = |rank: usize| codebook.iter().position(|value| *value == codebook[order[rank]]).unwrap_or(0) as u32;
    // Between what differs; the code above each. Ascending.
    let steps: Vec<(f32, u32)> = (0..15)
        .filter(|&rank| code_of(rank) != code_of(rank + 1))
        .map(|rank| ((codebook[order[rank]] + codebook[order[rank + 1]]) / 2.0, code_of(rank + 1)))
        .collect();
    let mut buckets = [CodebookBucket { midpoint: f32::INFINITY, codes: 0 }; BUCKETS];
    let mut below = code_of(0);
    for (i, bucket) in buckets.iter_mut().enumerate() {
        let edge = |i: usize| (i as f32 - 17.0) / 16.0;
        let mut inside = steps.iter().filter(|(midpoint, _)| (edge(i)..edge(i + 1)).contains(midpoint));
        let mut above = below;
        if let Some(&(midpoint, code)) = inside.next() {
            (bucket.midpoint, above) = (midpoint, code);
        }
        if inside.next().is_some() {
            return None;
        }
        bucket.codes = below << 28 | above << 24;
        below = above;
    }
    Some(buckets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tables;

    /// As the kernel does.
    fn search(buckets: &[CodebookBucket; BUCKETS], scaled: f32) -> u32 {
        let bucket = buckets[((scaled * 16.0).floor() + 17.0) as usize];
        let codes = if scaled > bucket.midpoint { bucket.codes << 4 } else { bucket.codes };
        codes >> 28
    }

    #[test]
    fn the_search_finds_the_nearest_code_and_the_lower_one_on_a_midpoint() {
        for codebook in [tables::NF4, tables::FP4] {
            let buckets = buckets(&codebook).unwrap();
            let mut sorted = codebook;
            sorted.sort_by(f32::total_cmp);
            let midpoints: Vec<f32> = sorted.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect();
            let edges = (-16..=16).map(|i| i as f32 / 16.0);
            let around =
                midpoints.iter().copied().chain(edges).chain(codebook).flat_map(|v| [v.next_down(), v, v.next_up()]);
            for scaled in around {
                let rank = midpoints.iter().filter(|&&midpoint| scaled > midpoint).count();
                let code = search(&buckets, scaled) as usize;
                assert_eq!(codebook[code], sorted[rank], "{scaled}");
                assert!(codebook[code] != 0.0 || Some(code) == codebook.iter().position(|&v| v == 0.0), "{scaled}");
            }
        }
    }

    #[test]
    fn a_codebook_with_two_midpoints_in_a_bucket_is_refused() {
        let mut codebook = tables::NF4;
        codebook[8] = 0.01;
        codebook[9] = 0.02;
        assert!(buckets(&codebook).is_none());
    }

    #[test]
    fn blocks_fill_the_device_and_no_more() {
        for (num_sms, most) in [(108, 864), (84, 672), (132, 1056), (170, 1360)] {
            let limits = Limits {
                name: String::new(),
                capability: 80,
                num_sms,
                shared_bytes_per_block: 0,
                shared_bytes_per_sm: 0,
                threads_per_sm: 0,
                l2_bytes: 0,
                memory_bytes: 0,
            };
            assert_eq!([1, TILE, TILE + 1, usize::MAX >> 8].map(|n| plan(&limits, n)), [1, 1, 2, most]);
        }
    }
}
