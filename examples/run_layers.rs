//! Runs every linear of quantized checkpoints and compares it with the dense one: `run_layers DENSE QUANTIZED...`.
//!
//! x is the same pseudo-random activation for both; the error is relative, ‖y_quantized - y_dense‖ / ‖y_dense‖.

use std::error::Error;

use lowbit::Device;
use lowbit::Linear4bit;
use lowbit::Linear8bit;
use lowbit::Tensor;
use lowbit::checkpoint;
use lowbit::checkpoint::Checkpoint;
use lowbit::checkpoint::Stored;
use lowbit::reference;

const TOKENS: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths = std::env::args().skip(1);
    let dense = checkpoint::open(paths.next().ok_or("usage: run_layers DENSE QUANTIZED...")?)?;
    let device = Device::best()?;
    for path in paths {
        let quantized = checkpoint::open(&path)?;
        let (mut error, mut norm, mut layers, mut bytes) = (0.0, 0.0, 0, 0);
        for linear in quantized.linears() {
            let Stored::Quantized(format) = linear.kind else { continue };
            let k = linear.shape.k();
            let x = Tensor::new((0..TOKENS * k).map(activation).collect::<Vec<f32>>(), &[TOKENS, k])?;
            let (y, memory) = if format.code_bits() == 4 {
                let layer = Linear4bit::load(&quantized, &linear.name, &device)?;
                (layer.forward(&x)?, layer.memory_bytes())
            } else {
                let layer = Linear8bit::load(&quantized, &linear.name, &device)?;
                (layer.forward(&x)?, layer.memory_bytes())
            };
            let weight = dense_weight(&dense, &linear.name)?;
            let exact = reference::matmul(&x.values().unwrap().to_f32(), &weight, linear.shape, None);
            for (y, exact) in y.values().unwrap().to_f32().iter().zip(exact) {
                error += (f64::from(*y) - exact).powi(2);
                norm += exact * exact;
            }
            layers += 1;
            bytes += memory;
        }
        println!(
            "{path}: {layers} layers in {:.2} MB ran on {}, relative error of their outputs {:.4}",
            bytes as f64 / 1e6,
            device.name(),
            (error / norm).sqrt()
        );
    }
    Ok(())
}

/// Somewhere in -1..1, without a visible period.
fn activation(i: usize) -> f32 {
    ((i as f32 + 1.0) * 12.9898).sin()
}

fn dense_weight(checkpoint: &Checkpoint, linear: &str) -> Result<Vec<f32>, lowbit::Error> {
    Ok(checkpoint.read_values(&format!("{linear}.weight"))?.as_values().to_f32())
}
