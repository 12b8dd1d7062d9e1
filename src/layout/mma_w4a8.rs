//! `mma_w4a8`: the codes, multipliers and offsets of [`Format::Int4ChannelGroup`](crate::formats::Format::Int4ChannelGroup) in the
//! order in which the lanes of a warp feed them to 8-bit tensor cores, weights as operand A.
//!
//! ```text
//! unit      32 rows (N) x 64 columns (K, one group), 1088 bytes; unit (U, C) at 1088 * (U * k_tiles + C): a warp streams along K
//! tile      512 bytes, two to a unit, then the steps; tile i has the rows 4 g + 2 i + b of the unit, g in 0..8, b in 0..2: row g
//!           (b = 0) and row g + 8 (b = 1) of the matrix instruction
//! lane      16 bytes: lane l = 4 g + t of a warp, t in 0..4, has bytes 16 l .. 16 l + 15 of a tile
//! word      4 bytes: word 2 s + b is row b in the k32 step s of the tile, columns 32 s .. 32 s + 31
//! nibble    byte j, bits 3..0: column 32 s + 4 t + j        register b of mma.m16n8k32's operand A, widened
//!                   bits 7..4: column 32 s + 16 + 4 t + j   register 2 + b
//! steps     64 bytes: for each g the multipliers of rows 4 g .. 4 g + 3, then their offsets
//! ```
//! Masking a word, or shifting and masking it, leaves four codes in four bytes, and one multiply-add of 32 bits makes them the
//! bytes of a register. The operand A of wgmma's m64k32 is that of four such warps, so tiles i of four units below each other are
//! one slice of it. Rows are dealt to the tiles so that a thread of either instruction, which has the sums of rows g and g + 8 of
//! both tiles, has four adjacent rows of W, adjacent columns of y.
//!
//! N is padded to 32 rows, K to 64 columns, with code 0; rows of padding have multiplier and offset 0. Columns from K on meet
//! zeros of x.

use rayon::prelude::*;

use crate::error::Error;
use crate::error::Result;
use crate::formats::GroupSteps;
use crate::formats::int4_channel_group;
use crate::formats::nibbles;
use crate::shape::MatShape;

/// Rows of a unit.
pub const UNIT_ROWS: usize = 32;
/// Columns of a unit: a group of the format.
pub const UNIT_COLS: usize = int4_channel_group::GROUP;
/// Bytes of a unit.
pub const UNIT_BYTES: usize = 2 * TILE_BYTES + 2 * UNIT_ROWS;
/// Bytes of a tile of codes.
const TILE_BYTES: usize = UNIT_ROWS * UNIT_COLS / 4;

/// The units of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Units {
    shape: MatShape,
    row_units: usize,
    k_tiles: usize,
}

impl Units {
    /// The units of a matrix of `shape`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the padded codes exceed the address space.
    pub fn new(shape: MatShape) -> Result<Self> {
        let (row_units, k_tiles) = (shape.n().div_ceil(UNIT_ROWS), shape.k().div_ceil(UNIT_COLS));
        let bytes = row_units.checked_mul(k_tiles).and_then(|units| units.checked_mul(UNIT_BYTES));
        match bytes {
            Some(bytes) if isize::try_from(bytes).is_ok() => Ok(Self { shape, row_units, k_tiles }),
            _ => Err(Error::TooLarge { what: "4-bit codes in units", shape: vec![shape.n(), shape.k()] }),
        }
    }

    /// How many there are.
    pub fn count(self) -> usize {
        self.row_units * self.k_tiles
    }

    /// Bytes of all units.
    pub fn num_bytes(self) -> usize {
        self.count() * UNIT_BYTES
    }

    /// The byte of the code at (`row`, `col`), and by how much its bits are shifted to the left there.
    fn place_of(self, row: usize, col: usize) -> (usize, usize) {
        let unit = row / UNIT_ROWS * self.k_tiles + col / UNIT_COLS;
        let (row, col) = (row % UNIT_ROWS, col % UNIT_COLS);
        let (g, tile, b) = (row / 4, row / 2 % 2, row % 2);
        let (step, high, t, j) = (col / 32, col / 16 % 2, col / 4 % 4, col % 4);
        let byte = tile * TILE_BYTES + 16 * (4 * g + t) + 4 * (2 * step + b) + j;
        (unit * UNIT_BYTES + byte, 4 * high)
    }

    /// The bytes of the multiplier and the offset of (`row`, `col`).
    fn steps_of(self, row: usize, col: usize) -> (usize, usize) {
        let unit = row / UNIT_ROWS * self.k_tiles + col / UNIT_COLS;
        let row = row % UNIT_ROWS;
        let multiplier = unit * UNIT_BYTES + 2 * TILE_BYTES + row / 4 * 8 + row % 4;
        (multiplier, multiplier + 4)
    }
}

/// Permutes `codes`, in [`nibbles`] order of the flattened matrix, and `steps` into units.
///
/// # Panics
/// When an array is too short for the shape.
pub fn pack(units: Units, codes: &[u8], steps: &GroupSteps) -> Vec<u8> {
    let shape = units.shape;
    // The places in one row of units, for each of which a thread fills its bytes.
    let row = Units { row_units: 1, ..units };
    let mut packed = vec![0; units.num_bytes()];
    packed.par_chunks_exact_mut(units.k_tiles * UNIT_BYTES).enumerate().for_each(|(unit, packed)| {
        let first = unit * UNIT_ROWS;
        for r in 0..UNIT_ROWS.min(shape.n() - first) {
            for col in 0..shape.k() {
                let (byte, shift) = row.place_of(r, col);
                packed[byte] |= nibbles::get(codes, (first + r) * shape.k() + col) << shift;
            }
            for group in 0..units.k_tiles {
                let (multiplier, offset) = row.steps_of(r, group * UNIT_COLS);
                let index = (first + r) * units.k_tiles + group;
                (packed[multiplier], packed[offset]) = (steps.multipliers[index], steps.offsets[index]);
            }
        }
    });
    packed
}

/// The inverse of [`pack`]; an odd number of codes leaves the last half byte 0.
///
/// # Panics
/// When `packed` is too short for the units.
pub fn unpack(units: Units, packed: &[u8]) -> (Vec<u8>, GroupSteps) {
    let shape = units.shape;
    let mut codes = vec![0; shape.num_values().div_ceil(2)];
    let mut steps = GroupSteps::zeros(shape);
    for row in 0..shape.n() {
        for col in 0..shape.k() {
            let (byte, shift) = units.place_of(row, col);
            nibbles::set(&mut codes, row * shape.k() + col, packed[byte] >> shift & 15);
        }
        for group in 0..units.k_tiles {
            let (multiplier, offset) = units.steps_of(row, group * UNIT_COLS);
            let index = row * units.k_tiles + group;
            (steps.multipliers[index], steps.offsets[index]) = (packed[multiplier], packed[offset]);
        }
    }
    (codes, steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: &[(usize, usize)] =
        &[(1, 1), (1, 63), (3, 5), (31, 64), (32, 65), (33, 128), (65, 130), (7, 191), (40, 64)];

    /// Codes and steps that no two places share by accident: each is a hash of its index.
    fn some_arrays(shape: MatShape) -> (Vec<u8>, GroupSteps) {
        let hash = |i: usize| (i as u32 + 1).wrapping_mul(2_654_435_761) >> 13;
        let mut codes = vec![0; shape.num_values().div_ceil(2)];
        (0..shape.num_values()).for_each(|i| nibbles::set(&mut codes, i, hash(i) as u8 & 15));
        let mut steps = GroupSteps::zeros(shape);
        steps.multipliers.iter_mut().enumerate().for_each(|(i, m)| *m = hash(i) as u8);
        steps.offsets.iter_mut().enumerate().for_each(|(i, o)| *o = hash(i + 7) as u8);
        (codes, steps)
    }

    #[test]
    fn unpack_undoes_pack() {
        for &(n, k) in SHAPES {
            let shape = MatShape::new(n, k).unwrap();
            let units = Units::new(shape).unwrap();
            let (codes, steps) = some_arrays(shape);
            let packed = pack(units, &codes, &steps);
            assert_eq!(packed.len(), n.div_ceil(32) * k.div_ceil(64) * 1088);
            assert_eq!(unpack(units, &packed), (codes, steps), "[{n}, {k}]");
        }
    }

    /// The operand of mma.m16n8k32 with 8-bit elements as the PTX ISA gives it: a0 to a3 are four bytes each, in row `g` for
    /// registers 0 and 2 and `g + 8` for 1 and 3, in columns `4 t + j` for registers 0 and 1 and `4 t + 16 + j` for 2 and 3. Row
    /// r of the instruction is row 4 (r % 8) + r / 8 of the unit in the first tile, 2 further in the second.
    #[test]
    fn every_code_is_where_the_matrix_instruction_takes_it() {
        for &(n, k) in SHAPES {
            let shape = MatShape::new(n, k).unwrap();
            let units = Units::new(shape).unwrap();
            let (codes, steps) = some_arrays(shape);
            let packed = pack(units, &codes, &steps);
            let mut seen = 0;
            for (unit, bytes) in packed.chunks_exact(1088).enumerate() {
                let (first_row, first_col) = (unit / k.div_ceil(64) * 32, unit % k.div_ceil(64) * 64);
                let places = (0..2).flat_map(|tile| (0..32).map(move |lane| (tile, lane)));
                for (tile, lane, step, register, j) in places
                    .flat_map(|(tile, lane)| (0..2).map(move |step| (tile, lane, step)))
                    .flat_map(|(tile, lane, step)| (0..4).map(move |register| (tile, lane, step, register)))
                    .flat_map(|(tile, lane, step, register)| (0..4).map(move |j| (tile, lane, step, register, j)))
                {
                    let instruction_row = lane / 4 + [0, 8, 0, 8][register];
                    let row = first_row + 4 * (instruction_row % 8) + instruction_row / 8 + 2 * tile;
                    let col = first_col + 32 * step + lane % 4 * 4 + [0, 0, 16, 16][register] + j;
                    // The word of the register's row: shifted for registers 2 and 3.
                    let byte = bytes[512 * tile + 16 * lane + 8 * step + 4 * (register % 2) + j];
                    let code = if register < 2 { byte & 15 } else { byte >> 4 };
                    let inside = row < n && col < k;
                    assert_eq!(code, if inside { nibbles::get(&codes, row * k + col) } else { 0 }, "[{n}, {k}]");
                    seen += usize::from(inside);
                    let index = row * k.div_ceil(64) + first_col / 64;
                    let at = |array: &[u8]| if row < n { array[index] } else { 0 };
                    let own = 1024 + lane / 4 * 8 + 2 * tile + instruction_row / 8;
                    let expected = (at(&steps.multipliers), at(&steps.offsets));
                    assert_eq!((bytes[own], bytes[own + 4]), expected, "[{n}, {k}]");
                }
            }
            assert_eq!(seen, n * k);
        }
    }

    #[test]
    fn padding_that_exceeds_the_address_space_is_refused() {
        assert!(Units::new(MatShape::new(1 << 60, 1).unwrap()).is_err());
    }
}
