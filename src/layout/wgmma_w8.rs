//! `wgmma_w8`: 8-bit codes in tiles that a bulk copy brings to shared memory as wgmma reads them, with the 128-byte swizzle.
//!
//! ```text
//! atom      8 rows x 128 columns, 1024 bytes; atom (R, C) of rows 8 R.. and columns 128 C.. at 1024 * (C * row_atoms + R):
//!           any number of atoms below each other is contiguous at one step along K
//! row       128 bytes of an atom
//! chunk     16 bytes, 16 columns: chunk c of row r at place c ^ r of its row
//! ```
//! Rows are padded to whole atoms, columns to 128, with code 0, which adds nothing to a product.
//!
//! The rows of W are in pairs: of each sixteen the even ones come first, in the first atom, then the odd ones. A thread of
//! wgmma holds rows g and g + 8 of sixteen, so it has neighbours in y. The device's side of this is
//! `cuda/include/wgmma_w8.cuh`.

use rayon::prelude::*;

use crate::error::Error;
use crate::error::Result;

/// Rows of an atom.
pub const ATOM_ROWS: usize = 8;
/// Columns of an atom.
pub const ATOM_COLS: usize = 128;
/// Bytes of an atom.
pub const ATOM_BYTES: usize = ATOM_ROWS * ATOM_COLS;
/// Bytes that stay side by side.
const CHUNK: usize = 16;
/// Rows among which the order is [`RowOrder::Paired`].
const PAIRED_ROWS: usize = 2 * ATOM_ROWS;

/// Which row is where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOrder {
    /// Row after row: x.
    Plain,
    /// Of each sixteen the even ones, then the odd ones: W.
    Paired,
}

/// The atoms of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles {
    order: RowOrder,
    rows: usize,
    cols: usize,
    row_atoms: usize,
    k_tiles: usize,
}

impl Tiles {
    /// The atoms of a matrix [rows, cols].
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the padded codes exceed the address space.
    pub fn new(order: RowOrder, rows: usize, cols: usize) -> Result<Self> {
        let row_atoms = match order {
            RowOrder::Plain => rows.div_ceil(ATOM_ROWS),
            RowOrder::Paired => 2 * rows.div_ceil(PAIRED_ROWS),
        };
        let k_tiles = cols.div_ceil(ATOM_COLS);
        match row_atoms.checked_mul(k_tiles).and_then(|atoms| atoms.checked_mul(ATOM_BYTES)).map(isize::try_from) {
            Some(Ok(_)) => Ok(Self { order, rows, cols, row_atoms, k_tiles }),
            _ => Err(Error::TooLarge { what: "8-bit codes in tiles", shape: vec![rows, cols] }),
        }
    }

    /// Eights of rows.
    pub fn row_atoms(self) -> usize {
        self.row_atoms
    }

    /// Tiles of 128 columns.
    pub fn k_tiles(self) -> usize {
        self.k_tiles
    }

    /// Bytes of all atoms.
    pub fn num_bytes(self) -> usize {
        self.row_atoms * self.k_tiles * ATOM_BYTES
    }

    /// The byte that holds the code at (`row`, `col`).
    pub fn byte_of(self, row: usize, col: usize) -> usize {
        let place = match self.order {
            RowOrder::Plain => row,
            RowOrder::Paired => row / PAIRED_ROWS * PAIRED_ROWS + row % 2 * ATOM_ROWS + row % PAIRED_ROWS / 2,
        };
        let (atom, within) = (col / ATOM_COLS * self.row_atoms + place / ATOM_ROWS, place % ATOM_ROWS);
        let chunk = col % ATOM_COLS / CHUNK ^ within;
        atom * ATOM_BYTES + within * ATOM_COLS + chunk * CHUNK + col % CHUNK
    }
}

/// Permutes row-major `codes` into atoms.
///
/// # Panics
/// When `codes` is too short.
pub fn pack(tiles: Tiles, codes: &[u8]) -> Vec<u8> {
    let mut packed = vec![0; tiles.num_bytes()];
    packed.par_chunks_exact_mut((tiles.row_atoms * ATOM_BYTES).max(1)).enumerate().for_each(|(k_tile, atoms)| {
        let first = k_tile * ATOM_COLS;
        for row in 0..tiles.rows {
            for col in (first..tiles.cols.min(first + ATOM_COLS)).step_by(CHUNK) {
                let length = CHUNK.min(tiles.cols - col);
                let to = tiles.byte_of(row, col) - k_tile * tiles.row_atoms * ATOM_BYTES;
                atoms[to..to + length].copy_from_slice(&codes[row * tiles.cols + col..][..length]);
            }
        }
    });
    packed
}

/// The inverse of [`pack`].
///
/// # Panics
/// When `packed` is too short.
pub fn unpack(tiles: Tiles, packed: &[u8]) -> Vec<u8> {
    let places = (0..tiles.rows).flat_map(|row| (0..tiles.cols).map(move |col| (row, col)));
    places.map(|(row, col)| packed[tiles.byte_of(row, col)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: &[(usize, usize)] = &[(1, 1), (3, 15), (8, 16), (9, 129), (16, 128), (17, 300), (40, 511)];
    const ORDERS: [RowOrder; 2] = [RowOrder::Plain, RowOrder::Paired];

    fn codes(count: usize) -> Vec<u8> {
        (0..count).map(|i| (i * 2_654_435_761 >> 7) as u8 | 1).collect()
    }

    #[test]
    fn unpack_undoes_pack_and_padding_is_zero() {
        for (order, &(rows, cols)) in ORDERS.into_iter().flat_map(|order| SHAPES.iter().map(move |s| (order, s))) {
            let tiles = Tiles::new(order, rows, cols).unwrap();
            let codes = codes(rows * cols);
            let packed = pack(tiles, &codes);
            assert_eq!(packed.len(), tiles.num_bytes());
            assert_eq!(unpack(tiles, &packed), codes, "{order:?} [{rows}, {cols}]");
            // No code is 0, so as many bytes as codes are not: the rest is padding.
            assert_eq!(packed.iter().filter(|&&byte| byte != 0).count(), rows * cols, "{order:?} [{rows}, {cols}]");
        }
    }

    /// The operand of wgmma in shared memory as the PTX ISA gives it for K-major 128-byte swizzle: 16 bytes of row r, chunk c
    /// are at 128 r + 16 c of the pattern of eight rows, and address bits 4 to 6 are xored with bits 7 to 9.
    #[test]
    fn a_tile_in_memory_is_an_operand_of_wgmma() {
        let (rows, cols) = (40, 300);
        let tiles = Tiles::new(RowOrder::Plain, rows, cols).unwrap();
        let codes = codes(rows * cols);
        let packed = pack(tiles, &codes);
        for (row, col) in (0..rows).flat_map(|row| (0..cols).map(move |col| (row, col))) {
            // Rows 8.. of the tile of K: a copy from there lies at a multiple of 1024.
            let tile = &packed[(col / 128 * tiles.row_atoms()) * 1024..];
            let address = row / 8 * 1024 + row % 8 * 128 + col % 128;
            assert_eq!(tile[address ^ (address >> 7 & 7) << 4], codes[row * cols + col], "({row}, {col})");
        }
    }

    /// D of a warp, as the PTX ISA gives it: a thread has rows g and g + 8 of sixteen.
    #[test]
    fn a_thread_has_neighbouring_rows_of_w() {
        let tiles = Tiles::new(RowOrder::Paired, 32, 1).unwrap();
        for row in (0..32).step_by(2) {
            let place = |row| tiles.byte_of(row, 0) / ATOM_COLS;
            assert_eq!(place(row + 1), place(row) + 8, "row {row}");
            assert_eq!((place(row) / 16, place(row) % 16), (row / 16, row % 16 / 2), "row {row}");
        }
    }

    #[test]
    fn padding_that_exceeds_the_address_space_is_refused() {
        assert!(Tiles::new(RowOrder::Paired, 1 << 58, 1).is_err());
        assert!(Tiles::new(RowOrder::Plain, usize::MAX, usize::MAX).is_err());
    }
}
