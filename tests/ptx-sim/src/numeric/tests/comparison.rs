//! `setp`.

use crate::numeric::Comparison;
use crate::numeric::Comparison::*;
use crate::numeric::compare;
use crate::types::Type;

const ORDERED: [Comparison; 6] = [Eq, Ne, Lt, Le, Gt, Ge];
const UNORDERED: [Comparison; 6] = [Equ, Neu, Ltu, Leu, Gtu, Geu];
const UNSIGNED: [Comparison; 4] = [Lo, Ls, Hi, Hs];

fn holds(op: Comparison, ty: Type, a: u64, b: u64) -> bool {
    compare(op, ty, a, b, false).unwrap_or_else(|error| panic!("{error}"))
}

/// Eq, Ne, Lt, Le, Gt, Ge of less, equal and greater.
const TABLE: [(i8, [bool; 6]); 3] = [
    (-1, [false, true, true, true, false, false]),
    (0, [true, false, false, true, false, true]),
    (1, [false, true, false, false, true, true]),
];

#[test]
fn integers_compare_by_their_type() {
    for (order, want) in TABLE {
        for (ty, values) in [
            (Type::S32, [0xffff_fffe, 0xffff_ffff, 0]),
            (Type::S16, [0xdead_8000, 0xffff, 0]),
            (Type::S64, [1 << 63, u64::MAX, 0]),
            (Type::U32, [0, 0x7fff_ffff, 0x8000_0000]),
            (Type::U16, [0x1_0000, 1, 0xffff]),
            (Type::U64, [0, 1, u64::MAX]),
        ] {
            let other = values[(1 + order) as usize];
            for (op, want) in ORDERED.into_iter().zip(want) {
                assert_eq!(holds(op, ty, other, values[1]), want, "{op:?} {ty:?} {other:#x}");
            }
        }
        for (op, want) in UNSIGNED.into_iter().zip([want[2], want[3], want[4], want[5]]) {
            let other = [0, 0x7fff_ffff, 0x8000_0000][(1 + order) as usize];
            assert_eq!(holds(op, Type::U32, other, 0x7fff_ffff), want, "{op:?}");
        }
    }
    assert!(holds(Eq, Type::B16, 0x1_ffff, 0xffff));
    assert!(holds(Ne, Type::B64, 1, 1 << 40));
}

#[test]
fn floats_compare_with_and_without_nan() {
    let types = [
        (Type::F32, 0x7fc0_0001, [0xbf80_0000, 0, 0x3f80_0000]),
        (Type::F64, 0x7ff8 << 48, [0xbff0 << 48, 0, 0x3ff0 << 48]),
        (Type::F16, 0x7e00, [0xbc00, 0, 0x3c00]),
        (Type::Bf16, 0xffc0, [0xbf80, 0, 0x3f80]),
    ];
    for (ty, nan, values) in types {
        for (order, want) in TABLE {
            let other = values[(1 + order) as usize];
            for (index, want) in want.into_iter().enumerate() {
                assert_eq!(holds(ORDERED[index], ty, other, values[1]), want, "{ty:?} {other:#x}");
                assert_eq!(holds(UNORDERED[index], ty, other, values[1]), want, "{ty:?} {other:#x}");
            }
            assert!(holds(Num, ty, other, 0) && !holds(Nan, ty, other, 0));
        }
        for (a, b) in [(nan, 0), (0, nan), (nan, nan)] {
            assert!(ORDERED.iter().all(|&op| !holds(op, ty, a, b)), "{ty:?}");
            assert!(UNORDERED.iter().all(|&op| holds(op, ty, a, b)), "{ty:?}");
            assert!(holds(Nan, ty, a, b) && !holds(Num, ty, a, b));
        }
    }
    assert!(holds(Eq, Type::F32, 0x8000_0000, 0), "the zeros are equal");
    assert!(holds(Gt, Type::F32, 1, 0));
    assert_eq!(compare(Gt, Type::F32, 1, 0, true), Ok(false), "ftz");
    assert_eq!(compare(Gt, Type::F16, 0x03ff, 0, true), Ok(false), "ftz");
    assert_eq!(compare(Gt, Type::F16, 0x03ff, 0, false), Ok(true));
}

#[test]
fn operators_that_a_type_lacks_are_refused() {
    for (op, ty) in [(Lo, Type::S32), (Hs, Type::F32), (Equ, Type::U32), (Lt, Type::B32), (Eq, Type::F16x2)] {
        assert!(compare(op, ty, 0, 0, false).is_err(), "{op:?} {ty:?}");
    }
}
