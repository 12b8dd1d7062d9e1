//! `ldmatrix`, `stmatrix` and `movmatrix` of 8 x 8 matrices of 16-bit elements: which lane's register holds what.
//!
//! Each matrix has eight rows of 16 bytes, at addresses that eight lanes give: lanes 0 to 7 those of the first matrix,
//! 8 to 15 those of the second, and so on. Lane `l` receives, of each matrix, the elements `2 * (l % 4)` and the next of
//! row `l / 4`, low half first; with `.trans` those of column `l / 4`.

use crate::matrix::WarpRegister;
use crate::numeric::Unsupported;

/// Bytes in a row of a matrix. Row addresses must be multiples of it.
pub const ROW_BYTES: usize = 16;

/// The bytes of one row.
pub type Row = [u8; ROW_BYTES];

/// Where a 16-bit half of a register lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The lane whose address operand is the row's.
    pub pointer_lane: usize,
    /// The half's offset from that address, in bytes.
    pub byte_offset: usize,
}

/// Where half `half` (0 is the low one) of a lane's `register` comes from, or goes to with `stmatrix`.
#[inline]
pub fn location(transposed: bool, lane: usize, register: usize, half: usize) -> Location {
    let (major, minor) = (lane / 4, 2 * (lane % 4) + half);
    let (row, column) = if transposed { (minor, major) } else { (major, minor) };
    Location { pointer_lane: 8 * register + row, byte_offset: 2 * column }
}

/// The registers of an `ldmatrix` of 1, 2 or 4 matrices, from the rows that lanes `0..8 * matrices` point to.
///
/// # Errors
/// Another number of rows than 8, 16 or 32.
pub fn load(transposed: bool, rows: &[Row]) -> Result<Vec<WarpRegister>, Unsupported> {
    let matrices = rows.len() / 8;
    check_count(matrices)?;
    if rows.len() != 8 * matrices {
        return Err(Unsupported::new(format!("ldmatrix of {} rows, not a multiple of 8", rows.len())));
    }
    let half = |lane, register, half| {
        let Location { pointer_lane, byte_offset } = location(transposed, lane, register, half);
        let row = &rows[pointer_lane];
        u32::from(u16::from_le_bytes([row[byte_offset], row[byte_offset + 1]]))
    };
    Ok((0..matrices)
        .map(|register| std::array::from_fn(|lane| half(lane, register, 1) << 16 | half(lane, register, 0)))
        .collect())
}

/// The rows that an `stmatrix` of 1, 2 or 4 registers writes: element `i` goes to the address of lane `i`.
///
/// # Errors
/// Another number of registers.
pub fn store(transposed: bool, registers: &[WarpRegister]) -> Result<Vec<Row>, Unsupported> {
    check_count(registers.len())?;
    let mut rows = vec![[0; ROW_BYTES]; 8 * registers.len()];
    for (register, words) in registers.iter().enumerate() {
        for (lane, word) in words.iter().enumerate() {
            for half in 0..2 {
                let Location { pointer_lane, byte_offset } = location(transposed, lane, register, half);
                let bytes = ((word >> (16 * half)) as u16).to_le_bytes();
                rows[pointer_lane][byte_offset..byte_offset + 2].copy_from_slice(&bytes);
            }
        }
    }
    Ok(rows)
}

/// `movmatrix.sync.aligned.m8n8.trans.b16`: the transpose of a matrix that lies in a register as `ldmatrix` leaves it.
pub fn transpose(register: &WarpRegister) -> WarpRegister {
    let half = |lane: usize, half: usize| {
        let Location { pointer_lane: row, byte_offset } = location(true, lane, 0, half);
        let column = byte_offset / 2;
        register[4 * row + column / 2] >> (16 * (column % 2)) & 0xffff
    };
    std::array::from_fn(|lane| half(lane, 1) << 16 | half(lane, 0))
}

fn check_count(matrices: usize) -> Result<(), Unsupported> {
    if matches!(matrices, 1 | 2 | 4) {
        return Ok(());
    }
    Err(Unsupported::new(format!("ldmatrix or stmatrix of {matrices} matrices, not 1, 2 or 4")))
}
