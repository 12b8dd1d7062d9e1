//! `wgmma.mma_async`: products of a warpgroup, with B and perhaps A in shared memory.
//!
//! What is computed, not when: the simulator's executor decides at which moment the reads happen and the result becomes
//! visible. The numbers are as in [`mma`](crate::matrix::mma): exact products, one sum in `f64` in order of ascending
//! `k`, truncated once.
//!
//! Warp `w` of the four holds rows `16 w` to `16 w + 15` of A and D. Within them A in registers lies as in
//! `mma.m16n8k16` (`m16n8k8` of `tf32`, `m16n8k32` of 8-bit types), and D as one `m16n8` accumulator after the other.

use crate::matrix::WarpRegister;
use crate::matrix::descriptor::Block;
use crate::matrix::descriptor::Major;
use crate::matrix::descriptor::MatrixDescriptor;
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
use crate::numeric::float16::f16_to_f32;
use crate::types::Type;

/// One 32-bit register of all lanes of a warpgroup, by warp.
pub type WarpgroupRegister = [WarpRegister; 4];

/// Rows of A and D.
pub const M: usize = 64;

/// Columns that are computed together.
const COLUMNS: usize = 8;

/// The qualifiers of a `wgmma.mma_async`: `.m64n128k16.f32.f16.f16` has `n: 128, k: 16, d: F32, a: F16, b: F16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Qualifiers {
    /// Columns of B and D.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Type of the accumulators.
    pub d: Type,
    /// Element type of A.
    pub a: Type,
    /// Element type of B.
    pub b: Type,
    /// `.satfinite`, of integers.
    pub satfinite: bool,
}

impl Qualifiers {
    /// Whether PTX has the instruction. `.b1` and sparse forms are left out.
    fn is_supported(&self) -> bool {
        use Type::*;
        let Self { n, k, d, a, b, satfinite } = *self;
        let integer = matches!(a, U8 | S8);
        let (depth, accumulates) = match (a, b) {
            (F16, F16) => (16, matches!(d, F16 | F32)),
            (Bf16, Bf16) => (16, d == F32),
            (Tf32, Tf32) => (8, d == F32),
            (E4m3 | E5m2, E4m3 | E5m2) => (32, matches!(d, F16 | F32)),
            (U8 | S8, U8 | S8) => (32, d == S32),
            _ => return false,
        };
        let columns = (8..=256).contains(&n) && n % if integer && n > 32 { 16 } else { 8 } == 0;
        columns && k == depth && accumulates && (integer || !satfinite)
    }
}

/// One `wgmma.mma_async` instruction: shape, types and modifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wgmma {
    qualifiers: Qualifiers,
    /// A of one warp.
    a: Fragment,
    /// Eight columns of D of one warp.
    d: Fragment,
}

/// Where A comes from.
#[derive(Clone, Copy, Debug)]
pub enum SourceA<'a> {
    /// Registers.
    Registers(&'a [WarpgroupRegister]),
    /// Shared memory.
    Shared(MatrixDescriptor, Major),
}

/// The immediate and predicate operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scales {
    /// `scale-d`: whether D is added; if not, it is overwritten.
    pub accumulate: bool,
    /// `imm-scale-a` is -1.
    pub negate_a: bool,
    /// `imm-scale-b` is -1.
    pub negate_b: bool,
}

impl Wgmma {
    /// Resolves an instruction's qualifiers.
    ///
    /// # Errors
    /// A combination of shape and types that PTX does not have or that is not simulated.
    pub fn new(qualifiers: Qualifiers) -> Result<Self, Unsupported> {
        if !qualifiers.is_supported() {
            return Err(Unsupported::new(format!("wgmma.mma_async with {qualifiers:?}")));
        }
        let a = Fragment::new(Operand::A, 16, qualifiers.k, qualifiers.a)?;
        let d = Fragment::new(Operand::Accumulator, 16, COLUMNS, qualifiers.d)?;
        Ok(Self { qualifiers, a, d })
    }

    /// Registers of A, where it is in registers: always 4.
    pub fn registers_a(&self) -> usize {
        self.a.registers()
    }

    /// Registers of D: `n / 2`, or `n / 4` of `f16`.
    pub fn registers_d(&self) -> usize {
        self.d.registers() * self.qualifiers.n / COLUMNS
    }

    /// `M * N * K`.
    pub fn multiply_accumulates(&self) -> u64 {
        (M * self.qualifiers.n * self.qualifiers.k) as u64
    }

    /// As [`Mma::error_bound`](crate::matrix::mma::Mma::error_bound).
    pub fn error_bound(&self, magnitudes: f64) -> f64 {
        float_error_bound(self.qualifiers.k, self.qualifiers.a, self.qualifiers.d, magnitudes)
    }

    /// Row and column of element `index` of a lane's A registers.
    pub fn position_a(&self, warp: usize, lane: usize, index: usize) -> (usize, usize) {
        let (row, k) = self.a.position(lane, index);
        (16 * warp + row, k)
    }

    /// Row and column of element `index` of a lane's D registers.
    pub fn position_d(&self, warp: usize, lane: usize, index: usize) -> (usize, usize) {
        let (row, column) = self.d.position(lane, index % 4);
        (16 * warp + row, COLUMNS * (index / 4) + column)
    }

    /// The 16-byte blocks of shared memory that B takes, in the order in which [`Wgmma::execute`] reads them.
    pub fn blocks_b(&self, descriptor: &MatrixDescriptor, major: Major) -> impl Iterator<Item = Block> + use<> {
        descriptor.blocks(major, self.element_bytes(), self.qualifiers.n as u32)
    }

    /// The 16-byte blocks of shared memory that A takes, in the order in which [`Wgmma::execute`] reads them.
    pub fn blocks_a(&self, descriptor: &MatrixDescriptor, major: Major) -> impl Iterator<Item = Block> + use<> {
        descriptor.blocks(major, self.element_bytes(), M as u32)
    }

    fn element_bytes(&self) -> u32 {
        // K is 32 bytes in every shape.
        32 / self.qualifiers.k as u32
    }

    /// `D = A * B + D`, or `A * B`. `read` gives the 16 bytes at an address of shared memory that is a multiple of 16.
    /// A is read before B. If an error is returned, `d` is as it was.
    ///
    /// # Errors
    /// A wrong number of registers, MN-major operands of other than 16-bit elements, negated integers, and what `read`
    /// returns.
    pub fn execute<E: From<Unsupported>>(
        &self,
        scales: Scales,
        a: SourceA<'_>,
        (b, major_b): (MatrixDescriptor, Major),
        d: &mut [WarpgroupRegister],
        mut read: impl FnMut(u32) -> Result<[u8; 16], E>,
    ) -> Result<(), E> {
        self.check(scales, a, major_b, d.len())?;
        let Qualifiers { n, k, a: a_type, b: b_type, .. } = self.qualifiers;
        let mut matrix_a = vec![0.0; M * k];
        match a {
            SourceA::Registers(registers) => {
                with_decoder(a_type, FromRegisters { wgmma: self, registers, matrix: &mut matrix_a })
            }
            SourceA::Shared(descriptor, major) => {
                let blocks = self.read_blocks(self.blocks_a(&descriptor, major), &mut read)?;
                let place = |mn: usize, at: usize| mn * k + at;
                with_decoder(a_type, FromBlocks { blocks: &blocks, major, place, matrix: &mut matrix_a });
            }
        }
        let blocks = self.read_blocks(self.blocks_b(&b, major_b), &mut read)?;
        let mut matrix_b = vec![0.0; k * n];
        // Eight columns after the other, each with k as rows.
        let place = |mn: usize, at: usize| (mn / COLUMNS * k + at) * COLUMNS + mn % COLUMNS;
        with_decoder(b_type, FromBlocks { blocks: &blocks, major: major_b, place, matrix: &mut matrix_b });
        if scales.negate_a != scales.negate_b {
            matrix_a.iter_mut().for_each(|value| *value = -*value);
        }
        match self.qualifiers.d {
            Type::S32 => self.multiply_integers(scales.accumulate, &matrix_a, &matrix_b, d),
            _ => self.multiply_floats(scales.accumulate, &matrix_a, &matrix_b, d),
        }
        Ok(())
    }

    fn check(&self, scales: Scales, a: SourceA<'_>, major_b: Major, registers_d: usize) -> Result<(), Unsupported> {
        let Qualifiers { a: a_type, d, .. } = self.qualifiers;
        let registers_a = match a {
            SourceA::Registers(registers) => registers.len(),
            SourceA::Shared(..) => self.registers_a(),
        };
        if registers_a != self.registers_a() || registers_d != self.registers_d() {
            return Err(Unsupported::new(format!("{self:?} with {registers_a} registers of A and {registers_d} of D")));
        }
        let transposed = major_b == Major::Mn || matches!(a, SourceA::Shared(_, Major::Mn));
        if transposed && !matches!(a_type, Type::F16 | Type::Bf16) {
            return Err(Unsupported::new(format!("wgmma with MN-major operands of {a_type:?}, not 16-bit elements")));
        }
        if d == Type::S32 && (scales.negate_a || scales.negate_b) {
            return Err(Unsupported::new(format!("wgmma of integers with {scales:?}")));
        }
        Ok(())
    }

    fn read_blocks<E>(
        &self,
        blocks: impl Iterator<Item = Block>,
        read: &mut impl FnMut(u32) -> Result<[u8; 16], E>,
    ) -> Result<Vec<(Block, [u32; 4])>, E> {
        let word = |bytes: [u8; 16], i: usize| u32::from_le_bytes(std::array::from_fn(|byte| bytes[4 * i + byte]));
        blocks.map(|block| read(block.address).map(|bytes| (block, std::array::from_fn(|i| word(bytes, i))))).collect()
    }

    fn multiply_integers(&self, accumulate: bool, a: &[f32], b: &[f32], d: &mut [WarpgroupRegister]) {
        let (b, _) = b.as_chunks::<COLUMNS>();
        let k = self.qualifiers.k;
        for (tile, b) in b.chunks_exact(k).enumerate() {
            for (row, row_of_a) in a.chunks_exact(k).enumerate() {
                let mut sums = [0.0; COLUMNS];
                multiply_row(&mut sums, row_of_a, b);
                for (column, sum) in sums.into_iter().enumerate() {
                    let word = &mut d[4 * tile + 2 * (row % 16 / 8) + column % 2][row / 16][4 * (row % 8) + column / 2];
                    *word = add_to_s32(if accumulate { *word } else { 0 }, sum, self.qualifiers.satfinite);
                }
            }
        }
    }

    fn multiply_floats(&self, accumulate: bool, a: &[f32], b: &[f32], d: &mut [WarpgroupRegister]) {
        let widen = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
        let (a, b) = (widen(a), widen(b));
        let (b, _) = b.as_chunks::<COLUMNS>();
        let k = self.qualifiers.k;
        for (tile, b) in b.chunks_exact(k).enumerate() {
            for (row, row_of_a) in a.chunks_exact(k).enumerate() {
                let (warp, lane, half) = (row / 16, 4 * (row % 8), row % 16 / 8);
                let mut sums = [0.0; COLUMNS];
                if self.qualifiers.d == Type::F32 {
                    let registers = &mut d[4 * tile + 2 * half..][..2];
                    let place = |column: usize| (column % 2, lane + column / 2);
                    if accumulate {
                        sums = std::array::from_fn(|column| {
                            let (register, lane) = place(column);
                            f64::from(f32::from_bits(registers[register][warp][lane]))
                        });
                    }
                    multiply_row(&mut sums, row_of_a, b);
                    for (column, sum) in sums.into_iter().enumerate() {
                        let (register, lane) = place(column);
                        registers[register][warp][lane] = truncate_to_f32(sum);
                    }
                } else {
                    let words = &mut d[2 * tile + half][warp][lane..lane + 4];
                    if accumulate {
                        sums = std::array::from_fn(|column| f16_in(words[column / 2], column % 2));
                    }
                    multiply_row(&mut sums, row_of_a, b);
                    let rounded = sums.map(round_to_f16);
                    words
                        .iter_mut()
                        .zip(rounded.chunks_exact(2))
                        .for_each(|(word, pair)| *word = pair[1] << 16 | pair[0]);
                }
            }
        }
    }
}

fn f16_in(word: u32, half: usize) -> f64 {
    f64::from(f16_to_f32((word >> (16 * half)) as u16))
}

struct FromRegisters<'a> {
    wgmma: &'a Wgmma,
    registers: &'a [WarpgroupRegister],
    matrix: &'a mut [f32],
}

impl WithDecoder for FromRegisters<'_> {
    fn run(self, decode: impl Fn(u32, usize) -> f32 + Copy) {
        let per_register = self.wgmma.a.elements_per_register();
        for (register, warps) in self.registers.iter().enumerate() {
            for (warp, lanes) in warps.iter().enumerate() {
                for (lane, &word) in lanes.iter().enumerate() {
                    for part in 0..per_register {
                        let (row, k) = self.wgmma.position_a(warp, lane, register * per_register + part);
                        self.matrix[row * self.wgmma.qualifiers.k + k] = decode(word, part);
                    }
                }
            }
        }
    }
}

struct FromBlocks<'a, P> {
    blocks: &'a [(Block, [u32; 4])],
    major: Major,
    /// Index in `matrix` of a row of A or column of B, and `k`.
    place: P,
    matrix: &'a mut [f32],
}

impl<P: Fn(usize, usize) -> usize> WithDecoder for FromBlocks<'_, P> {
    fn run(self, decode: impl Fn(u32, usize) -> f32 + Copy) {
        // An operand is 2 blocks along K for each row of A or column of B.
        let per_word = self.matrix.len() / self.blocks.len() / 4;
        for (block, words) in self.blocks {
            for (index, &word) in words.iter().enumerate() {
                for part in 0..per_word {
                    let step = index * per_word + part;
                    let (mn, k) = match self.major {
                        Major::K => (block.mn as usize, block.k as usize + step),
                        Major::Mn => (block.mn as usize + step, block.k as usize),
                    };
                    self.matrix[(self.place)(mn, k)] = decode(word, part);
                }
            }
        }
    }
}
