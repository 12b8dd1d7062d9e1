//! What it costs to round activations: `rounded_activations DENSE`, a checkpoint of a Llama.
//!
//! Each linear is quantized to INT4, multiplied with activations in floating point (W4A16), 8 bits (W4A8) and 4 bits (W4A4),
//! and compared with its dense self: ‖y - y_dense‖ / ‖y_dense‖ over all of them. Nothing is rotated or calibrated. x is normal,
//! and, for those that read the embeddings, what they read: the normalised embeddings of tokens.

use std::error::Error;

use lowbit::Activations;
use lowbit::Device;
use lowbit::Int4;
use lowbit::Linear4bit;
use lowbit::Tensor;
use lowbit::checkpoint;
use lowbit::checkpoint::Checkpoint;
use lowbit::reference;
use lowbit::shape::Granularity;
use lowbit::shape::MatShape;

const TOKENS: usize = 64;
const WAYS: [(&str, Activations); 3] =
    [("W4A16", Activations::Float), ("W4A8", Activations::Int8 { threshold: 0.0 }), ("W4A4", Activations::Int4)];

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: rounded_activations DENSE")?;
    let checkpoint = checkpoint::open(&path)?;
    let linears = checkpoint.linears();
    println!("relative error of y, INT4 weights      W4A16    W4A8    W4A4");
    for (name, recipe) in
        [("per row", Int4::default().granularity(Granularity::PerRow)), ("group 128", Int4::default())]
    {
        let all = linears.iter().map(|linear| (&linear.name, linear.shape, normal(TOKENS * linear.shape.k())));
        report(&format!("{name}, normal x"), &checkpoint, recipe, all)?;
        let embeddings = normalised_embeddings(&checkpoint)?;
        let first = linears.iter().filter(|linear| reads_embeddings(&linear.name));
        let first = first.map(|linear| (&linear.name, linear.shape, embeddings.clone()));
        report(&format!("{name}, embeddings"), &checkpoint, recipe, first)?;
    }
    Ok(())
}

/// Prints the errors of some linears with the x of each.
fn report<'a>(
    name: &str,
    checkpoint: &Checkpoint,
    recipe: Int4,
    linears: impl Iterator<Item = (&'a String, MatShape, Vec<f32>)>,
) -> Result<(), Box<dyn Error>> {
    let (mut errors, mut norm, mut count) = ([0.0; WAYS.len()], 0.0, 0);
    for (name, shape, x) in linears {
        let weight = checkpoint.read_values(&format!("{name}.weight"))?.as_values().to_f32();
        let dense = reference::matmul(&x, &weight, shape, None);
        norm += dense.iter().map(|y| y * y).sum::<f64>();
        let weight = Tensor::new(weight, &[shape.n(), shape.k()])?;
        let layer = Linear4bit::quantize(&weight, None, recipe, &Device::cpu())?;
        let x = Tensor::new(x, &[TOKENS, shape.k()])?;
        for ((_, activations), error) in WAYS.iter().zip(&mut errors) {
            let y = layer.clone().with_activations(*activations)?.forward(&x)?;
            let y = y.values()?.to_f32();
            *error += y.iter().zip(&dense).map(|(y, dense)| (f64::from(*y) - dense).powi(2)).sum::<f64>();
        }
        count += 1;
    }
    let [a16, a8, a4] = errors.map(|error| (error / norm).sqrt());
    println!("{name:<22} {count:>3} linears    {a16:.4}  {a8:.4}  {a4:.4}");
    Ok(())
}

/// Whether a linear reads what [`normalised_embeddings`] are.
fn reads_embeddings(linear: &str) -> bool {
    ["q_proj", "k_proj", "v_proj"].iter().any(|end| linear == format!("model.layers.0.self_attn.{end}"))
}

/// RMSNorm of the embeddings of some tokens, with the gain of the first layer.
fn normalised_embeddings(checkpoint: &Checkpoint) -> Result<Vec<f32>, Box<dyn Error>> {
    const EPSILON: f32 = 1e-5;
    let gain = checkpoint.read_values("model.layers.0.input_layernorm.weight")?.as_values().to_f32();
    let embeddings = checkpoint.read_values("model.embed_tokens.weight")?.as_values().to_f32();
    let step = embeddings.len() / gain.len() / TOKENS;
    let rows = embeddings.chunks_exact(gain.len()).step_by(step.max(1)).take(TOKENS);
    Ok(rows
        .flat_map(|row| {
            let mean = row.iter().map(|v| v * v).sum::<f32>() / row.len() as f32;
            let scale = 1.0 / (mean + EPSILON).sqrt();
            row.iter().zip(&gain).map(move |(v, gain)| v * scale * gain)
        })
        .collect())
}

/// Pseudo-random normal values (Box and Muller, 1958, from a 64-bit congruential generator).
fn normal(count: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    (0..count).map(|_| ((-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()) as f32).collect()
}
