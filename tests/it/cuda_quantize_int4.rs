//! `quantize_int4`: the codes of `reference`, two a byte.

use lowbit::Device;
use lowbit::Dtype;
use lowbit::Error;
use lowbit::cuda::DeviceBuffer;
use lowbit::cuda::ops::quantize_int4;
use lowbit::cuda::ops::quantize_int4::PackedRows;
use lowbit::cuda::ops::quantize_int8::Rows;
use lowbit::reference;
use lowbit::values::OwnedValues;

use crate::cuda_kernels::Bench;
use crate::cuda_kernels::cuda_device;
use crate::cuda_quantize_int8::SHAPES;
use crate::cuda_quantize_int8::UNTOUCHED;
use crate::cuda_quantize_int8::activations;
use crate::cuda_quantize_int8::assert_floats;
use crate::cuda_quantize_int8::bytes_of;
use crate::simulator::Simulator;
use crate::support::Random;

/// The even column in the low half of a byte, zeros to a multiple of 16 bytes.
fn check(x: &OwnedValues, (m, k): (usize, usize), device: &Device) {
    let (cuda, dtype) = (cuda_device(device), x.as_values().dtype());
    let [codes, absmax] =
        PackedRows::bytes(m, k).map(|bytes| DeviceBuffer::upload(cuda, &vec![UNTOUCHED; bytes]).unwrap());
    let values = DeviceBuffer::upload(cuda, x.as_bytes()).unwrap();
    let to = PackedRows { codes: codes.region(), absmax: absmax.region() };
    quantize_int4::quantize(cuda, &Rows { x: values.region(), dtype, m, k }, &to).unwrap();
    let expected = reference::quantize_rows(&x.as_values().to_f32(), k, 7.0, 0.0);
    let name = format!("[{m}, {k}] {dtype} to 4 bits, {device:?}");
    assert_floats("absmax", &expected.absmax, &bytes_of(&absmax), &name);
    let (codes, row_bytes) = (bytes_of(&codes), k.div_ceil(32) * 16);
    assert_eq!(codes.len(), m * row_bytes, "{name}");
    for (row, (bytes, expected)) in codes.chunks(row_bytes).zip(expected.codes.chunks(k)).enumerate() {
        let found: Vec<i8> = bytes.iter().flat_map(|&byte| [(byte << 4) as i8 >> 4, byte as i8 >> 4]).collect();
        assert_eq!(found[..k], *expected, "codes, row {row}: {name}");
        assert!(found[k..].iter().all(|&code| code == 0), "padding, row {row}: {name}");
    }
}

/// Every kernel over shapes that hurt: rows with what is not finite, all zero, subnormal.
pub fn against_reference(bench: &Bench) {
    let mut random = Random::new(11);
    for (shape, dtype) in SHAPES.into_iter().flat_map(|shape| [(shape, Dtype::F16), (shape, Dtype::Bf16)]) {
        let x = activations(shape.0, shape.1, dtype, &mut random);
        for device in [bench.simulated(80)].into_iter().chain(bench.devices()) {
            check(&x, shape, &device);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_before_the_launch() {
    let device = Simulator::new(80).device();
    let cuda = cuda_device(&device);
    let buffer = DeviceBuffer::zeros(cuda, 132).unwrap();
    let refused = |dtype, k, codes: usize| {
        let codes = DeviceBuffer::zeros(cuda, codes).unwrap();
        let to = PackedRows { codes: codes.region(), absmax: buffer.region() };
        quantize_int4::quantize(cuda, &Rows { x: buffer.region(), dtype, m: 2, k }, &to).unwrap_err()
    };
    let error = refused(Dtype::F32, 16, 64);
    assert!(error.to_string().contains("the kernel has f16 and bf16"), "{error}");
    let error = refused(Dtype::F16, 33, 63);
    assert!(matches!(error, Error::Length { what: "codes of x", expected: 64, found: 63, .. }), "{error}");
    let error = refused(Dtype::F16, 34, 64);
    assert!(matches!(error, Error::Length { what: "activations", expected: 136, found: 132, .. }), "{error}");
    let error = refused(Dtype::F16, 1 << 31, 64);
    assert!(matches!(error, Error::TooLarge { what: "row", .. }), "{error}");
}
