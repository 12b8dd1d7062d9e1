//! Which tensors together are one quantized weight, and who wrote them that way.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::Value;

use super::StoredDtype;
use super::TensorInfo;
use super::bnb;
use super::layout::Unit;
use super::native;
use super::safetensors::kind;
use super::store::Store;
use super::writer::Encoded;
use crate::error::Error;
use crate::error::FileFault;
use crate::error::Result;
use crate::formats::Format;
use crate::formats::QuantMatrix;
use crate::shape::Granularity;
use crate::shape::MatShape;
use crate::values::Dtype;

/// Who defines how a quantized weight lies in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// bitsandbytes' 4-bit formats.
    Bnb4bit,
    /// bitsandbytes' LLM.int8().
    BnbInt8,
    /// lowbit itself, for formats without an owner.
    Native,
}

impl Encoding {
    /// The encoding that matrices of `format` are written in.
    pub(super) fn of(format: Format) -> Self {
        match format {
            Format::Nf4 { .. } | Format::Fp4 { .. } => Self::Bnb4bit,
            Format::Int8 { granularity: Granularity::PerRow } => Self::BnbInt8,
            Format::Int8 { .. }
            | Format::Dynamic8 { .. }
            | Format::Int4 { .. }
            | Format::AffineInt8 { .. }
            | Format::Int4ChannelGroup => Self::Native,
        }
    }
}

/// A quantized weight whose tensors all have the dtypes and lengths that its format demands.
#[derive(Clone, Debug)]
pub(super) struct QuantEntry {
    pub(super) encoding: Encoding,
    pub(super) format: Format,
    pub(super) shape: MatShape,
    pub(super) dtype: Dtype,
    /// The mean of the absmax values, of double quantization.
    pub(super) nested_offset: f32,
    /// The names of its tensors.
    pub(super) tensors: Vec<String>,
}

/// All quantized weights, by module name. `dtype` is the model's, for files that do not say which type was quantized.
pub(super) fn find(store: &Store, dtype: Dtype) -> Result<BTreeMap<String, QuantEntry>> {
    let (mut with_state, mut int8) = (BTreeMap::<&str, Vec<&TensorInfo>>::new(), BTreeSet::new());
    for info in store.tensors() {
        if let Some((module, companion)) = info.name.rsplit_once(".weight.") {
            if is_companion(companion) {
                let states = with_state.entry(module).or_default();
                states.extend(companion.starts_with("quant_state.").then_some(info));
            }
        } else if let Some(module) = info.name.strip_suffix(".SCB").or(info.name.strip_suffix(".weight_format")) {
            int8.insert(module);
        }
    }
    let mut found = BTreeMap::new();
    for (module, states) in with_state {
        let entry = match store.get(&native::state_name(module)) {
            Some(state) => native::describe(store, module, state)?,
            None => bnb::describe_4bit(store, module, &states)?,
        };
        found.insert(module.to_string(), entry);
    }
    for module in int8 {
        found.insert(module.to_string(), bnb::describe_int8(store, module, dtype)?);
    }
    Ok(found)
}

/// Whether `X.weight.companion` belongs to a quantized weight X.
fn is_companion(companion: &str) -> bool {
    matches!(companion, "absmax" | "quant_map" | "nested_absmax" | "nested_quant_map")
        || companion.starts_with("quant_state.")
}

/// Reads the arrays of a weight that [`find`] has found.
pub(super) fn load(store: &Store, module: &str, entry: &QuantEntry) -> Result<QuantMatrix> {
    let parts = match entry.encoding {
        Encoding::Bnb4bit => bnb::load_4bit(store, module, entry)?,
        Encoding::BnbInt8 => bnb::load_int8(store, module)?,
        Encoding::Native => native::load(store, module, entry)?,
    };
    let weight = required(store, module, "weight", "the codes")?;
    QuantMatrix::from_parts(entry.format, entry.shape, entry.dtype, parts)
        .map_err(|e| e.in_tensor(store.file_name(weight), &weight.name))
}

/// The tensors in which a matrix of `format` is stored as the weight of `module`; the map of dynamic8 is the default one.
pub fn plan_format(module: &str, format: Format, shape: MatShape, dtype: Dtype) -> Unit {
    plan(module, format, shape, dtype, false)
}

/// The tensors in which `matrix` is stored as the weight of `module`.
pub fn plan_matrix(module: &str, matrix: &QuantMatrix) -> Unit {
    plan(module, matrix.format(), matrix.shape(), matrix.dtype(), native::has_own_map(matrix))
}

fn plan(module: &str, format: Format, shape: MatShape, dtype: Dtype, own_map: bool) -> Unit {
    match Encoding::of(format) {
        Encoding::Bnb4bit => bnb::plan_4bit(module, format, shape, dtype),
        Encoding::BnbInt8 => bnb::plan_int8(module, shape),
        Encoding::Native => native::plan(module, format, shape, dtype, own_map),
    }
}

/// The contents of the tensors that [`plan_matrix`] names.
pub(super) fn encode<'a>(module: &str, matrix: &'a QuantMatrix) -> Vec<Encoded<'a>> {
    match Encoding::of(matrix.format()) {
        Encoding::Bnb4bit => bnb::encode_4bit(module, matrix),
        Encoding::BnbInt8 => bnb::encode_int8(module, matrix),
        Encoding::Native => native::encode(module, matrix),
    }
}

/// The tensor `module.suffix`, which a quantized weight must have.
pub(super) fn required<'a>(store: &'a Store, module: &str, suffix: &str, rule: &str) -> Result<&'a TensorInfo> {
    let tensor = format!("{module}.{suffix}");
    store.get(&tensor).ok_or_else(|| {
        let file = store.tensors().iter().find(|info| info.name.starts_with(module));
        let fault = FileFault::MissingCompanion { tensor, rule: rule.to_string() };
        Error::file(file.map_or_else(String::new, |info| store.file_name(info)), fault)
    })
}

/// [`required`], with `count` values of `dtype`.
pub(super) fn sized<'a>(
    store: &'a Store,
    module: &str,
    suffix: &str,
    (dtype, count): (StoredDtype, usize),
    rule: &str,
) -> Result<&'a TensorInfo> {
    let info = required(store, module, suffix, rule)?;
    if info.dtype == dtype && info.num_values() == count as u64 {
        return Ok(info);
    }
    let fault = FileFault::WrongCompanion {
        tensor: info.name.clone(),
        expected: format!("{count} values of {dtype}"),
        found: format!("{} of {} with shape {:?}", info.num_values(), info.dtype, info.shape),
        rule: rule.to_string(),
    };
    Err(store.fault(info, fault))
}

/// The longest quant state that is read, in bytes; real ones have some 200.
const MAX_STATE_BYTES: u64 = 4096;

/// The JSON text in which bitsandbytes and lowbit describe a quantized weight, stored as a u8 tensor.
pub(super) struct QuantState<'a> {
    store: &'a Store,
    info: &'a TensorInfo,
    value: Value,
}

impl<'a> QuantState<'a> {
    /// Reads and parses the tensor `info`.
    pub(super) fn read(store: &'a Store, info: &'a TensorInfo) -> Result<Self> {
        let mut state = Self { store, info, value: Value::Null };
        if info.dtype != StoredDtype::U8 {
            return Err(state.bad("dtype", "U8", info.dtype.to_string()));
        }
        if info.num_bytes() > MAX_STATE_BYTES {
            return Err(state.bad("length", "at most 4096 bytes", info.num_bytes().to_string()));
        }
        let bytes = store.read(info)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|e| state.bad("text", "UTF-8", format!("an invalid byte at {}", e.valid_up_to())))?;
        let value: Value = serde_json::from_str(text).map_err(|e| state.bad("text", "JSON", e.to_string()))?;
        if !value.is_object() {
            return Err(state.bad("text", "an object", kind(&value)));
        }
        state.value = value;
        Ok(state)
    }

    /// [`FileFault::BadQuantState`] about this tensor.
    pub(super) fn bad(&self, field: &'static str, rule: impl ToString, found: impl ToString) -> Error {
        let tensor = self.info.name.clone();
        let (rule, found) = (rule.to_string(), found.to_string());
        self.store.fault(self.info, FileFault::BadQuantState { tensor, field, rule, found })
    }

    /// [`FileFault::Unsupported`] about this tensor.
    pub(super) fn unsupported(&self, what: impl ToString, rule: &'static str) -> Error {
        let (tensor, what) = (self.info.name.clone(), what.to_string());
        self.store.fault(self.info, FileFault::Unsupported { tensor, what, rule })
    }

    fn wrong(&self, field: &'static str, rule: &'static str) -> Error {
        self.bad(field, rule, self.value.get(field).map_or_else(|| "nothing".to_string(), kind))
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.value.get(field).is_some()
    }

    pub(super) fn text(&self, field: &'static str) -> Result<&str> {
        self.value.get(field).and_then(Value::as_str).ok_or_else(|| self.wrong(field, "a string"))
    }

    pub(super) fn integer(&self, field: &'static str) -> Result<usize> {
        let number = self.value.get(field).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| self.wrong(field, "a non-negative integer"))
    }

    /// A number that f32 can hold, rounded to it.
    pub(super) fn float(&self, field: &'static str) -> Result<f32> {
        let number = self.value.get(field).and_then(Value::as_f64).map(|number| number as f32);
        number.filter(|number| number.is_finite()).ok_or_else(|| self.wrong(field, "a finite f32"))
    }

    /// `"shape": [N, K]`.
    pub(super) fn shape(&self) -> Result<MatShape> {
        let rule = "two positive integers whose product can be allocated";
        let sides: Option<Vec<usize>> = self.value.get("shape").and_then(Value::as_array).and_then(|sides| {
            sides.iter().map(|side| side.as_u64().and_then(|side| usize::try_from(side).ok())).collect()
        });
        match sides.as_deref() {
            Some(&[n, k]) => MatShape::new(n, k).map_err(|_| self.wrong("shape", rule)),
            _ => Err(self.wrong("shape", rule)),
        }
    }

    /// `"dtype": "float16"`.
    pub(super) fn dtype(&self) -> Result<Dtype> {
        parse_torch_dtype(self.text("dtype")?).ok_or_else(|| self.wrong("dtype", "float32, float16 or bfloat16"))
    }
}

/// The dtype that PyTorch calls `name`, with or without `torch.`.
pub(super) fn parse_torch_dtype(name: &str) -> Option<Dtype> {
    let name = name.strip_prefix("torch.").unwrap_or(name);
    [Dtype::F32, Dtype::F16, Dtype::Bf16].into_iter().find(|dtype| dtype.torch_name() == name)
}
