//! bitsandbytes' serialization, as transformers writes and loads it.
//!
//! 4 bits, X of shape [N, K], B the block size, `blocks = ceil(N·K / B)`:
//! ```text
//! X.weight                                   u8  [ceil(N·K/2), 1]     codes (or the same bytes under another dtype)
//! X.weight.absmax                            f32 [blocks]             u8 when nested
//! X.weight.quant_map                         f32 [16]                 the codebook
//! X.weight.nested_absmax                     f32 [ceil(blocks/256)]   nested only
//! X.weight.nested_quant_map                  f32 [256]                nested only
//! X.weight.quant_state.bitsandbytes__nf4     u8  [..]                 JSON text; __fp4 for FP4
//! ```
//! LLM.int8():
//! ```text
//! X.weight           i8  [N, K]     codes
//! X.SCB              f32 [N]        absmax of each row
//! X.weight_format    u8  []         0: rows
//! ```

mod read;
mod state;
mod write;

pub(super) use read::describe_4bit;
pub(super) use read::describe_int8;
pub(super) use read::load_4bit;
pub(super) use read::load_int8;
pub(super) use write::encode_4bit;
pub(super) use write::encode_int8;
pub(super) use write::plan_4bit;
pub(super) use write::plan_int8;
