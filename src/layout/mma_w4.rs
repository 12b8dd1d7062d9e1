//! `mma_w4`: 4-bit codes in the order in which the lanes of a warp feed them to tensor cores, weights as operand A.
//!
//! ```text
//! tile      16 rows (N) x 64 columns (K), 512 bytes; tile (R, C) at 512 * (R * k_tiles + C): a warp streams along K, and
//!           four row tiles below each other are one m64 slice of wgmma
//! lane      16 bytes: lane l = 4 g + t of a warp, g in 0..8, t in 0..4, has bytes 16 l .. 16 l + 15 of a tile
//! word      4 bytes: word s of the lane is the k16 step s of the tile, columns 16 s .. 16 s + 15
//! byte      one register of mma.m16n8k16's operand A before decoding: byte r = 2 h + b has row g + 8 b, columns
//!           16 s + 8 h + 2 t and the next
//! nibble    bits 7..4 the even column, bits 3..0 the odd one, as in formats/nibbles.rs: with even K a byte is a byte of
//!           the format
//! ```
//! A decoder looks a byte up in a table of 256 value pairs, so the order within the byte costs nothing; what a kernel gains
//! is that one byte permute of a word makes a table address of any of its four bytes.
//!
//! N is padded to 16 rows, K to 64 columns, with code 0. Nothing leaks from there: rows from N on are not stored, and the
//! columns from K on meet zeros of x. Scales of padding are 0.

use rayon::prelude::*;

use crate::error::Error;
use crate::error::Result;
use crate::formats::Format;
use crate::formats::nibbles;
use crate::shape::Granularity;
use crate::shape::MatShape;

/// Rows of a tile.
pub const TILE_ROWS: usize = 16;
/// Columns of a tile.
pub const TILE_COLS: usize = 64;
/// Bytes of a tile.
pub const TILE_BYTES: usize = TILE_ROWS * TILE_COLS / 2;
/// Bytes of a tile that one lane has.
const LANE_BYTES: usize = 16;

/// The tiles of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles {
    shape: MatShape,
    row_tiles: usize,
    k_tiles: usize,
}

impl Tiles {
    /// The tiles of a matrix of `shape`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the padded codes exceed the address space.
    pub fn new(shape: MatShape) -> Result<Self> {
        let (row_tiles, k_tiles) = (shape.n().div_ceil(TILE_ROWS), shape.k().div_ceil(TILE_COLS));
        let bytes = row_tiles.checked_mul(k_tiles).and_then(|tiles| tiles.checked_mul(TILE_BYTES));
        match bytes {
            Some(bytes) if isize::try_from(bytes).is_ok() => Ok(Self { shape, row_tiles, k_tiles }),
            _ => Err(Error::TooLarge { what: "4-bit codes in tiles", shape: vec![shape.n(), shape.k()] }),
        }
    }

    /// Tiles along N.
    pub fn row_tiles(self) -> usize {
        self.row_tiles
    }

    /// Tiles along K.
    pub fn k_tiles(self) -> usize {
        self.k_tiles
    }

    /// Bytes of all tiles.
    pub fn num_bytes(self) -> usize {
        self.row_tiles * self.k_tiles * TILE_BYTES
    }

    /// The byte that holds the code at (`row`, `col`); the even column of a pair is in its high half.
    pub fn byte_of(self, row: usize, col: usize) -> usize {
        let tile = (row / TILE_ROWS) * self.k_tiles + col / TILE_COLS;
        let (row, col) = (row % TILE_ROWS, col % TILE_COLS);
        let lane = 4 * (row % 8) + col % 8 / 2;
        let (step, register) = (col / 16, 2 * (col % 16 / 8) + row / 8);
        tile * TILE_BYTES + lane * LANE_BYTES + 4 * step + register
    }
}

/// The row and column, within a tile, of the first of the two codes in byte `index` of it.
fn place(index: usize) -> (usize, usize) {
    let (lane, step, register) = (index / LANE_BYTES, index % LANE_BYTES / 4, index % 4);
    (lane / 4 + 8 * (register % 2), 16 * step + 8 * (register / 2) + 2 * (lane % 4))
}

/// Permutes `codes`, in [`nibbles`] order of the flattened matrix, into tiles.
///
/// # Panics
/// When `codes` is too short for the shape.
pub fn pack(tiles: Tiles, codes: &[u8]) -> Vec<u8> {
    let shape = tiles.shape;
    let code = |row: usize, col: usize| match row < shape.n() && col < shape.k() {
        true => nibbles::get(codes, row * shape.k() + col),
        false => 0,
    };
    let mut packed = vec![0; tiles.num_bytes()];
    packed.par_chunks_exact_mut(tiles.k_tiles * TILE_BYTES).enumerate().for_each(|(row_tile, tiles)| {
        for (k_tile, tile) in tiles.chunks_exact_mut(TILE_BYTES).enumerate() {
            for (index, byte) in tile.iter_mut().enumerate() {
                let (row, col) = place(index);
                let (row, col) = (row_tile * TILE_ROWS + row, k_tile * TILE_COLS + col);
                *byte = code(row, col) << 4 | code(row, col + 1);
            }
        }
    });
    packed
}

/// The inverse of [`pack`]; an odd number of codes leaves the last half byte 0.
///
/// # Panics
/// When `packed` is too short for the tiles.
pub fn unpack(tiles: Tiles, packed: &[u8]) -> Vec<u8> {
    let shape = tiles.shape;
    let mut codes = vec![0; shape.num_values().div_ceil(2)];
    for row in 0..shape.n() {
        for col in 0..shape.k() {
            let byte = packed[tiles.byte_of(row, col)];
            let code = if col.is_multiple_of(2) { byte >> 4 } else { byte & 15 };
            nibbles::set(&mut codes, row * shape.k() + col, code);
        }
    }
    codes
}

/// The order of the scales on the device, and of what is stored once for each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleOrder {
    /// `[row tile][group][16]`, row r of the tile at 2 (r % 8) + r / 8 of the 16: a lane of the matrix instruction has its
    /// rows g and g + 8 in one load. For scales whose group is 32 or a multiple of 64 columns of one row.
    Tiled {
        /// Columns that share a scale; of a matrix with one scale per row, all the columns of its tiles.
        group_len: usize,
        /// Groups of a row: with 32 columns those of all its tiles, so that the last may lie beyond K.
        groups: usize,
    },
    /// The order of the format: the scale of (row, col) is scale `(row * row_values + col) / group_len`.
    Flat {
        /// Values that share a scale.
        group_len: usize,
        /// How far apart rows are in values: K, or the columns of the row's groups where the last is short, or 0 where
        /// all rows share one.
        row_values: usize,
    },
}

impl ScaleOrder {
    /// Tiled wherever the groups allow it.
    pub fn new(format: Format, tiles: Tiles) -> Self {
        let (shape, padded_k) = (tiles.shape, tiles.k_tiles * TILE_COLS);
        let per_row = Self::Tiled { group_len: padded_k, groups: 1 };
        let in_rows = |group_len: usize| Self::Tiled { group_len, groups: padded_k.div_ceil(group_len) };
        let fits = |group_len: usize| group_len == 32 || group_len.is_multiple_of(TILE_COLS);
        match (format.flat_block().map(|b| b.get()), format.granularity()) {
            (Some(block), _) if fits(block) && (shape.k().is_multiple_of(block) || shape.n() == 1) => in_rows(block),
            (Some(block), _) => Self::Flat { group_len: block, row_values: shape.k() },
            (None, Some(Granularity::PerGroup(size))) if size.get() >= shape.k() => per_row,
            (None, Some(Granularity::PerGroup(size))) if fits(size.get()) => in_rows(size.get()),
            (None, Some(granularity @ Granularity::PerGroup(size))) => {
                let row_values = granularity.groups_per_row(shape) * size.get();
                Self::Flat { group_len: size.get(), row_values }
            }
            (None, _) => per_row,
        }
    }

    /// Permutes what a format stores once per scale.
    ///
    /// # Panics
    /// When `values` has fewer elements than the format has scales.
    pub fn pack<T: Copy + Default>(self, format: Format, tiles: Tiles, values: &[T]) -> Vec<T> {
        let Self::Tiled { group_len, groups } = self else { return values.to_vec() };
        let shape = tiles.shape;
        let mut packed = vec![T::default(); tiles.row_tiles * groups * TILE_ROWS];
        for (row, group) in (0..shape.n()).flat_map(|row| (0..groups).map(move |group| (row, group))) {
            let col = group * group_len;
            if col < shape.k() {
                let place = (row / TILE_ROWS * groups + group) * TILE_ROWS + 2 * (row % 8) + row % TILE_ROWS / 8;
                packed[place] = values[format.scale_index(shape, row, col)];
            }
        }
        packed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::AbsmaxKind;
    use crate::formats::Symmetry;
    use crate::shape::BlockSize;
    use crate::shape::GroupSize;

    const SHAPES: &[(usize, usize)] = &[(1, 1), (1, 63), (3, 5), (15, 64), (16, 65), (17, 128), (33, 130), (7, 191)];

    fn tiles(n: usize, k: usize) -> Tiles {
        Tiles::new(MatShape::new(n, k).unwrap()).unwrap()
    }

    fn some_codes(count: usize) -> Vec<u8> {
        let mut state = 1u32;
        let mut codes = vec![0; count.div_ceil(2)];
        for i in 0..count {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            nibbles::set(&mut codes, i, (state >> 28) as u8);
        }
        codes
    }

    #[test]
    fn unpack_undoes_pack() {
        for &(n, k) in SHAPES {
            let codes = some_codes(n * k);
            let packed = pack(tiles(n, k), &codes);
            assert_eq!(packed.len() % TILE_BYTES, 0);
            assert_eq!(unpack(tiles(n, k), &packed), codes, "[{n}, {k}]");
        }
    }

    /// The operand of mma.m16n8k16 as the PTX ISA gives it: for a0 to a3, the row is `g` for registers 0 and 2 and `g + 8`
    /// for 1 and 3, the column `2 t + i` for registers 0 and 1 and `2 t + 8 + i` for 2 and 3.
    #[test]
    fn every_code_is_where_the_matrix_instruction_takes_it() {
        for &(n, k) in SHAPES {
            let (codes, tiles) = (some_codes(n * k), tiles(n, k));
            let packed = pack(tiles, &codes);
            let mut seen = 0;
            for (word, bytes) in packed.chunks_exact(4).enumerate() {
                let (step, lane, tile) = (word % 4, word / 4 % 32, word / 128);
                let (row_tile, k_tile) = (tile / tiles.k_tiles(), tile % tiles.k_tiles());
                for register in 0..4 {
                    let row = [lane / 4, lane / 4 + 8, lane / 4, lane / 4 + 8][register] + 16 * row_tile;
                    let first = lane % 4 * 2 + [0, 0, 8, 8][register];
                    for (half, code) in [bytes[register] >> 4, bytes[register] & 15].into_iter().enumerate() {
                        let col = 64 * k_tile + 16 * step + first + half;
                        let inside = row < n && col < k;
                        let expected = if inside { nibbles::get(&codes, row * k + col) } else { 0 };
                        assert_eq!(code, expected, "[{n}, {k}] at ({row}, {col})");
                        seen += usize::from(inside);
                    }
                }
            }
            assert_eq!(seen, n * k);
        }
    }

    #[test]
    fn padding_that_exceeds_the_address_space_is_refused() {
        assert!(Tiles::new(MatShape::new(1 << 60, 1).unwrap()).is_err());
    }

    fn nf4(block_size: BlockSize) -> Format {
        Format::Nf4 { block_size, absmax: AbsmaxKind::F32 }
    }

    fn int4(granularity: Granularity) -> Format {
        Format::Int4 { granularity, symmetry: Symmetry::Asymmetric }
    }

    fn group(size: usize) -> Granularity {
        Granularity::PerGroup(GroupSize::new(size).unwrap())
    }

    #[test]
    fn each_value_finds_its_scale_in_either_order() {
        let granularities = [group(1), group(31), group(32), group(64), group(96), group(192), group(1000)];
        let mut formats = vec![nf4(BlockSize::B32), nf4(BlockSize::B64), nf4(BlockSize::B4096)];
        formats.extend(granularities.map(int4));
        formats.extend([int4(Granularity::PerRow), int4(Granularity::PerTensor)]);
        let (mut tiled, mut flat) = (0, 0);
        for (&(n, k), format) in SHAPES.iter().flat_map(|shape| formats.iter().map(move |format| (shape, *format))) {
            let (shape, tiles) = (MatShape::new(n, k).unwrap(), tiles(n, k));
            let values: Vec<usize> = (1..=format.num_scales(shape)).collect();
            let order = ScaleOrder::new(format, tiles);
            let packed = order.pack(format, tiles, &values);
            for (row, col) in (0..n).flat_map(|row| (0..k).map(move |col| (row, col))) {
                let place = match order {
                    ScaleOrder::Tiled { group_len, groups } => {
                        16 * (row / 16 * groups + col / group_len) + 2 * (row % 8) + (row / 8) % 2
                    }
                    ScaleOrder::Flat { group_len, row_values } => (row * row_values + col) / group_len,
                };
                assert_eq!(packed[place], format.scale_index(shape, row, col) + 1, "{format} [{n}, {k}]");
            }
            match order {
                ScaleOrder::Tiled { .. } => tiled += 1,
                ScaleOrder::Flat { .. } => flat += 1,
            }
        }
        assert!(tiled > 20 && flat > 20, "{tiled} tiled, {flat} flat");
    }

    #[test]
    fn blocks_that_straddle_rows_stay_flat() {
        let order = |n, k, format| ScaleOrder::new(format, tiles(n, k));
        assert_eq!(order(2, 96, nf4(BlockSize::B64)), ScaleOrder::Flat { group_len: 64, row_values: 96 });
        assert_eq!(order(1, 96, nf4(BlockSize::B64)), ScaleOrder::Tiled { group_len: 64, groups: 2 });
        assert_eq!(order(2, 96, nf4(BlockSize::B32)), ScaleOrder::Tiled { group_len: 32, groups: 4 });
        assert_eq!(order(2, 70, int4(group(48))), ScaleOrder::Flat { group_len: 48, row_values: 96 });
        assert_eq!(order(2, 70, int4(Granularity::PerTensor)), ScaleOrder::Tiled { group_len: 128, groups: 1 });
    }
}
