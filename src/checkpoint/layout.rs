//! Where each tensor of an output will lie, decided before any is written.

use super::StoredDtype;

/// A tensor to be written: everything but its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub dtype: StoredDtype,
    /// Its sides.
    pub shape: Vec<usize>,
    /// Whether `shape` is one upper bound, and the length is known when the values come.
    pub(super) late: bool,
}

impl TensorSpec {
    /// A tensor of known shape.
    pub fn new(name: impl Into<String>, dtype: StoredDtype, shape: &[usize]) -> Self {
        Self { name: name.into(), dtype, shape: shape.to_vec(), late: false }
    }

    /// A one-dimensional tensor of at most `len` values of one byte.
    pub(super) fn up_to(name: String, dtype: StoredDtype, len: usize) -> Self {
        Self { name, dtype, shape: vec![len], late: true }
    }

    /// The length of its values in bytes: an upper bound when the length is not known yet.
    pub fn num_bytes(&self) -> u64 {
        self.shape.iter().fold(self.dtype.bits(), |bits, &side| bits.saturating_mul(side as u64)) / 8
    }

    /// [`TensorSpec::num_bytes`] and about what the tensor takes in the header.
    fn cost(&self) -> u64 {
        self.num_bytes().saturating_add(self.name.len() as u64 + 128)
    }
}

/// Tensors that stay together in one shard: a dense tensor, or all tensors of a quantized weight.
pub type Unit = Vec<TensorSpec>;

/// Fills shards in the order of `units`, none above `max_bytes` unless a single unit is.
pub(super) fn assign_shards(units: &[Unit], max_bytes: u64) -> Vec<Vec<TensorSpec>> {
    let (mut shards, mut room): (Vec<Vec<TensorSpec>>, u64) = (Vec::new(), 0);
    for unit in units {
        let cost = unit.iter().map(TensorSpec::cost).fold(0, u64::saturating_add);
        match shards.last_mut() {
            Some(shard) if cost <= room => {
                shard.extend(unit.iter().cloned());
                room -= cost;
            }
            _ => {
                shards.push(unit.clone());
                room = max_bytes.saturating_sub(cost);
            }
        }
    }
    if shards.is_empty() { vec![Vec::new()] } else { shards }
}

/// The order of tensors within a file: tensors of unknown length last, the widest elements first, so that each tensor is
/// aligned to its element, then by name.
pub(super) fn sort_for_alignment(specs: &mut [TensorSpec]) {
    specs.sort_by(|a, b| (a.late, b.dtype.bits(), &a.name).cmp(&(b.late, a.dtype.bits(), &b.name)));
}

/// A tensor with its place in the data section.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) spec: TensorSpec,
    pub(super) begin: u64,
    pub(super) end: u64,
}

/// Places `specs` one after the other.
pub(super) fn place(specs: Vec<TensorSpec>) -> Vec<Placed> {
    let mut end = 0;
    let place = |spec: TensorSpec| {
        let begin = end;
        end += spec.num_bytes();
        Placed { spec, begin, end }
    };
    specs.into_iter().map(place).collect()
}

/// The text of a header, not padded.
pub(super) fn header_text(tensors: &[Placed]) -> String {
    let mut text = String::from(r#"{"__metadata__":{"format":"pt"}"#);
    for Placed { spec, begin, end } in tensors {
        let sides: Vec<String> = spec.shape.iter().map(usize::to_string).collect();
        text.push_str(&format!(
            r#",{}:{{"dtype":"{}","shape":[{}],"data_offsets":[{begin},{end}]}}"#,
            serde_json::Value::from(spec.name.as_str()),
            spec.dtype,
            sides.join(",")
        ));
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, dtype: StoredDtype, len: usize) -> TensorSpec {
        TensorSpec::new(name, dtype, &[len])
    }

    #[test]
    fn the_widest_come_first_and_unknown_lengths_last() {
        let late = TensorSpec::up_to("a".into(), StoredDtype::U8, 9);
        let mut specs =
            [late, spec("c", StoredDtype::U8, 1), spec("b", StoredDtype::F16, 1), spec("z", StoredDtype::F32, 1)];
        sort_for_alignment(&mut specs);
        assert_eq!(specs.map(|spec| spec.name), ["z", "b", "c", "a"]);
    }

    #[test]
    fn shards_are_filled_up_to_the_limit_and_units_stay_whole() {
        let unit = |name: &str, bytes| vec![spec(name, StoredDtype::U8, bytes)];
        let units = [unit("a", 1000), unit("b", 1000), unit("c", 9000), unit("d", 10)];
        let names = |max| -> Vec<usize> { assign_shards(&units, max).iter().map(Vec::len).collect() };
        assert_eq!(names(2 * (1000 + 129)), [2, 1, 1]);
        assert_eq!(names(2 * (1000 + 129) - 1), [1, 1, 1, 1]);
        assert_eq!(names(u64::MAX), [4]);
    }
}
