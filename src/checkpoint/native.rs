//! lowbit's own serialization, for the formats that no other tool defines.
//!
//! ```text
//! X.weight                      u8  [bytes of codes]
//! X.weight.scale                f32 [scales]
//! X.weight.zero_point           u8  [scales]     asymmetric formats only
//! X.weight.quant_map            f32 [256]        dynamic8 with a map of its own only
//! X.weight.multiplier           u8  [groups]     int4_channel_group only
//! X.weight.offset               u8  [groups]     int4_channel_group only
//! X.weight.quant_state.lowbit   u8  [..]         JSON text:
//!     {"version": 1, "format": "int4", "granularity": "group", "group_size": 128, "symmetry": "symmetric",
//!      "dtype": "float16", "shape": [N, K]}
//!     {"version": 1, "format": "dynamic8", "block_size": 4096, "dtype": "float16", "shape": [N, K]}
//!     {"version": 1, "format": "int4_channel_group", "dtype": "float16", "shape": [N, K]}
//! ```
//! `format` is one of `int8`, `int4`, `affine_int8`, `dynamic8`, `int4_channel_group`; `granularity` one of `tensor`, `row`,
//! `group`.

use super::StoredDtype;
use super::TensorInfo;
use super::encoding::Encoding;
use super::encoding::QuantEntry;
use super::encoding::QuantState;
use super::encoding::required;
use super::encoding::sized;
use super::layout::TensorSpec;
use super::store::Store;
use super::writer::Encoded;
use crate::error::Result;
use crate::formats::Format;
use crate::formats::GroupSteps;
use crate::formats::Parts;
use crate::formats::QuantMatrix;
use crate::formats::Symmetry;
use crate::formats::int4_channel_group;
use crate::formats::tables;
use crate::shape::BlockSize;
use crate::shape::Granularity;
use crate::shape::GroupSize;
use crate::shape::MatShape;
use crate::values::Dtype;

/// The only version there is.
const VERSION: usize = 1;

/// The name of the quant state of `module`.
pub(super) fn state_name(module: &str) -> String {
    format!("{module}.weight.quant_state.lowbit")
}

/// Finds format and shape in the quant state and checks the weight's tensors against them.
pub(super) fn describe(store: &Store, module: &str, state_info: &TensorInfo) -> Result<QuantEntry> {
    let state = QuantState::read(store, state_info)?;
    let version = state.integer("version")?;
    if version != VERSION {
        return Err(state.unsupported(format!("version {version}"), "this lowbit reads version 1"));
    }
    let (format, shape, dtype) = (parse_format(&state)?, state.shape()?, state.dtype()?);
    let rule = format!("{format}, shape {shape}");
    let num_scales = format.num_scales(shape);
    let mut expected =
        vec![("weight", StoredDtype::U8, format.num_code_bytes(shape)), ("weight.scale", StoredDtype::F32, num_scales)];
    if format.has_zero_points() {
        expected.push(("weight.zero_point", StoredDtype::U8, num_scales));
    }
    if format == Format::Int4ChannelGroup {
        let count = num_groups(shape);
        expected.extend([("weight.multiplier", StoredDtype::U8, count), ("weight.offset", StoredDtype::U8, count)]);
    }
    if store.get(&map_name(module)).is_some() {
        expected.push(("weight.quant_map", StoredDtype::F32, 256));
    }
    let mut tensors = vec![state_info.name.clone()];
    for (suffix, dtype, count) in expected {
        tensors.push(sized(store, module, suffix, (dtype, count), &rule)?.name.clone());
    }
    Ok(QuantEntry { encoding: Encoding::Native, format, shape, dtype, nested_offset: 0.0, tensors })
}

fn map_name(module: &str) -> String {
    format!("{module}.weight.quant_map")
}

/// Groups of an `int4_channel_group` matrix.
fn num_groups(shape: MatShape) -> usize {
    shape.n() * int4_channel_group::groups_per_row(shape)
}

fn parse_format(state: &QuantState<'_>) -> Result<Format> {
    Ok(match state.text("format")? {
        "dynamic8" => {
            let block_size = state.integer("block_size")?;
            let rule = "a power of two from 32 to 4096";
            Format::Dynamic8 {
                block_size: BlockSize::new(block_size).map_err(|_| state.bad("block_size", rule, block_size))?,
            }
        }
        "int8" => Format::Int8 { granularity: parse_granularity(state)? },
        "int4" => Format::Int4 { granularity: parse_granularity(state)?, symmetry: parse_symmetry(state)? },
        "affine_int8" => {
            Format::AffineInt8 { granularity: parse_granularity(state)?, symmetry: parse_symmetry(state)? }
        }
        "int4_channel_group" => Format::Int4ChannelGroup,
        other => {
            let rule = "int8, int4, affine_int8, dynamic8 or int4_channel_group";
            return Err(state.bad("format", rule, other));
        }
    })
}

fn parse_granularity(state: &QuantState<'_>) -> Result<Granularity> {
    match state.text("granularity")? {
        "tensor" => Ok(Granularity::PerTensor),
        "row" => Ok(Granularity::PerRow),
        "group" => {
            let size = state.integer("group_size")?;
            let size = GroupSize::new(size).map_err(|_| state.bad("group_size", "from 1 to 2147483648", size))?;
            Ok(Granularity::PerGroup(size))
        }
        other => Err(state.bad("granularity", "tensor, row or group", other)),
    }
}

fn parse_symmetry(state: &QuantState<'_>) -> Result<Symmetry> {
    match state.text("symmetry")? {
        "symmetric" => Ok(Symmetry::Symmetric),
        "asymmetric" => Ok(Symmetry::Asymmetric),
        other => Err(state.bad("symmetry", "symmetric or asymmetric", other)),
    }
}

/// The arrays of a weight that [`describe`] has checked.
pub(super) fn load(store: &Store, module: &str, entry: &QuantEntry) -> Result<Parts> {
    let get = |suffix| required(store, module, suffix, "it was there when the file was opened");
    let mut parts = Parts::new(store.read(get("weight")?)?, store.read_f32(get("weight.scale")?)?);
    if entry.format.has_zero_points() {
        parts.zero_points = Some(store.read(get("weight.zero_point")?)?);
    }
    if entry.format == Format::Int4ChannelGroup {
        let multipliers = store.read(get("weight.multiplier")?)?;
        parts.steps = Some(GroupSteps { multipliers, offsets: store.read(get("weight.offset")?)? });
    }
    if let Some(info) = store.get(&map_name(module)) {
        let mut map = Box::new([0.0; 256]);
        store.read_at(info, 0, bytemuck::cast_slice_mut(&mut map[..]))?;
        parts.map = Some(map);
    }
    Ok(parts)
}

/// The name of a format in the quant state and in `config.json`.
pub(super) fn format_name(format: Format) -> &'static str {
    match format {
        Format::Nf4 { .. } => "nf4",
        Format::Fp4 { .. } => "fp4",
        Format::Dynamic8 { .. } => "dynamic8",
        Format::Int8 { .. } => "int8",
        Format::Int4 { .. } => "int4",
        Format::AffineInt8 { .. } => "affine_int8",
        Format::Int4ChannelGroup => "int4_channel_group",
    }
}

fn state_text(format: Format, shape: MatShape, dtype: Dtype) -> String {
    let mut text = format!(r#"{{"version": {VERSION}, "format": "{}""#, format_name(format));
    if let Some(block_size) = format.flat_block() {
        text.push_str(&format!(r#", "block_size": {}"#, block_size.get()));
    }
    match format.granularity().filter(|_| format != Format::Int4ChannelGroup) {
        Some(Granularity::PerTensor) => text.push_str(r#", "granularity": "tensor""#),
        Some(Granularity::PerRow) => text.push_str(r#", "granularity": "row""#),
        Some(Granularity::PerGroup(size)) => {
            text.push_str(&format!(r#", "granularity": "group", "group_size": {}"#, size.get()));
        }
        None => {}
    }
    if let Format::Int4 { symmetry, .. } | Format::AffineInt8 { symmetry, .. } = format {
        text.push_str(&format!(r#", "symmetry": "{symmetry}""#));
    }
    text + &format!(r#", "dtype": "{}", "shape": [{}, {}]}}"#, dtype.torch_name(), shape.n(), shape.k())
}

/// The tensors of a weight. `own_map` tells whether a dynamic8 matrix brings its map.
pub(super) fn plan(module: &str, format: Format, shape: MatShape, dtype: Dtype, own_map: bool) -> Vec<TensorSpec> {
    let spec = |suffix: &str, dtype, len: usize| TensorSpec::new(format!("{module}.weight{suffix}"), dtype, &[len]);
    let num_scales = format.num_scales(shape);
    let mut specs = vec![
        spec("", StoredDtype::U8, format.num_code_bytes(shape)),
        spec(".scale", StoredDtype::F32, num_scales),
        TensorSpec::new(state_name(module), StoredDtype::U8, &[state_text(format, shape, dtype).len()]),
    ];
    if format.has_zero_points() {
        specs.push(spec(".zero_point", StoredDtype::U8, num_scales));
    }
    if format == Format::Int4ChannelGroup {
        specs.extend([".multiplier", ".offset"].map(|suffix| spec(suffix, StoredDtype::U8, num_groups(shape))));
    }
    if own_map {
        specs.push(spec(".quant_map", StoredDtype::F32, 256));
    }
    specs
}

/// Whether the values of a matrix's codes must be stored with it.
pub(super) fn has_own_map(matrix: &QuantMatrix) -> bool {
    matches!(matrix.format(), Format::Dynamic8 { .. }) && *matrix.map() != tables::DYNAMIC_MAP
}

/// The contents of the tensors that [`plan`] names.
pub(super) fn encode<'a>(module: &str, matrix: &'a QuantMatrix) -> Vec<Encoded<'a>> {
    let text = state_text(matrix.format(), matrix.shape(), matrix.dtype());
    let scales = bytemuck::cast_slice::<f32, u8>(&matrix.scales().to_f32()).to_vec();
    let mut tensors = vec![
        (format!("{module}.weight"), matrix.codes().into()),
        (format!("{module}.weight.scale"), scales.into()),
        (state_name(module), text.into_bytes().into()),
    ];
    if let Some(zero_points) = matrix.zero_points() {
        tensors.push((format!("{module}.weight.zero_point"), zero_points.into()));
    }
    if let Some(steps) = matrix.steps() {
        tensors.push((format!("{module}.weight.multiplier"), steps.multipliers[..].into()));
        tensors.push((format!("{module}.weight.offset"), steps.offsets[..].into()));
    }
    if has_own_map(matrix) {
        tensors.push((map_name(module), bytemuck::cast_slice(&matrix.map()[..]).into()));
    }
    tensors
}
