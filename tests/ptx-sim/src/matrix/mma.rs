//! `mma.sync`: the product of two small matrices in the registers of a warp, added to a third.
//!
//! # Numbers
//!
//! The ISA leaves order, rounding and precision of the floating-point sums open ("at least single precision" for `f32`
//! accumulators). Measurements (Fasi, Higham, Mikaitis and Pranesh, "Numerical behavior of NVIDIA tensor cores",
//! PeerJ Computer Science 7:e330, 2021) found, for V100, T4 and A100: products are exact; the products of a block of
//! 4 to 8 steps of K and the accumulator are aligned to the largest of them and what lies below 24 bits, or a few more,
//! is cut off; the sum is cut to 24 bits; `f16` results are rounded to nearest; subnormals count in full. Later
//! generations have larger blocks. Hopper and Ada keep only about 14 bits of the sums of 8-bit formats (DeepSeek-V3
//! technical report, arXiv 2412.19437, 3.3.2).
//!
//! Here the accumulator and all K exact products are summed in `f64` in order of ascending `k`, and the sum is truncated
//! to `f32` once (`f16`: rounded to nearest once). Truncation, not rounding, because its bias is the one property of
//! the hardware that adds up over a long K: a kernel that accumulates too long in one register shows it here too. What
//! is not imitated is the loss by alignment, which differs between devices. [`Mma::error_bound`] covers both, so a
//! kernel's tolerance that is derived from it holds on the simulator and on a device.
//!
//! `f64` accumulates with one fused multiply-add for each k, ascending. Integers are exact.

use crate::matrix::WarpRegister;
use crate::matrix::fragments::Fragment;
use crate::matrix::fragments::Operand;
use crate::matrix::multiply::WithDecoder;
use crate::matrix::multiply::add_to_s32;
use crate::matrix::multiply::float_error_bound;
use crate::matrix::multiply::multiply_row;
use crate::matrix::multiply::round_to_f16;
use crate::matrix::multiply::truncate_to_f32;
use crate::matrix::multiply::with_decoder;
use crate::numeric::Unsupported;
use crate::types::Type;

/// The columns of B and of the accumulators, in every shape.
const N: usize = 8;

/// One `mma.sync` instruction: shape, types and modifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mma {
    k: usize,
    a_type: Type,
    b_type: Type,
    accumulator: Type,
    satfinite: bool,
    a: Fragment,
    b: Fragment,
    c: Fragment,
}

/// The qualifiers of an `mma.sync`, in the order of PTX: `mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32` has
/// `m: 16, n: 8, k: 16, d: F32, a: F16, b: F16, c: F32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Qualifiers {
    /// Rows of A and D.
    pub m: usize,
    /// Columns of B and D.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Type of the result.
    pub d: Type,
    /// Element type of A.
    pub a: Type,
    /// Element type of B.
    pub b: Type,
    /// Type of the accumulator that goes in.
    pub c: Type,
    /// `.satfinite`, of integers.
    pub satfinite: bool,
}

impl Qualifiers {
    /// Whether PTX has the instruction. `m8n8k4` of `f16`, `.b1`, sparse and block-scaled forms are left out.
    fn is_supported(&self) -> bool {
        use Type::*;
        let Self { m, n, k, d, a, b, c, satfinite } = *self;
        let integer = matches!(a, U8 | S8 | U4 | S4);
        let shapes: &[(usize, usize)] = match (a, b) {
            (F16, F16) | (Bf16, Bf16) => &[(16, 8), (16, 16)],
            (Tf32, Tf32) => &[(16, 4), (16, 8)],
            (U8 | S8, U8 | S8) => &[(8, 16), (16, 16), (16, 32)],
            (U4 | S4, U4 | S4) => &[(8, 32), (16, 32), (16, 64)],
            (E4m3 | E5m2, E4m3 | E5m2) => &[(16, 16), (16, 32)],
            (F64, F64) => &[(8, 4), (16, 4), (16, 8), (16, 16)],
            _ => &[],
        };
        let accumulates = match a {
            F16 | E4m3 | E5m2 => matches!(d, F16 | F32),
            Bf16 | Tf32 => d == F32,
            F64 => d == F64,
            _ => d == S32,
        };
        n == N && shapes.contains(&(m, k)) && accumulates && c == d && (integer || !satfinite)
    }
}

impl Mma {
    /// Resolves an instruction's qualifiers.
    ///
    /// # Errors
    /// A combination of shape and types that PTX does not have or that is not simulated.
    pub fn new(qualifiers: Qualifiers) -> Result<Self, Unsupported> {
        if !qualifiers.is_supported() {
            return Err(Unsupported::new(format!("mma.sync with {qualifiers:?}")));
        }
        let Qualifiers { m, n, k, d, a, b, c: _, satfinite } = qualifiers;
        Ok(Self {
            k,
            a_type: a,
            b_type: b,
            accumulator: d,
            satfinite,
            a: Fragment::new(Operand::A, m, k, a)?,
            b: Fragment::new(Operand::B, k, n, b)?,
            c: Fragment::new(Operand::Accumulator, m, n, d)?,
        })
    }

    /// The layout of a matrix in the registers.
    pub fn fragment(&self, operand: Operand) -> &Fragment {
        match operand {
            Operand::A => &self.a,
            Operand::B => &self.b,
            Operand::Accumulator => &self.c,
        }
    }

    /// 32-bit registers of an operand; those of `f64` count twice.
    pub fn registers(&self, operand: Operand) -> usize {
        self.fragment(operand).registers()
    }

    /// `M * N * K`: the multiply-accumulates that one instruction does.
    pub fn multiply_accumulates(&self) -> u64 {
        (self.a.rows() * N * self.k) as u64
    }

    /// How far an element of the result may be from the exact `c + sum of a * b`, on the devices of the module's
    /// references and here, if `|c| + sum of |a * b|` is `magnitudes`. 0 for integers, which are exact.
    ///
    /// Derivation, for `f32`: in the smallest blocks there are, of 4 steps of K, the 4 products and the accumulator
    /// are each cut by less than 2^-23 of the largest, and so is their sum; none of these exceeds `magnitudes`. That
    /// is 6 cuts in each of `K / 4` blocks. With 8-bit formats a cut is 2^-13. An `f16` accumulator adds the rounding
    /// of each block, 2^-11 of the magnitude, or half the smallest `f16`. `f64`: K roundings of 2^-53.
    pub fn error_bound(&self, magnitudes: f64) -> f64 {
        float_error_bound(self.k, self.a_type, self.accumulator, magnitudes)
    }

    /// `D = A * B + C`.
    ///
    /// # Errors
    /// A wrong number of registers.
    pub fn execute(
        &self,
        a: &[WarpRegister],
        b: &[WarpRegister],
        c: &[WarpRegister],
    ) -> Result<Vec<WarpRegister>, Unsupported> {
        for (operand, given) in [(Operand::A, a), (Operand::B, b), (Operand::Accumulator, c)] {
            let expected = self.registers(operand);
            if given.len() != expected {
                let given = given.len();
                return Err(Unsupported::new(format!(
                    "{self:?} takes {expected} registers of {operand:?}, not {given}"
                )));
            }
        }
        Ok(match self.k {
            4 => self.execute_k::<4>(a, b, c),
            8 => self.execute_k::<8>(a, b, c),
            16 => self.execute_k::<16>(a, b, c),
            32 => self.execute_k::<32>(a, b, c),
            _ => self.execute_k::<64>(a, b, c),
        })
    }

    fn execute_k<const K: usize>(
        &self,
        a: &[WarpRegister],
        b: &[WarpRegister],
        c: &[WarpRegister],
    ) -> Vec<WarpRegister> {
        match self.accumulator {
            Type::S32 => self.integer::<K>(a, b, c),
            Type::F64 => self.double(a, b, c),
            _ => self.float::<K>(a, b, c),
        }
    }

    fn integer<const K: usize>(&self, a: &[WarpRegister], b: &[WarpRegister], c: &[WarpRegister]) -> Vec<WarpRegister> {
        let a = read::<f32, 16, K>(self.a_type, &self.a, a);
        let b = read::<f32, K, N>(self.b_type, &self.b, b);
        let mut d = c.to_vec();
        for (row, row_of_a) in a.iter().enumerate().take(self.c.rows()) {
            let mut sums = [0.0; N];
            multiply_row(&mut sums, row_of_a, &b);
            for (column, sum) in sums.into_iter().enumerate() {
                let word = &mut d[2 * (row / 8) + column % 2][4 * (row % 8) + column / 2];
                *word = add_to_s32(*word, sum, self.satfinite);
            }
        }
        d
    }

    fn float<const K: usize>(&self, a: &[WarpRegister], b: &[WarpRegister], c: &[WarpRegister]) -> Vec<WarpRegister> {
        let a = read::<f64, 16, K>(self.a_type, &self.a, a);
        let b = read::<f64, K, N>(self.b_type, &self.b, b);
        let mut sums = read::<f64, 16, N>(self.accumulator, &self.c, c);
        for (sums, row_of_a) in sums.iter_mut().zip(&a) {
            multiply_row(sums, row_of_a, &b);
        }
        let mut d = vec![[0; 32]; c.len()];
        for (row, sums) in sums.iter().enumerate() {
            let lanes = 4 * (row % 8)..4 * (row % 8) + 4;
            if self.accumulator == Type::F32 {
                let rounded = sums.map(truncate_to_f32);
                for half in 0..2 {
                    let words = &mut d[2 * (row / 8) + half][lanes.clone()];
                    words.iter_mut().zip(rounded.chunks_exact(2)).for_each(|(word, pair)| *word = pair[half]);
                }
            } else {
                let rounded = sums.map(round_to_f16);
                let words = &mut d[row / 8][lanes];
                words.iter_mut().zip(rounded.chunks_exact(2)).for_each(|(word, pair)| *word = pair[1] << 16 | pair[0]);
            }
        }
        d
    }

    fn double(&self, a: &[WarpRegister], b: &[WarpRegister], c: &[WarpRegister]) -> Vec<WarpRegister> {
        let value = |registers: &[WarpRegister], index: usize, lane: usize| {
            let [low, high] = [0, 1].map(|word| u64::from(registers[2 * index + word][lane]));
            f64::from_bits(high << 32 | low)
        };
        let mut matrix_a = [[0.0; 16]; 16];
        let mut matrix_b = [[0.0; N]; 16];
        for lane in 0..32 {
            for index in 0..self.a.elements() {
                let (row, k) = self.a.position(lane, index);
                matrix_a[row][k] = value(a, index, lane);
            }
            for index in 0..self.b.elements() {
                let (k, column) = self.b.position(lane, index);
                matrix_b[k][column] = value(b, index, lane);
            }
        }
        let mut d = c.to_vec();
        let mut store = |index: usize, lane: usize, sum: u64| {
            d[2 * index][lane] = sum as u32;
            d[2 * index + 1][lane] = (sum >> 32) as u32;
        };
        for lane in 0..32 {
            for index in 0..self.c.elements() {
                let (row, column) = self.c.position(lane, index);
                let products = matrix_a[row].iter().zip(&matrix_b).take(self.k);
                let sum = products.fold(value(c, index, lane), |sum, (a, b)| a.mul_add(b[column], sum));
                store(index, lane, sum.to_bits());
            }
        }
        d
    }
}

/// The matrix that the registers hold, in the upper left corner of an `R` x `C` one.
fn read<T: From<f32> + Copy, const R: usize, const C: usize>(
    ty: Type,
    fragment: &Fragment,
    registers: &[WarpRegister],
) -> [[T; C]; R] {
    let mut matrix = [[T::from(0.0); C]; R];
    with_decoder(ty, Read { fragment, registers, matrix: &mut matrix });
    matrix
}

struct Read<'a, T, const R: usize, const C: usize> {
    fragment: &'a Fragment,
    registers: &'a [WarpRegister],
    matrix: &'a mut [[T; C]; R],
}

impl<T: From<f32>, const R: usize, const C: usize> WithDecoder for Read<'_, T, R, C> {
    fn run(self, decode: impl Fn(u32, usize) -> f32 + Copy) {
        let per_register = self.fragment.elements_per_register();
        let [of_group, of_t] = self.fragment.lane_steps();
        for (register, words) in self.registers.iter().enumerate() {
            for part in 0..per_register {
                // Decoding all lanes first lets that loop vectorise; placing them does not.
                let values = words.map(|word| decode(word, part));
                let (row, column) = self.fragment.position(0, register * per_register + part);
                for (group, values) in values.chunks_exact(4).enumerate() {
                    let (row, column) = (row + group * of_group.0, column + group * of_group.1);
                    for (t, &value) in values.iter().enumerate() {
                        self.matrix[row + t * of_t.0][column + t * of_t.1] = T::from(value);
                    }
                }
            }
        }
    }
}
