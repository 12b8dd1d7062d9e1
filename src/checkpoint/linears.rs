//! Which tensors are the weights of linear layers. A safetensors file only has names and shapes, so this is a matter of
//! names: those that the common architectures of Hugging Face models use.

use std::fmt;

use super::StoredDtype;
use super::TensorInfo;
use crate::formats::Format;
use crate::shape::MatShape;
use crate::values::Dtype;

/// A linear layer of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linear {
    /// The module's name, such as `model.layers.0.self_attn.q_proj`.
    pub name: String,
    /// Out-features by in-features.
    pub shape: MatShape,
    /// How its weight is stored.
    pub kind: Stored,
}

/// How a linear layer's weight is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// As plain values.
    Dense(Dtype),
    /// Quantized.
    Quantized(Format),
}

/// A tensor that looks like a weight and is not treated as a linear layer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftDense {
    /// The tensor's name, such as `model.embed_tokens.weight`.
    pub name: String,
    /// Its sides.
    pub shape: Vec<usize>,
    /// The type of its elements.
    pub dtype: StoredDtype,
    /// Why.
    pub reason: LeftReason,
}

/// Why a tensor is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeftReason {
    /// A table of vectors, not a matrix that is multiplied by.
    Embedding,
    /// A normalization's weight.
    Norm,
    /// The layer that makes logits, or a classification head: its errors go straight into the result.
    OutputHead,
    /// The router (gate) of a mixture of experts: small, and its errors change which experts run.
    Router,
    /// The weights of several experts in one tensor of three dimensions.
    Experts,
    /// A linear layer whose weight is stored as [in, out], as in GPT-2.
    Conv1d,
    /// One dimension.
    Vector,
    /// More than two dimensions: a convolution.
    Dimensions,
    /// A matrix whose name does not end in `.weight`.
    Name,
    /// Neither f32 nor f16 nor bf16, or the codes of a format that lowbit does not read.
    Dtype,
    /// A matrix without elements.
    Empty,
    /// The caller asked for it.
    Skipped,
}

impl fmt::Display for LeftReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedding => "embedding",
            Self::Norm => "norm",
            Self::OutputHead => "output head",
            Self::Router => "MoE router",
            Self::Experts => "3-D expert weights",
            Self::Conv1d => "transposed Conv1D weight [in, out]",
            Self::Vector => "one dimension",
            Self::Dimensions => "more than two dimensions",
            Self::Name => "name does not end in .weight",
            Self::Dtype => "dtype is not f32, f16 or bf16",
            Self::Empty => "no elements",
            Self::Skipped => "skipped on request",
        })
    }
}

/// What a tensor is, apart from those of quantized weights.
pub(super) enum Role {
    /// The weight of the dense linear layer.
    Linear(Linear),
    /// It looks like a weight.
    Left(LeftReason),
    /// A bias, a buffer, a vector.
    Other,
}

/// Judges a tensor by name, shape and the model type that `config.json` names.
pub(super) fn role(info: &TensorInfo, model_type: Option<&str>) -> Role {
    let Some(module) = info.name.strip_suffix(".weight") else {
        return match info.shape.len() {
            3 if info.name.contains("expert") => Role::Left(LeftReason::Experts),
            0 | 1 => Role::Other,
            _ => Role::Left(LeftReason::Name),
        };
    };
    if let Some(reason) = reason_by_name(module, info, model_type) {
        return Role::Left(reason);
    }
    let (n, k) = match info.shape[..] {
        [] | [_] => return Role::Left(LeftReason::Vector),
        [n, k] => (n, k),
        [_, _, _] if module.contains("expert") => return Role::Left(LeftReason::Experts),
        _ => return Role::Left(LeftReason::Dimensions),
    };
    match (info.dtype.as_float(), MatShape::new(n, k)) {
        (None, _) => Role::Left(LeftReason::Dtype),
        (_, Err(_)) => Role::Left(LeftReason::Empty),
        (Some(dtype), Ok(shape)) => {
            Role::Linear(Linear { name: module.to_string(), shape, kind: Stored::Dense(dtype) })
        }
    }
}

fn reason_by_name(module: &str, info: &TensorInfo, model_type: Option<&str>) -> Option<LeftReason> {
    let last = module.rsplit('.').next().unwrap_or(module);
    if is_output_head(module, last) {
        Some(LeftReason::OutputHead)
    } else if is_embedding(last) {
        Some(LeftReason::Embedding)
    } else if info.shape.len() <= 1 && is_norm(last) {
        Some(LeftReason::Norm)
    } else if is_router(last) {
        Some(LeftReason::Router)
    } else if info.shape.len() == 2 && is_conv1d(last, model_type) {
        Some(LeftReason::Conv1d)
    } else {
        None
    }
}

fn is_output_head(module: &str, last: &str) -> bool {
    matches!(last, "lm_head" | "embed_out" | "output_projection")
        || matches!(module, "output" | "proj_out" | "score" | "classifier" | "qa_outputs" | "cls.predictions.decoder")
}

fn is_embedding(last: &str) -> bool {
    matches!(last, "wte" | "wpe" | "shared" | "relative_attention_bias")
        || last.starts_with("embed_")
        || ["embed", "embeds", "embedding", "embeddings", "_emb"].iter().any(|end| last.ends_with(end))
}

fn is_norm(last: &str) -> bool {
    last.contains("norm") || last.starts_with("ln_") || matches!(last, "ln" | "ln1" | "ln2")
}

/// `gate` alone is a router (Mixtral, Qwen, DeepSeek); `gate_proj` is a linear layer of a gated MLP.
fn is_router(last: &str) -> bool {
    matches!(last, "gate" | "router" | "shared_expert_gate") || last.starts_with("router_") || last.ends_with("_router")
}

/// The model types whose `Conv1D` layers hold [in, out].
const CONV1D_MODELS: [&str; 4] = ["gpt2", "openai-gpt", "imagegpt", "decision_transformer"];

/// Without a model type these names are taken for GPT-2's: quantizing along the wrong axis would be silent.
fn is_conv1d(last: &str, model_type: Option<&str>) -> bool {
    matches!(last, "c_attn" | "c_proj" | "c_fc" | "q_attn")
        && model_type.is_none_or(|name| CONV1D_MODELS.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(name: &str, shape: &[usize], model_type: Option<&str>) -> Option<LeftReason> {
        let (name, shape) = (name.to_string(), shape.to_vec());
        match role(&TensorInfo { name, dtype: StoredDtype::F16, shape, file: 0, begin: 0, end: 0 }, model_type) {
            Role::Left(reason) => Some(reason),
            Role::Linear(_) | Role::Other => None,
        }
    }

    #[test]
    fn linear_layers_are_told_from_other_matrices_by_name() {
        for name in [
            "model.layers.0.self_attn.q_proj",
            "model.layers.0.mlp.gate_proj",
            "model.layers.0.mlp.experts.3.gate_up_proj",
            "bert.encoder.layer.0.attention.output.dense",
            "transformer.h.0.mlp.dense_4h_to_h",
            "encoder.block.0.layer.0.SelfAttention.q",
            "embeddings.embedding_hidden_mapping_in",
        ] {
            assert_eq!(reason(&format!("{name}.weight"), &[4, 4], None), None, "{name}");
        }
        let embeddings = ["model.embed_tokens", "transformer.wte", "transformer.wpe", "shared", "tok_embeddings"];
        let more = ["bert.embeddings.word_embeddings", "bert.embeddings.token_type_embeddings", "gpt_neox.embed_in"];
        let others = ["bert.embeddings.position_embeddings", "model.decoder.embed_positions", "encoder.embed_tokens"];
        for name in embeddings.into_iter().chain(more).chain(others) {
            assert_eq!(reason(&format!("{name}.weight"), &[4, 4], None), Some(LeftReason::Embedding), "{name}");
        }
        for name in ["lm_head", "embed_out", "output", "language_model.lm_head", "score"] {
            assert_eq!(reason(&format!("{name}.weight"), &[4, 4], None), Some(LeftReason::OutputHead), "{name}");
        }
        for name in ["model.layers.0.mlp.gate", "l.block_sparse_moe.gate", "l.mlp.router", "l.mlp.shared_expert_gate"] {
            assert_eq!(reason(&format!("{name}.weight"), &[4, 4], None), Some(LeftReason::Router), "{name}");
        }
    }

    #[test]
    fn shapes_and_model_types_decide_the_rest() {
        assert_eq!(reason("model.norm.weight", &[4], None), Some(LeftReason::Norm));
        assert_eq!(reason("a.conv.weight", &[4], None), Some(LeftReason::Vector));
        assert_eq!(reason("a.patch.weight", &[4, 3, 2, 2], None), Some(LeftReason::Dimensions));
        assert_eq!(reason("l.mlp.experts.gate_up_proj", &[8, 4, 4], None), Some(LeftReason::Experts));
        assert_eq!(reason("l.mlp.experts.w1.weight", &[8, 4, 4], None), Some(LeftReason::Experts));
        assert_eq!(reason("l.A_log", &[4, 4], None), Some(LeftReason::Name));
        assert_eq!(reason("l.bias", &[4], None), None);
        assert_eq!(reason("l.fc.weight", &[0, 4], None), Some(LeftReason::Empty));
        assert_eq!(reason("h.0.attn.c_attn.weight", &[4, 12], Some("gpt2")), Some(LeftReason::Conv1d));
        assert_eq!(reason("h.0.attn.c_attn.weight", &[4, 12], None), Some(LeftReason::Conv1d));
        assert_eq!(reason("h.0.attn.c_attn.weight", &[12, 4], Some("gpt_bigcode")), None);
    }
}
