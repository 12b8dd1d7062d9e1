//! The layout rule against the ISA's formulas.

use std::collections::HashSet;

use crate::matrix::fragments::Operand;
use crate::matrix::mma::Mma;
use crate::matrix::tests::isa::instructions;

#[test]
fn positions_are_those_of_the_isa_and_cover_each_matrix_once() {
    let all = instructions();
    // 4 of f64, 2 of f16 with either accumulator, 2 of bf16, 2 of tf32, 3 of each of 4 pairs of 8-bit and of 4-bit
    // integers, 2 of 4 pairs of 8-bit floats with either accumulator.
    assert_eq!(all.len(), 4 + 4 + 2 + 2 + 12 + 12 + 16);
    for (qualifiers, section) in all {
        let mma = Mma::new(qualifiers).unwrap_or_else(|error| panic!("{error}"));
        let (m, n, k) = section.shape;
        let operands =
            [(Operand::A, section.a, m * k), (Operand::B, section.b, k * n), (Operand::Accumulator, section.c, m * n)];
        for (operand, (elements, position), size) in operands {
            let fragment = mma.fragment(operand);
            assert_eq!(fragment.elements(), elements, "{qualifiers:?} {operand:?}");
            assert_eq!(fragment.rows() * fragment.columns(), size);
            let mut seen = HashSet::new();
            for lane in 0..32 {
                for index in 0..elements {
                    let want = position(lane >> 2, lane % 4, index);
                    assert_eq!(fragment.position(lane, index), want, "{qualifiers:?} {operand:?} {lane} {index}");
                    assert!(want.0 < fragment.rows() && want.1 < fragment.columns());
                    assert!(seen.insert(want), "{qualifiers:?} {operand:?} {lane} {index}: a second {want:?}");
                }
            }
            assert_eq!(seen.len(), size, "{qualifiers:?} {operand:?}");
        }
    }
}
