//! Names of types.

use crate::types::Type;

/// The type that a modifier without its dot names.
pub fn type_named(name: &str) -> Option<Type> {
    Some(match name {
        "pred" => Type::Pred,
        "b8" => Type::B8,
        "b16" => Type::B16,
        "b32" => Type::B32,
        "b64" => Type::B64,
        "b128" => Type::B128,
        "u8" => Type::U8,
        "u16" => Type::U16,
        "u32" => Type::U32,
        "u64" => Type::U64,
        "s8" => Type::S8,
        "s16" => Type::S16,
        "s32" => Type::S32,
        "s64" => Type::S64,
        "f16" => Type::F16,
        "f16x2" => Type::F16x2,
        "bf16" => Type::Bf16,
        "bf16x2" => Type::Bf16x2,
        "tf32" => Type::Tf32,
        "e4m3" => Type::E4m3,
        "e5m2" => Type::E5m2,
        "e4m3x2" => Type::E4m3x2,
        "e5m2x2" => Type::E5m2x2,
        "f32" => Type::F32,
        "f64" => Type::F64,
        "u4" => Type::U4,
        "s4" => Type::S4,
        _ => return None,
    })
}

/// Bytes of a type in memory; `None` for those that have none.
pub fn type_bytes(ty: Type) -> Option<u32> {
    Some(type_bits(ty) / 8).filter(|&bytes| bytes > 0)
}

/// Bits of a type.
pub fn type_bits(ty: Type) -> u32 {
    match ty {
        Type::Pred => 1,
        Type::U4 | Type::S4 => 4,
        Type::B8 | Type::U8 | Type::S8 | Type::E4m3 | Type::E5m2 => 8,
        Type::B16 | Type::U16 | Type::S16 | Type::F16 | Type::Bf16 | Type::E4m3x2 | Type::E5m2x2 => 16,
        Type::B32 | Type::U32 | Type::S32 | Type::F16x2 | Type::Bf16x2 | Type::Tf32 | Type::F32 => 32,
        Type::B64 | Type::U64 | Type::S64 | Type::F64 => 64,
        Type::B128 => 128,
    }
}

/// True for `.s8` to `.s64`.
pub fn is_signed(ty: Type) -> bool {
    matches!(ty, Type::S4 | Type::S8 | Type::S16 | Type::S32 | Type::S64)
}

/// True for the types of floating-point arithmetic.
pub fn is_float(ty: Type) -> bool {
    matches!(ty, Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2 | Type::F32 | Type::F64)
}
