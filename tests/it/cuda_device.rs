//! What a GPU device refuses, and that it stays usable: on simulated devices, through the public API.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lowbit::Activations;
use lowbit::Device;
use lowbit::Dtype;
use lowbit::Error;
use lowbit::Int8;
use lowbit::Linear4bit;
use lowbit::Linear8bit;
use lowbit::Nf4;
use lowbit::Strategy;
use lowbit::Tensor;
use lowbit::cuda::CudaDevice;
use lowbit::error::CudaError;

use crate::built;
use crate::simulator::Simulator;

fn layer(n: usize, k: usize, device: &Device) -> Linear4bit {
    let weight = Tensor::new((0..n * k).map(|i| (i % 17) as f32 - 8.0).collect::<Vec<_>>(), &[n, k]).unwrap();
    Linear4bit::quantize(&weight, None, Nf4::default(), device).unwrap()
}

#[test]
fn tensors_of_another_device_are_refused() {
    if !built::present() {
        return;
    }
    let (one, other) = (Simulator::new(90).device(), Simulator::new(90).device());
    let layer = layer(16, 64, &one);
    let x = Tensor::zeros(Dtype::F16, &[2, 64]).unwrap();
    for wrong in [x.clone(), x.to(&other).unwrap()] {
        let error = layer.forward(&wrong).unwrap_err();
        assert!(matches!(error, Error::WrongDevice { what: "activations", .. }), "{error}");
        let mut y = Tensor::zeros(Dtype::F16, &[2, 16]).unwrap().to(&wrong.device()).unwrap();
        let error = layer.forward_into(&x.to(&one).unwrap(), &mut y).unwrap_err();
        assert!(matches!(error, Error::WrongDevice { what: "output", .. }), "{error}");
    }
    let error = x.to(&one).unwrap().values().unwrap_err();
    assert!(matches!(error, Error::WrongDevice { .. }), "{error}");
    // The layer is as it was.
    assert_eq!(layer.forward(&x.to(&one).unwrap()).unwrap().shape(), [2, 16]);
}

#[test]
fn shapes_and_types_that_no_kernel_takes_are_refused_with_their_values() {
    if !built::present() {
        return;
    }
    let device = Simulator::new(90).device();
    let layer = layer(16, 64, &device);
    let on = |dtype, shape: &[usize]| Tensor::zeros_on(dtype, shape, &device).unwrap();
    assert_eq!(layer.forward(&on(Dtype::F16, &[0, 64])).unwrap().shape(), [0, 16]);
    assert!(matches!(layer.forward(&on(Dtype::F16, &[2, 63])), Err(Error::Shape { .. })));
    let error = layer.forward_into(&on(Dtype::F16, &[2, 64]), &mut on(Dtype::F32, &[2, 16])).unwrap_err();
    assert!(error.to_string().contains("f16 activations to f32"), "{error}");
    for (x, strategy, rule) in [
        (on(Dtype::F32, &[2, 64]), Strategy::Gemv, "x must be f16 or bf16"),
        (on(Dtype::F16, &[17, 64]), Strategy::Gemv, "M = 17"),
        (on(Dtype::F32, &[17, 64]), Strategy::Fused, "x must be f16 or bf16"),
    ] {
        let error = layer.forward_with(&x, strategy).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }) && error.to_string().contains(rule), "{error}");
    }
}

#[test]
fn the_workspace_does_not_grow_while_a_graph_is_captured() {
    if !built::present() {
        return;
    }
    let simulator = Arc::new(Simulator::new(90));
    let device = Device::Cuda(CudaDevice::from_driver(Arc::clone(&simulator) as _));
    let layer = layer(16, 64, &device);
    // In f32 W is dequantized to scratch memory.
    let x = Tensor::zeros_on(Dtype::F32, &[32, 64], &device).unwrap();
    let mut y = Tensor::zeros_on(Dtype::F32, &[32, 16], &device).unwrap();
    simulator.capturing.store(true, Ordering::Relaxed);
    let error = layer.forward_into(&x, &mut y).unwrap_err();
    assert!(matches!(error, Error::Cuda(CudaError::WorkspaceInCapture { .. })), "{error}");
    simulator.capturing.store(false, Ordering::Relaxed);
    layer.forward_into(&x, &mut y).unwrap();
    simulator.capturing.store(true, Ordering::Relaxed);
    layer.forward_into(&x, &mut y).unwrap();
}

#[test]
fn out_of_memory_is_an_error_and_the_layer_stays_usable() {
    if !built::present() {
        return;
    }
    let device = Simulator::new(90).device();
    let layer = layer(16, 64, &device);
    let error = Tensor::zeros_on(Dtype::F32, &[1 << 30], &device).unwrap_err();
    assert!(matches!(error, Error::Cuda(CudaError::OutOfMemory { bytes: 0x1_0000_0000, .. })), "{error}");
    layer.forward(&Tensor::zeros_on(Dtype::F16, &[1, 64], &device).unwrap()).unwrap();
}

/// Clones of a tensor share memory; writing one does not change the other.
#[test]
fn an_output_that_is_shared_is_not_written() {
    if !built::present() {
        return;
    }
    let device = Simulator::new(90).device();
    let layer = layer(16, 64, &device);
    let x = Tensor::new(vec![1f32; 64], &[1, 64]).unwrap().to_dtype(Dtype::F16).unwrap().to(&device).unwrap();
    let before = Tensor::zeros_on(Dtype::F16, &[1, 16], &device).unwrap();
    let mut y = before.clone();
    layer.forward_into(&x, &mut y).unwrap();
    let values = |tensor: &Tensor| tensor.to(&Device::cpu()).unwrap().values().unwrap().to_f32();
    assert!(values(&before).iter().all(|v| *v == 0.0) && values(&y).iter().any(|v| *v != 0.0));
}

/// Activations of 4 bits take the kernel of those of 8: it agrees with dequantize-then-multiply, to the rounding of f16.
#[test]
fn int4_activations_are_multiplied_on_tensor_cores() {
    if !built::present() {
        return;
    }
    let device = Simulator::new(90).device();
    let values = |count: usize| (0..count).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect::<Vec<_>>();
    let weight = Tensor::new(values(16 * 64), &[16, 64]).unwrap();
    let layer = Linear8bit::quantize(&weight, None, Int8::default(), &device).unwrap();
    let layer = layer.with_activations(Activations::Int4).unwrap();
    let x = Tensor::new(values(3 * 64), &[3, 64]).unwrap().to_dtype(Dtype::F16).unwrap().to(&device).unwrap();
    let run = |strategy| {
        let y = layer.forward_with(&x, strategy).unwrap().to(&Device::cpu()).unwrap();
        y.values().unwrap().to_f32()
    };
    let (fused, dense) = (run(Strategy::Fused), run(Strategy::DequantizeThenMultiply));
    assert!(fused.iter().any(|v| v.abs() > 0.5));
    // Both round a sum that is exact but for f32 once: at most one unit in the last place of f16 apart.
    assert!(fused.iter().zip(&dense).all(|(f, d)| (f - d).abs() <= d.abs() / 1024.0 + 1e-4), "{fused:?} {dense:?}");
}
