//! The linear layers of models people run, by name: N x K of the fused q, k, v projections, the output projection, the fused
//! gate and up projections, and the down projection.
//!
//! Source: vLLM, `benchmarks/kernels/weight_shapes.py`, and each model's `config.json`.

use crate::error::Error;
use crate::error::Result;
use crate::shape::MatShape;

/// A model's linear layers.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// Its name on the command line.
    pub name: &'static str,
    /// Each layer's name, K (in-features) and N (out-features).
    pub layers: &'static [(&'static str, usize, usize)],
}

/// q, k, v together, output, gate and up together, down.
macro_rules! decoder {
    ($name:literal, $qkv:expr, $o:expr, $gate_up:expr, $down:expr) => {
        Model {
            name: $name,
            layers: &[
                ("qkv", $qkv.0, $qkv.1),
                ("o", $o.0, $o.1),
                ("gate_up", $gate_up.0, $gate_up.1),
                ("down", $down.0, $down.1),
            ],
        }
    };
}

/// All known models, as K x N.
pub const MODELS: &[Model] = &[
    decoder!("llama-2-7b", (4096, 12288), (4096, 4096), (4096, 22016), (11008, 4096)),
    decoder!("llama-2-13b", (5120, 15360), (5120, 5120), (5120, 27648), (13824, 5120)),
    decoder!("llama-2-70b", (8192, 10240), (8192, 8192), (8192, 57344), (28672, 8192)),
    decoder!("llama-3-8b", (4096, 6144), (4096, 4096), (4096, 28672), (14336, 4096)),
    decoder!("llama-3-70b", (8192, 10240), (8192, 8192), (8192, 57344), (28672, 8192)),
    decoder!("llama-3.1-405b", (16384, 18432), (16384, 16384), (16384, 106496), (53248, 16384)),
    decoder!("mistral-7b", (4096, 6144), (4096, 4096), (4096, 28672), (14336, 4096)),
    decoder!("mixtral-8x7b", (4096, 6144), (4096, 4096), (4096, 28672), (14336, 4096)),
    decoder!("mistral-large", (12288, 14336), (12288, 12288), (12288, 57344), (28672, 12288)),
    decoder!("qwen2.5-7b", (3584, 4608), (3584, 3584), (3584, 37888), (18944, 3584)),
    decoder!("qwen2.5-32b", (5120, 7168), (5120, 5120), (5120, 55296), (27648, 5120)),
    decoder!("qwen2.5-72b", (8192, 10240), (8192, 8192), (8192, 59136), (29568, 8192)),
    Model { name: "command-a", layers: &[("gate_up", 12288, 73728), ("down", 36864, 12288)] },
];

/// A shape to measure, and the layers that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerShape {
    /// N x K.
    pub shape: MatShape,
    /// Such as `llama-3-8b o`; empty for a shape that was given as numbers.
    pub layers: Vec<String>,
}

/// The model of that name.
pub fn find(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.name == name)
}

/// The shapes of `models`, then `more`, each once.
///
/// # Errors
/// Those of [`MatShape::new`].
pub fn shapes(models: &[&Model], more: &[MatShape]) -> Result<Vec<LayerShape>> {
    let named = models.iter().flat_map(|model| {
        model.layers.iter().map(|&(layer, k, n)| Ok((MatShape::new(n, k)?, Some(format!("{} {layer}", model.name)))))
    });
    let mut shapes: Vec<LayerShape> = Vec::new();
    for found in named.chain(more.iter().map(|&shape| Ok::<_, Error>((shape, None)))) {
        let (shape, name) = found?;
        match shapes.iter_mut().find(|known| known.shape == shape) {
            Some(known) => known.layers.extend(name),
            None => shapes.push(LayerShape { shape, layers: name.into_iter().collect() }),
        }
    }
    Ok(shapes)
}
