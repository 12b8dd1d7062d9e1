//! bitsandbytes' tensors -> [`Parts`]. What headers and the quant state say is checked when a checkpoint is opened, values when they are loaded.

use super::super::StoredDtype;
use super::super::TensorInfo;
use super::super::encoding::Encoding;
use super::super::encoding::QuantEntry;
use super::super::encoding::QuantState;
use super::super::encoding::required;
use super::super::encoding::sized;
use super::super::store::Store;
use super::state;
use crate::error::FileFault;
use crate::error::Result;
use crate::formats::AbsmaxKind;
use crate::formats::Format;
use crate::formats::NestedAbsmax;
use crate::formats::Parts;
use crate::formats::Scales;
use crate::shape::BlockSize;
use crate::shape::Granularity;
use crate::shape::MatShape;
use crate::values::Dtype;

/// Finds format and shape of a 4-bit weight in its quant state, which must be the only one of `states`, and checks its tensors against them.
pub(in super::super) fn describe_4bit(store: &Store, module: &str, states: &[&TensorInfo]) -> Result<QuantEntry> {
    let state_info = the_state(store, module, states)?;
    let state = QuantState::read(store, state_info)?;
    let nested = ["weight.nested_absmax", "weight.nested_quant_map"]
        .iter()
        .any(|suffix| store.get(&format!("{module}.{suffix}")).is_some())
        || state.has("nested_offset");
    let absmax = if nested { AbsmaxKind::Nested } else { AbsmaxKind::F32 };
    let block_size = state.integer("blocksize")?;
    let block_size = BlockSize::new(block_size).map_err(|_| {
        state.unsupported(format!("blocksize {block_size}"), "it must be a power of two from 32 to 4096")
    })?;
    let format = match state.text("quant_type")? {
        "nf4" => Format::Nf4 { block_size, absmax },
        "fp4" => Format::Fp4 { block_size, absmax },
        other => return Err(state.bad("quant_type", "nf4 or fp4", other)),
    };
    if !state_info.name.ends_with(&state::suffix(format)) {
        return Err(state.bad("quant_type", "that of the tensor's name", state.text("quant_type")?));
    }
    let (shape, dtype) = (state.shape()?, state.dtype()?);
    let nested_offset = if nested { nested_offset(&state)? } else { 0.0 };
    let mut tensors = check_4bit_tensors(store, module, format, shape)?;
    tensors.push(state_info.name.clone());
    Ok(QuantEntry { encoding: Encoding::Bnb4bit, format, shape, dtype, nested_offset, tensors })
}

/// The one quant state of a weight that has `states`.
fn the_state<'a>(store: &'a Store, module: &str, states: &[&'a TensorInfo]) -> Result<&'a TensorInfo> {
    let Some(&info) = states.first() else {
        let rule = "a 4-bit weight has a quant state beside its absmax and quant_map";
        return required(store, module, "weight.quant_state.bitsandbytes__nf4", rule);
    };
    let kind = info.name.rsplit('.').next().unwrap_or_default();
    let problem = match states.get(1) {
        Some(second) => Some((format!("a second quant state, {}", second.name), "a weight has one")),
        None if matches!(kind, "bitsandbytes__nf4" | "bitsandbytes__fp4") => None,
        None => Some((kind.to_string(), "known are bitsandbytes__nf4, bitsandbytes__fp4 and lowbit")),
    };
    match problem {
        Some((what, rule)) => Err(store.fault(info, FileFault::Unsupported { tensor: info.name.clone(), what, rule })),
        None => Ok(info),
    }
}

fn nested_offset(state: &QuantState<'_>) -> Result<f32> {
    let block_size = state.integer("nested_blocksize")?;
    if block_size != NestedAbsmax::BLOCK_SIZE.get() {
        return Err(state.unsupported(format!("nested_blocksize {block_size}"), "it must be 256"));
    }
    match state.text("nested_dtype")? {
        "float32" => state.float("nested_offset"),
        other => Err(state.unsupported(format!("nested_dtype {other}"), "it must be float32")),
    }
}

/// Checks dtype and length of every tensor but the state, and names them.
fn check_4bit_tensors(store: &Store, module: &str, format: Format, shape: MatShape) -> Result<Vec<String>> {
    let rule = format!("{format}, shape {shape}");
    let weight = required(store, module, "weight", "the codes of a 4-bit weight")?;
    let expected = format.num_code_bytes(shape);
    if weight.num_bytes() != expected as u64 {
        let fault = FileFault::WrongCompanion {
            tensor: weight.name.clone(),
            expected: format!("{expected} bytes"),
            found: format!("{} of {} with shape {:?}", weight.num_bytes(), weight.dtype, weight.shape),
            rule,
        };
        return Err(store.fault(weight, fault));
    }
    let num_scales = format.num_scales(shape);
    let mut companions = vec![("weight.quant_map", StoredDtype::F32, 16)];
    if matches!(format, Format::Nf4 { absmax: AbsmaxKind::Nested, .. } | Format::Fp4 { absmax: AbsmaxKind::Nested, .. })
    {
        companions.push(("weight.absmax", StoredDtype::U8, num_scales));
        companions.push((
            "weight.nested_absmax",
            StoredDtype::F32,
            num_scales.div_ceil(NestedAbsmax::BLOCK_SIZE.get()),
        ));
        companions.push(("weight.nested_quant_map", StoredDtype::F32, 256));
    } else {
        companions.push(("weight.absmax", StoredDtype::F32, num_scales));
    }
    let mut names = vec![weight.name.clone()];
    for (suffix, dtype, count) in companions {
        names.push(sized(store, module, suffix, (dtype, count), &rule)?.name.clone());
    }
    Ok(names)
}

/// The arrays of a 4-bit weight.
pub(in super::super) fn load_4bit(store: &Store, module: &str, entry: &QuantEntry) -> Result<Parts> {
    let get = |suffix| required(store, module, suffix, "it was there when the file was opened");
    check_quant_map(store, get("weight.quant_map")?, entry.format)?;
    let codes = store.read(get("weight")?)?;
    let absmax = get("weight.absmax")?;
    let scales = if absmax.dtype == StoredDtype::U8 {
        let mut map = NestedAbsmax::default_map();
        store.read_at(get("weight.nested_quant_map")?, 0, bytemuck::cast_slice_mut(&mut map[..]))?;
        let nested_absmax = store.read_f32(get("weight.nested_absmax")?)?;
        Scales::Nested(NestedAbsmax {
            codes: store.read(absmax)?,
            absmax: nested_absmax,
            offset: entry.nested_offset,
            map,
        })
    } else {
        Scales::F32(store.read_f32(absmax)?)
    };
    Ok(Parts { codes, scales, zero_points: None, map: None, steps: None })
}

/// The stored codebook must be the one that the format's name means, bit for bit (the sign of zero aside).
fn check_quant_map(store: &Store, info: &TensorInfo, format: Format) -> Result<()> {
    let stored = store.read_f32(info)?;
    let expected = format.codebook().unwrap_or_default();
    match stored.iter().zip(expected).position(|(&stored, expected)| stored != expected) {
        None => Ok(()),
        Some(index) => {
            let what = format!("entry {index} = {:?} where {format} has {:?}", stored[index], expected[index]);
            let rule = "only bitsandbytes' own codebooks are read";
            Err(store.fault(info, FileFault::Unsupported { tensor: info.name.clone(), what, rule }))
        }
    }
}

/// Checks the tensors of an LLM.int8() weight. The file does not say what was quantized: `dtype` is the model's.
pub(in super::super) fn describe_int8(store: &Store, module: &str, dtype: Dtype) -> Result<QuantEntry> {
    let format = Format::Int8 { granularity: Granularity::PerRow };
    let weight = required(store, module, "weight", "the codes of an LLM.int8() weight")?;
    let shape = match weight.shape[..] {
        [n, k] if weight.dtype == StoredDtype::I8 => {
            MatShape::new(n, k).map_err(|e| e.in_tensor(store.file_name(weight), &weight.name))?
        }
        _ => {
            let fault = FileFault::WrongCompanion {
                tensor: weight.name.clone(),
                expected: "I8 with two dimensions".to_string(),
                found: format!("{} with shape {:?}", weight.dtype, weight.shape),
                rule: format!("{module} has an SCB, so it is an LLM.int8() weight"),
            };
            return Err(store.fault(weight, fault));
        }
    };
    let rule = format!("{format}, shape {shape}");
    let scb = sized(store, module, "SCB", (StoredDtype::F32, shape.n()), &rule)?;
    let mut tensors = vec![weight.name.clone(), scb.name.clone()];
    let layout = format!("{module}.weight_format");
    if store.get(&layout).is_some() {
        let info = sized(store, module, "weight_format", (StoredDtype::U8, 1), &rule)?;
        check_weight_format(store, info)?;
        tensors.push(layout);
    }
    Ok(QuantEntry { encoding: Encoding::BnbInt8, format, shape, dtype, nested_offset: 0.0, tensors })
}

fn check_weight_format(store: &Store, info: &TensorInfo) -> Result<()> {
    let mut layout = [0];
    store.read_at(info, 0, &mut layout)?;
    if layout[0] == 0 {
        return Ok(());
    }
    let what = format!("weight_format {}", layout[0]);
    let rule = "only 0 is read, codes in row order";
    Err(store.fault(info, FileFault::Unsupported { tensor: info.name.clone(), what, rule }))
}

/// The arrays of an LLM.int8() weight.
pub(in super::super) fn load_int8(store: &Store, module: &str) -> Result<Parts> {
    let get = |suffix| required(store, module, suffix, "it was there when the file was opened");
    Ok(Parts::new(store.read(get("weight")?)?, store.read_f32(get("SCB")?)?))
}
