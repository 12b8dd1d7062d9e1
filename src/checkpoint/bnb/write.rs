//! [`QuantMatrix`] -> bitsandbytes' tensors.

use super::super::StoredDtype;
use super::super::layout::TensorSpec;
use super::super::writer::Encoded;
use super::state;
use crate::formats::Format;
use crate::formats::NestedAbsmax;
use crate::formats::QuantMatrix;
use crate::formats::Scales;
use crate::shape::MatShape;
use crate::values::Dtype;

/// The tensors of a 4-bit weight; the length of the quant state is an upper bound.
pub(in super::super) fn plan_4bit(module: &str, format: Format, shape: MatShape, dtype: Dtype) -> Vec<TensorSpec> {
    let num_scales = format.num_scales(shape);
    let nested = is_nested(format);
    let spec = |suffix: &str, dtype, shape: &[usize]| TensorSpec::new(format!("{module}.weight{suffix}"), dtype, shape);
    let mut specs = vec![
        spec("", StoredDtype::U8, &[format.num_code_bytes(shape), 1]),
        spec(".absmax", if nested { StoredDtype::U8 } else { StoredDtype::F32 }, &[num_scales]),
        spec(".quant_map", StoredDtype::F32, &[16]),
    ];
    if nested {
        specs.push(spec(".nested_absmax", StoredDtype::F32, &[num_scales.div_ceil(NestedAbsmax::BLOCK_SIZE.get())]));
        specs.push(spec(".nested_quant_map", StoredDtype::F32, &[256]));
    }
    let longest = state::text(format, shape, dtype, nested.then_some(state::LONGEST_FLOAT));
    let name = format!("{module}.weight{}", state::suffix(format));
    specs.push(TensorSpec::up_to(name, StoredDtype::U8, longest.len()));
    specs
}

fn is_nested(format: Format) -> bool {
    use crate::formats::AbsmaxKind::Nested;
    matches!(format, Format::Nf4 { absmax: Nested, .. } | Format::Fp4 { absmax: Nested, .. })
}

/// The contents of the tensors that [`plan_4bit`] names.
pub(in super::super) fn encode_4bit<'a>(module: &str, matrix: &'a QuantMatrix) -> Vec<Encoded<'a>> {
    let format = matrix.format();
    let name = |suffix: &str| format!("{module}.weight{suffix}");
    let map = format.codebook().unwrap_or_default();
    let mut tensors = vec![
        (name(""), matrix.codes().into()),
        (name(".quant_map"), bytemuck::cast_slice::<f32, u8>(&map).to_vec().into()),
    ];
    let mut offset = None;
    match matrix.scales() {
        Scales::F32(absmax) => tensors.push((name(".absmax"), bytemuck::cast_slice(absmax).into())),
        Scales::Nested(nested) => {
            tensors.push((name(".absmax"), nested.codes.as_slice().into()));
            tensors.push((name(".nested_absmax"), bytemuck::cast_slice(&nested.absmax).into()));
            tensors.push((name(".nested_quant_map"), bytemuck::cast_slice(&nested.map[..]).into()));
            offset = Some(state::python_float(f64::from(nested.offset)));
        }
    }
    let text = state::text(format, matrix.shape(), matrix.dtype(), offset.as_deref());
    tensors.push((name(&state::suffix(format)), text.into_bytes().into()));
    tensors
}

/// The tensors of an LLM.int8() weight.
pub(in super::super) fn plan_int8(module: &str, shape: MatShape) -> Vec<TensorSpec> {
    vec![
        TensorSpec::new(format!("{module}.weight"), StoredDtype::I8, &[shape.n(), shape.k()]),
        TensorSpec::new(format!("{module}.SCB"), StoredDtype::F32, &[shape.n()]),
        TensorSpec::new(format!("{module}.weight_format"), StoredDtype::U8, &[]),
    ]
}

/// The contents of the tensors that [`plan_int8`] names.
pub(in super::super) fn encode_int8<'a>(module: &str, matrix: &'a QuantMatrix) -> Vec<Encoded<'a>> {
    let absmax = bytemuck::cast_slice::<f32, u8>(&matrix.scales().to_f32()).to_vec();
    vec![
        (format!("{module}.weight"), matrix.codes().into()),
        (format!("{module}.SCB"), absmax.into()),
        (format!("{module}.weight_format"), vec![0].into()),
    ]
}
