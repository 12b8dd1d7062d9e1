//! [`StoredDtype`]: the element types that a safetensors file can hold.

use std::fmt;

use crate::values::Dtype;

/// The element type of a stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum StoredDtype {
    F64,
    F32,
    F16,
    Bf16,
    C64,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
    F8E4m3,
    F8E5m2,
    F8E8m0,
    F8E4m3Fnuz,
    F8E5m2Fnuz,
    F6E2m3,
    F6E3m2,
    F4,
}

/// Each type with its name in the header and its width in bits.
const TYPES: [(StoredDtype, &str, u64); 22] = [
    (StoredDtype::F64, "F64", 64),
    (StoredDtype::F32, "F32", 32),
    (StoredDtype::F16, "F16", 16),
    (StoredDtype::Bf16, "BF16", 16),
    (StoredDtype::C64, "C64", 64),
    (StoredDtype::I64, "I64", 64),
    (StoredDtype::I32, "I32", 32),
    (StoredDtype::I16, "I16", 16),
    (StoredDtype::I8, "I8", 8),
    (StoredDtype::U64, "U64", 64),
    (StoredDtype::U32, "U32", 32),
    (StoredDtype::U16, "U16", 16),
    (StoredDtype::U8, "U8", 8),
    (StoredDtype::Bool, "BOOL", 8),
    (StoredDtype::F8E4m3, "F8_E4M3", 8),
    (StoredDtype::F8E5m2, "F8_E5M2", 8),
    (StoredDtype::F8E8m0, "F8_E8M0", 8),
    (StoredDtype::F8E4m3Fnuz, "F8_E4M3FNUZ", 8),
    (StoredDtype::F8E5m2Fnuz, "F8_E5M2FNUZ", 8),
    (StoredDtype::F6E2m3, "F6_E2M3", 6),
    (StoredDtype::F6E3m2, "F6_E3M2", 6),
    (StoredDtype::F4, "F4", 4),
];

impl StoredDtype {
    /// The type of that name in a safetensors header.
    pub fn from_name(name: &str) -> Option<Self> {
        TYPES.iter().find(|entry| entry.1 == name).map(|entry| entry.0)
    }

    fn entry(self) -> (&'static str, u64) {
        TYPES.iter().find(|entry| entry.0 == self).map_or(("", 0), |entry| (entry.1, entry.2))
    }

    /// Its name in a safetensors header, such as `BF16`.
    pub fn name(self) -> &'static str {
        self.entry().0
    }

    /// Bits per value.
    pub fn bits(self) -> u64 {
        self.entry().1
    }

    /// The type as one that lowbit computes with: f32, f16 or bf16.
    pub fn as_float(self) -> Option<Dtype> {
        match self {
            Self::F32 => Some(Dtype::F32),
            Self::F16 => Some(Dtype::F16),
            Self::Bf16 => Some(Dtype::Bf16),
            _ => None,
        }
    }
}

impl From<Dtype> for StoredDtype {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::Bf16 => Self::Bf16,
        }
    }
}

impl fmt::Display for StoredDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_leads_to_its_type_and_back() {
        for (dtype, name, bits) in TYPES {
            assert_eq!(StoredDtype::from_name(name), Some(dtype));
            assert_eq!((dtype.name(), dtype.bits()), (name, bits));
        }
        assert_eq!(StoredDtype::from_name("f32"), None);
    }
}
