//! The positions of elements as the PTX ISA's sections on matrix fragments give them, one entry for each shape.

use crate::matrix::mma::Qualifiers;
use crate::types::Type;
use crate::types::Type::*;

/// Row and column from `groupID`, `threadID_in_group` and the element's index.
pub type Position = fn(usize, usize, usize) -> (usize, usize);

/// One section: the shape, the element types it is for, and elements per lane and positions of A, B and C.
pub struct Section {
    pub shape: (usize, usize, usize),
    pub types: &'static [Type],
    pub accumulators: &'static [Type],
    pub a: (usize, Position),
    pub b: (usize, Position),
    pub c: (usize, Position),
}

const C16: (usize, Position) = (4, |g, t, i| (if i < 2 { g } else { g + 8 }, t * 2 + (i & 1)));
const C8: (usize, Position) = (2, |g, t, i| (g, t * 2 + i));

pub const SECTIONS: &[Section] = &[
    Section {
        shape: (8, 8, 4),
        types: &[F64],
        accumulators: &[F64],
        a: (1, |g, t, _| (g, t)),
        b: (1, |g, t, _| (t, g)),
        c: C8,
    },
    Section {
        shape: (8, 8, 16),
        types: &[S8, U8],
        accumulators: &[S32],
        a: (4, |g, t, i| (g, t * 4 + i)),
        b: (4, |g, t, i| (t * 4 + i, g)),
        c: C8,
    },
    Section {
        shape: (8, 8, 32),
        types: &[S4, U4],
        accumulators: &[S32],
        a: (8, |g, t, i| (g, t * 8 + i)),
        b: (8, |g, t, i| (t * 8 + i, g)),
        c: C8,
    },
    Section {
        shape: (16, 8, 4),
        types: &[Tf32, F64],
        accumulators: &[F32, F64],
        a: (2, |g, t, i| (if i == 0 { g } else { g + 8 }, t)),
        b: (1, |g, t, _| (t, g)),
        c: C16,
    },
    Section {
        shape: (16, 8, 8),
        types: &[F16, Bf16],
        accumulators: &[F32, F16],
        a: (4, |g, t, i| (if i < 2 { g } else { g + 8 }, t * 2 + (i & 1))),
        b: (2, |g, t, i| (t * 2 + i, g)),
        c: C16,
    },
    Section {
        shape: (16, 8, 8),
        types: &[Tf32, F64],
        accumulators: &[F32, F64],
        a: (4, |g, t, i| (if i == 0 || i == 2 { g } else { g + 8 }, if i < 2 { t } else { t + 4 })),
        b: (2, |g, t, i| (if i == 0 { t } else { t + 4 }, g)),
        c: C16,
    },
    Section {
        shape: (16, 8, 16),
        types: &[F16, Bf16],
        accumulators: &[F32, F16],
        a: (8, |g, t, i| {
            let row = if i < 2 || (4..6).contains(&i) { g } else { g + 8 };
            (row, t * 2 + (i & 1) + if i >= 4 { 8 } else { 0 })
        }),
        b: (4, |g, t, i| (t * 2 + (i & 1) + if i >= 2 { 8 } else { 0 }, g)),
        c: C16,
    },
    Section {
        shape: (16, 8, 16),
        types: &[F64],
        accumulators: &[F64],
        a: (8, |g, t, i| if i % 2 == 0 { (g, i * 2 + t) } else { (g + 8, i * 2 - 2 + t) }),
        b: (4, |g, t, i| (t + i * 4, g)),
        c: C16,
    },
    Section {
        shape: (16, 8, 16),
        types: &[S8, U8, E4m3, E5m2],
        accumulators: &[S32, F32, F16],
        a: (8, |g, t, i| (if i < 4 { g } else { g + 8 }, t * 4 + (i & 3))),
        b: (4, |g, t, i| (t * 4 + i, g)),
        c: C16,
    },
    Section {
        shape: (16, 8, 32),
        types: &[S4, U4],
        accumulators: &[S32],
        a: (16, |g, t, i| (if i < 8 { g } else { g + 8 }, t * 8 + (i & 7))),
        b: (8, |g, t, i| (t * 8 + i, g)),
        c: C16,
    },
    Section {
        shape: (16, 8, 32),
        types: &[S8, U8, E4m3, E5m2],
        accumulators: &[S32, F32, F16],
        a: (16, |g, t, i| {
            let row = if i < 4 || (8..12).contains(&i) { g } else { g + 8 };
            (row, t * 4 + (i & 3) + if i < 8 { 0 } else { 16 })
        }),
        b: (8, |g, t, i| (t * 4 + (i & 3) + if i < 4 { 0 } else { 16 }, g)),
        c: C16,
    },
    Section {
        shape: (16, 8, 64),
        types: &[S4, U4],
        accumulators: &[S32],
        a: (32, |g, t, i| {
            let row = if i < 8 || (16..24).contains(&i) { g } else { g + 8 };
            (row, t * 8 + (i & 7) + if i < 16 { 0 } else { 32 })
        }),
        b: (16, |g, t, i| (t * 8 + (i & 7) + if i < 8 { 0 } else { 32 }, g)),
        c: C16,
    },
];

/// Every instruction of the ISA, as listed in its syntax, with its section.
pub fn instructions() -> Vec<(Qualifiers, &'static Section)> {
    let mut all = Vec::new();
    for section in SECTIONS {
        let (m, n, k) = section.shape;
        for &a in section.types {
            for &b in section.types {
                let mixable = matches!(a, S8 | U8 | S4 | U4) && matches!(b, S8 | U8 | S4 | U4)
                    || matches!(a, E4m3 | E5m2) && matches!(b, E4m3 | E5m2);
                for &d in section.accumulators.iter().filter(|_| a == b || mixable) {
                    let accumulates = match a {
                        F16 | E4m3 | E5m2 => d == F16 || d == F32,
                        Bf16 | Tf32 => d == F32,
                        F64 => d == F64,
                        _ => d == S32,
                    };
                    if accumulates {
                        all.push((Qualifiers { m, n, k, d, a, b, c: d, satfinite: false }, section));
                    }
                }
            }
        }
    }
    all
}
