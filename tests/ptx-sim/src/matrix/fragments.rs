//! How the matrices of `mma.sync` lie in the registers of a warp.
//!
//! All the layouts of the ISA's figures ("Matrix Fragments for mma.m16n8k16" and so on; `m8n8k4` of `f16` is the
//! exception, and not supported) follow one rule. With `group = lane / 4` and `t = lane % 4`:
//!
//! - A register holds `p` elements that lie side by side along K (1 of 32 and 64 bits, 2 of 16, 4 of 8, 8 of 4). A lane's
//!   register `r` of B starts at `k = 4 * p * r + p * t`, in column `group`.
//! - A is the same with rows for columns, except that a matrix of 16 rows uses two registers per step of K: the even
//!   ones are of row `group`, the odd ones of row `group + 8`.
//! - The accumulators' element `i` is in row `group + 8 * (i / 2)`, column `2 * t + i % 2`.

use crate::numeric::Unsupported;
use crate::types::Type;

/// Which of the matrices of `D = A * B + C`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// M x K.
    A,
    /// K x N.
    B,
    /// C and D, M x N.
    Accumulator,
}

/// The layout of one matrix in the registers of a warp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    operand: Operand,
    rows: usize,
    columns: usize,
    element_bits: usize,
}

impl Fragment {
    /// The layout of a `rows` x `columns` matrix with elements of type `ty`.
    ///
    /// # Errors
    /// A type that no matrix has.
    pub(super) fn new(operand: Operand, rows: usize, columns: usize, ty: Type) -> Result<Self, Unsupported> {
        Ok(Self { operand, rows, columns, element_bits: element_bits(ty)? })
    }

    /// Rows of the matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the matrix.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Elements that a lane holds.
    pub fn elements(&self) -> usize {
        self.rows * self.columns / 32
    }

    /// Elements in a 32-bit register; 1 of 64-bit elements, which take two.
    pub fn elements_per_register(&self) -> usize {
        (32 / self.element_bits).max(1)
    }

    /// 32-bit registers that a lane holds. A 64-bit element counts as two.
    pub fn registers(&self) -> usize {
        self.elements() * self.element_bits / 32
    }

    /// What a step of the lane by 4 (`group`), and by 1 (`t`), adds to a position: rows and columns for each.
    #[inline]
    pub(super) fn lane_steps(&self) -> [(usize, usize); 2] {
        match self.operand {
            Operand::A => [(1, 0), (0, self.elements_per_register())],
            Operand::B => [(0, 1), (self.elements_per_register(), 0)],
            Operand::Accumulator => [(1, 0), (0, 2)],
        }
    }

    /// Row and column of a lane's element `index`, counted as the ISA does: `a0`, `a1`, and so on, from the lowest bits
    /// of the first register.
    #[inline]
    pub fn position(&self, lane: usize, index: usize) -> (usize, usize) {
        let (group, t) = (lane / 4, lane % 4);
        let per_register = self.elements_per_register();
        let (register, part) = (index / per_register, index % per_register);
        let along_k = |step: usize| 4 * per_register * step + per_register * t + part;
        match self.operand {
            Operand::A if self.rows == 16 => (group + 8 * (register % 2), along_k(register / 2)),
            Operand::A => (group, along_k(register)),
            Operand::B => (along_k(register), group),
            Operand::Accumulator => (group + 8 * (index / 2), 2 * t + index % 2),
        }
    }
}

fn element_bits(ty: Type) -> Result<usize, Unsupported> {
    use Type::*;
    Ok(match ty {
        U4 | S4 => 4,
        U8 | S8 | E4m3 | E5m2 => 8,
        F16 | Bf16 => 16,
        Tf32 | F32 | S32 => 32,
        F64 => 64,
        _ => return Err(Unsupported::new(format!("matrices of {ty:?}"))),
    })
}
