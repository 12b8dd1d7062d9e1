//! Swizzles and addresses against the layout algebra in which CUTLASS states the canonical layouts.

use crate::matrix::descriptor::Major;
use crate::matrix::descriptor::MatrixDescriptor;
use crate::matrix::swizzle::Swizzle;

/// `((shape..), (shape..)) : ((stride..), (stride..))` of one dimension: the offset of a coordinate, fastest mode first.
fn offset(mut coordinate: u32, modes: &[(u32, u32)]) -> u32 {
    modes.iter().fold(0, |sum, &(shape, stride)| {
        let digit = coordinate % shape;
        coordinate /= shape;
        sum + digit * stride
    })
}

/// Blocks in a row of each mode, and its number in a descriptor.
const MODES: [(Swizzle, u32, u64); 4] =
    [(Swizzle::None, 1, 0), (Swizzle::Bytes32, 2, 3), (Swizzle::Bytes64, 4, 2), (Swizzle::Bytes128, 8, 1)];

#[test]
fn blocks_move_as_in_the_figures() {
    for row in 0..8 {
        for block in 0..8 {
            // Eight rows of 128 bytes.
            assert_eq!(Swizzle::Bytes128.apply(128 * row + 16 * block, 0), 128 * row + 16 * (block ^ row));
            assert_eq!(Swizzle::None.apply(128 * row + 16 * block, 0), 128 * row + 16 * block);
            // Rows of 64 bytes change in pairs, rows of 32 bytes in fours.
            let (at, moved) = (64 * row + 16 * (block % 4), 64 * row + 16 * ((block % 4) ^ (row / 2)));
            assert_eq!(Swizzle::Bytes64.apply(at, 0), moved);
            let (at, moved) = (32 * row + 16 * (block % 2), 32 * row + 16 * ((block % 2) ^ (row / 4)));
            assert_eq!(Swizzle::Bytes32.apply(at, 0), moved);
        }
    }
    for (swizzle, ..) in MODES {
        for address in 0..4096 {
            for base_offset in 0..8 {
                let moved = swizzle.apply(address, base_offset);
                assert_eq!(swizzle.apply(moved, base_offset), address);
                assert_eq!(moved & !0x70, address & !0x70, "within 128 bytes, in units of 16");
            }
            let repeated = swizzle.apply(address + swizzle.pattern_bytes(), 0);
            assert_eq!(repeated, swizzle.apply(address, 0) + swizzle.pattern_bytes());
        }
    }
    assert_eq!(Swizzle::from_row_bytes(64), Ok(Swizzle::Bytes64));
    assert!(Swizzle::from_row_bytes(16).is_err());
}

#[test]
fn the_base_offset_moves_the_pattern() {
    // A pattern that starts at 0x380, which is row 7 of a pattern at 0.
    for row in 0..8 {
        for block in 0..8 {
            let at = 0x380 + 128 * row;
            assert_eq!(Swizzle::Bytes128.apply(at + 16 * block, 7), at + 16 * (block ^ row));
        }
    }
}

#[test]
fn descriptors_decode_field_by_field() {
    for (swizzle, _, field) in MODES {
        let base_offset = if field == 0 { 0 } else { 5 };
        let bits = 0x3ff0 >> 4 | (0x12340 >> 4) << 16 | (0x3fff0 >> 4) << 32 | base_offset << 49 | field << 62;
        let want = MatrixDescriptor {
            start: 0x3ff0,
            leading: 0x12340,
            stride: 0x3fff0,
            base_offset: base_offset as u32,
            swizzle,
        };
        assert_eq!(MatrixDescriptor::decode(bits), Ok(want));
        for unused in [14, 15, 30, 31, 46, 47, 48, 52, 61] {
            assert!(MatrixDescriptor::decode(bits | 1 << unused).is_err(), "bit {unused}");
        }
    }
    assert!(MatrixDescriptor::decode(1 << 49).is_err(), "a base offset without swizzle");
}

#[test]
fn addresses_are_those_of_the_canonical_layouts() {
    let (leading, stride) = (0x2400, 0x5000);
    for (swizzle, w, _) in MODES {
        for element_bytes in [1, 2, 4] {
            // T and the offsets in elements, as the layouts are written.
            let t = 16 / element_bytes;
            let (lbo, sbo) = (leading / element_bytes, stride / element_bytes);
            let k_major = if w == 1 {
                ([(8, t), (64, sbo)].to_vec(), [(t, 1), (2, lbo)].to_vec())
            } else {
                ([(8, w * t), (64, sbo)].to_vec(), [(t, 1), (2, t)].to_vec())
            };
            let mn_major = if w == 1 {
                ([(t, 1), (1, t), (64, sbo)].to_vec(), [(8, t), (64, lbo)].to_vec())
            } else {
                ([(t, 1), (w, t), (64, lbo)].to_vec(), [(8, w * t), (64, sbo)].to_vec())
            };
            for start in [0, 0x4000, 0x4020] {
                let descriptor = MatrixDescriptor { start, leading, stride, base_offset: 0, swizzle };
                for (major, (mn_modes, k_modes)) in [(Major::K, &k_major), (Major::Mn, &mn_major)] {
                    for mn in 0..64 {
                        for k in 0..2 * t {
                            let linear = start + element_bytes * (offset(mn, mn_modes) + offset(k, k_modes));
                            // Swizzle<log2 w, 4, 3>: the w - 1 bits from 7 up go to the bits from 4 up.
                            let want = linear ^ (linear & (w - 1) << 7) >> 3;
                            let got = descriptor.element_address(major, element_bytes, mn, k);
                            assert_eq!(got, want, "{swizzle:?} {major:?} {element_bytes} {start:#x} {mn} {k}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn blocks_cover_an_operand_once() {
    for (swizzle, ..) in MODES {
        let descriptor = MatrixDescriptor { start: 1024, leading: 4096, stride: 1024, base_offset: 0, swizzle };
        for (major, element_bytes) in [(Major::K, 1), (Major::K, 2), (Major::K, 4), (Major::Mn, 2)] {
            let blocks: Vec<_> = descriptor.blocks(major, element_bytes, 24).collect();
            let mut elements = std::collections::HashSet::new();
            for block in &blocks {
                assert_eq!(block.address % 16, 0);
                for step in 0..16 / element_bytes {
                    let (mn, k) = match major {
                        Major::K => (block.mn, block.k + step),
                        Major::Mn => (block.mn + step, block.k),
                    };
                    let address = descriptor.element_address(major, element_bytes, mn, k);
                    assert_eq!(address, block.address + element_bytes * step);
                    assert!(elements.insert((mn, k)));
                }
            }
            assert_eq!((blocks.len(), elements.len()), (48, 24 * 32 / element_bytes as usize));
        }
    }
}
