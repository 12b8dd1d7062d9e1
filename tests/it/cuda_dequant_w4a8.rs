//! `dequant_w4a8`: bit for bit what the format computes in f32, rounded once.

use lowbit::Device;
use lowbit::Dtype;
use lowbit::Error;
use lowbit::MatShape;
use lowbit::QuantMatrix;
use lowbit::cuda::DeviceBuffer;
use lowbit::cuda::ops::dequant_w4a8::dequant_w4a8;
use lowbit::cuda::ops::w4a8::W4A8;
use lowbit::formats::Format;
use lowbit::formats::GroupSteps;
use lowbit::formats::Parts;
use lowbit::reference;
use lowbit::values::OwnedValues;

use crate::cuda_kernels::Bench;
use crate::cuda_kernels::cuda_device;
use crate::support::Random;

/// A matrix of random codes, of steps that fill a byte, and of scales that `scale` makes.
pub fn matrix(shape: MatShape, random: &mut Random, scale: impl Fn(&mut Random) -> f32) -> QuantMatrix {
    let codes = (0..shape.num_values().div_ceil(2)).map(|_| random.next() as u8).collect();
    let mut steps = GroupSteps::zeros(shape);
    for (multiplier, offset) in steps.multipliers.iter_mut().zip(&mut steps.offsets) {
        *multiplier = random.below(18) as u8;
        *offset = random.below(256 - 15 * usize::from(*multiplier)) as u8;
    }
    let parts = Parts::new(codes, (0..shape.n()).map(|_| scale(random)).collect());
    QuantMatrix::from_parts(Format::Int4ChannelGroup, shape, Dtype::F32, Parts { steps: Some(steps), ..parts }).unwrap()
}

fn check(device: &Device, matrix: &QuantMatrix, dtype: Dtype) {
    let cuda = cuda_device(device);
    let expected = OwnedValues::from_f32(dtype, &reference::dequantize(matrix));
    let w = W4A8::upload(cuda, matrix).unwrap();
    let out = DeviceBuffer::new(cuda, expected.as_bytes().len()).unwrap();
    dequant_w4a8(cuda, &w, dtype, out.region()).unwrap();
    let mut found = OwnedValues::zeros(dtype, matrix.shape().num_values());
    out.download(found.as_bytes_mut()).unwrap();
    let size = dtype.size_bytes();
    let bits = |values: &OwnedValues, i: usize| values.as_bytes()[i * size..][..size].to_vec();
    for i in 0..matrix.shape().num_values() {
        let (found_value, value) = (found.as_values().get(i), expected.as_values().get(i));
        let case =
            format!("{} {dtype} on {device:?}: value {i} is {found_value:e}, expected {value:e}", matrix.shape());
        assert_eq!(bits(&found, i), bits(&expected, i), "{case}");
    }
}

/// One value; odd K; K beside fours, groups and units; rows beside units; more units than a block has.
const SHAPES: [(usize, usize); 9] =
    [(1, 1), (3, 5), (31, 63), (32, 64), (33, 65), (5, 130), (70, 192), (34, 68), (129, 320)];

/// Every kernel over shapes that hurt; some values overflow f16, some are subnormal.
pub fn against_reference(bench: &Bench) {
    let mut random = Random::new(21);
    let scale = |random: &mut Random| random.uniform() * [1.0, 1e-3, 3e5, 1e-39][random.below(4)];
    let devices = bench.devices().into_iter().chain([bench.simulated(80), bench.simulated(120)]);
    for device in devices {
        for (n, k) in SHAPES {
            let matrix = matrix(MatShape::new(n, k).unwrap(), &mut random, scale);
            for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
                check(&device, &matrix, dtype);
            }
        }
    }
}

#[test]
fn other_formats_and_short_outputs_are_refused() {
    let device = crate::simulator::Simulator::new(90).device();
    let cuda = cuda_device(&device);
    let shape = MatShape::new(2, 64).unwrap();
    let int4 = lowbit::Recipe::from(lowbit::Int4::default()).format;
    let error = W4A8::upload(cuda, &reference::quantize((&[0.0; 128][..]).into(), shape, int4).unwrap()).unwrap_err();
    assert!(error.to_string().contains("W4A8 takes int4_channel_group"), "{error}");
    let w = W4A8::upload(cuda, &matrix(shape, &mut Random::new(1), |_| 1.0)).unwrap();
    let out = DeviceBuffer::new(cuda, 255).unwrap();
    let error = dequant_w4a8(cuda, &w, Dtype::F16, out.region()).unwrap_err();
    assert!(matches!(error, Error::Length { expected: 256, found: 255, .. }), "{error}");
}
