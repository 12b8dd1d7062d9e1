//! `ldmatrix`, `stmatrix` and `movmatrix`.

use crate::matrix::ldmatrix::Location;
use crate::matrix::ldmatrix::Row;
use crate::matrix::ldmatrix::load;
use crate::matrix::ldmatrix::location;
use crate::matrix::ldmatrix::store;
use crate::matrix::ldmatrix::transpose;
use crate::matrix::mma::Mma;
use crate::matrix::mma::Qualifiers;
use crate::types::Type::F16;
use crate::types::Type::F32;

/// `f16` bits of a small whole number.
fn f16(x: i32) -> u16 {
    half::f16::from_f32(x as f32).to_bits()
}

/// The row of `matrix` that starts at `(row, column)`, as bytes in memory.
fn row_of(matrix: &[Vec<u16>], row: usize, column: usize) -> Row {
    let mut bytes = [0; 16];
    for (chunk, value) in bytes.chunks_exact_mut(2).zip(&matrix[row][column..column + 8]) {
        chunk.copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// A matrix whose elements are their own coordinates.
fn numbered(rows: usize) -> Vec<Row> {
    (0..rows).map(|row| std::array::from_fn(|byte| if byte % 2 == 0 { (byte / 2) as u8 } else { row as u8 })).collect()
}

#[test]
fn lanes_hold_what_the_figure_shows() {
    for matrices in [1, 2, 4] {
        let registers = load(false, &numbered(8 * matrices)).unwrap();
        let transposed = load(true, &numbered(8 * matrices)).unwrap();
        assert_eq!(registers.len(), matrices);
        for matrix in 0..matrices {
            for lane in 0..32 {
                let element = |row: usize, column: usize| ((8 * matrix + row) << 8 | column) as u32;
                let (row, column) = (lane / 4, lane % 4 * 2);
                assert_eq!(registers[matrix][lane], element(row, column + 1) << 16 | element(row, column));
                assert_eq!(transposed[matrix][lane], element(column + 1, row) << 16 | element(column, row));
            }
        }
    }
    // Thread 0 has the first fragment of row 0, thread 31 the last of row 7; the second matrix is lanes 8 to 15.
    assert_eq!(location(false, 31, 0, 1), Location { pointer_lane: 7, byte_offset: 14 });
    assert_eq!(location(false, 0, 1, 0), Location { pointer_lane: 8, byte_offset: 0 });
    assert_eq!(location(true, 1, 3, 0), Location { pointer_lane: 26, byte_offset: 0 });
}

#[test]
fn storing_undoes_loading_and_moving_transposes() {
    for transposed in [false, true] {
        for matrices in [1, 2, 4] {
            let rows = numbered(8 * matrices);
            assert_eq!(store(transposed, &load(transposed, &rows).unwrap()).unwrap(), rows);
        }
    }
    let rows = numbered(8);
    assert_eq!(vec![transpose(&load(false, &rows).unwrap()[0])], load(true, &rows).unwrap());
}

#[test]
fn other_counts_are_refused() {
    for rows in [0, 7, 9, 24, 40] {
        assert!(load(false, &numbered(rows)).is_err(), "{rows}");
    }
    assert!(store(false, &[[0; 32]; 3]).is_err());
}

#[test]
fn a_product_through_ldmatrix_is_the_matrix_product() {
    let a: Vec<Vec<u16>> = (0..16).map(|i| (0..16).map(|k| f16((3 * i + 5 * k) % 11 - 5)).collect()).collect();
    let b: Vec<Vec<u16>> = (0..16).map(|k| (0..8).map(|j| f16((7 * k + 2 * j) % 13 - 6)).collect()).collect();
    let b_by_columns: Vec<Vec<u16>> = (0..8).map(|j| (0..16).map(|k| b[k][j]).collect()).collect();
    // The four 8 x 8 parts of A in the order of its registers: rows 0 and 8 of columns 0, then of columns 8.
    let rows_of_a: Vec<Row> = [(0, 0), (8, 0), (0, 8), (8, 8)]
        .iter()
        .flat_map(|&(i, k)| (0..8).map(move |r| (i + r, k)))
        .map(|(i, k)| row_of(&a, i, k))
        .collect();
    let registers_a = load(false, &rows_of_a).unwrap();
    // B from memory with k contiguous, and from memory with n contiguous through .trans.
    let k_contiguous: Vec<Row> =
        [0, 8].iter().flat_map(|&k| (0..8).map(move |j| (j, k))).map(|(j, k)| row_of(&b_by_columns, j, k)).collect();
    let n_contiguous: Vec<Row> = (0..16).map(|k| row_of(&b, k, 0)).collect();
    let mma = Mma::new(Qualifiers { m: 16, n: 8, k: 16, d: F32, a: F16, b: F16, c: F32, satfinite: false }).unwrap();
    for registers_b in [load(false, &k_contiguous).unwrap(), load(true, &n_contiguous).unwrap()] {
        let d = mma.execute(&registers_a, &registers_b, &[[0; 32]; 4]).unwrap();
        for i in 0..16 {
            for j in 0..8 {
                let value = |bits: u16| half::f16::from_bits(bits).to_f32();
                let want: f32 = (0..16).map(|k| value(a[i][k]) * value(b[k][j])).sum();
                // c0 and c1 in row lane / 4, c2 and c3 eight below.
                let register = 2 * (i / 8) + j % 2;
                assert_eq!(f32::from_bits(d[register][4 * (i % 8) + j / 2]), want, "{i} {j}");
            }
        }
    }
}
