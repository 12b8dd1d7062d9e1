//! The choice among the ways to a product: a table of which is the fastest, and how that is known.

use crate::strategy::Activations;
use crate::strategy::Strategy;

/// How a line of the table is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// From what kernels execute and move (`make counts`, `benches/record/simulator`): nobody has timed it.
    Counts,
    /// `lowbit bench` on such a device, recorded in this file below `benches/record`.
    Measured(&'static str),
}

/// Bits of weights and activations; activations in floating point have 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Widths(pub usize, pub usize);

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Of weights and activations.
    pub widths: Widths,
    /// The lowest and the highest compute capability.
    pub capabilities: (u32, u32),
    /// Rows of x at most.
    pub max_m: usize,
    /// The fastest, where it exists.
    pub strategy: Strategy,
    /// How that is known.
    pub basis: Basis,
}

const fn counted(widths: Widths, capabilities: (u32, u32), max_m: usize, strategy: Strategy) -> Line {
    Line { widths, capabilities, max_m, strategy, basis: Basis::Counts }
}

const ALL: (u32, u32) = (80, u32::MAX);
const ANY: usize = usize::MAX;

/// In order: the first line that fits decides, and where none does, dequantize-then-multiply is the fastest.
///
/// 4-bit weights are decoded once per tile of x. `gemm_w4` has tiles of 64 rows, 7 instructions an mma, of which an A100 issues 8
/// in the time of one; where a block has 99 KB of shared memory, tiles of 32; on 10.0 its mma is far from the rate that the vendor's
/// dense product has. `gemm_w4_sm90` has tiles of up to 128 rows, and issues less than the tensor cores have time for. Rounded
/// activations are multiplied in their codes at every M: the alternative writes both factors as f32 and multiplies without tensor
/// cores.
pub const TABLE: &[Line] = &[
    counted(Widths(4, 16), ALL, 16, Strategy::Gemv),
    counted(Widths(4, 16), (80, 80), 256, Strategy::Fused),
    counted(Widths(4, 16), (86, 89), 128, Strategy::Fused),
    counted(Widths(4, 16), (90, 90), 256, Strategy::Fused),
    counted(Widths(4, 16), (100, 119), 64, Strategy::Fused),
    counted(Widths(4, 16), (120, u32::MAX), 128, Strategy::Fused),
    counted(Widths(8, 8), ALL, ANY, Strategy::Fused),
    counted(Widths(8, 4), ALL, ANY, Strategy::Fused),
    counted(Widths(4, 8), ALL, ANY, Strategy::Fused),
    counted(Widths(4, 4), ALL, ANY, Strategy::Fused),
];

/// The fastest of the strategies that exist for M rows of x, on a device of `capability`.
pub fn choose(
    capability: u32,
    weight_bits: usize,
    activations: Activations,
    m: usize,
    exists: impl Fn(Strategy) -> bool,
) -> Strategy {
    let activation_bits = match activations {
        Activations::Float => 16,
        Activations::Int8 { .. } => 8,
        Activations::Int4 => 4,
    };
    let widths = Widths(weight_bits, activation_bits);
    let fits = |line: &&Line| {
        let (lowest, highest) = line.capabilities;
        line.widths == widths && (lowest..=highest).contains(&capability) && m <= line.max_m
    };
    let line = TABLE.iter().filter(fits).find(|line| exists(line.strategy));
    line.map_or(Strategy::DequantizeThenMultiply, |line| line.strategy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOAT: Activations = Activations::Float;

    #[test]
    fn the_first_line_that_exists_decides() {
        let choose = |m, exists: &[Strategy]| choose(90, 4, FLOAT, m, |strategy| exists.contains(&strategy));
        let all = [Strategy::Gemv, Strategy::Fused, Strategy::DequantizeThenMultiply];
        assert_eq!(choose(1, &all), Strategy::Gemv);
        assert_eq!(choose(17, &all), Strategy::Fused);
        assert_eq!(choose(1, &[Strategy::Fused]), Strategy::Fused);
        assert_eq!(choose(1, &[]), Strategy::DequantizeThenMultiply);
        assert_eq!(choose(1 << 20, &all), Strategy::DequantizeThenMultiply);
        // A device is not given the line of an older one.
        let on = |capability| super::choose(capability, 4, FLOAT, 100, |_| true);
        assert_eq!([80, 89, 100].map(on), [Strategy::Fused, Strategy::Fused, Strategy::DequantizeThenMultiply]);
    }

    #[test]
    fn codes_are_multiplied_as_codes() {
        for (bits, activations) in
            [(8, Activations::Int8 { threshold: 6.0 }), (8, Activations::Int4), (4, Activations::Int4)]
        {
            assert_eq!(choose(80, bits, activations, 1 << 20, |_| true), Strategy::Fused);
        }
        assert_eq!(choose(80, 8, FLOAT, 1, |strategy| strategy == Strategy::Gemv), Strategy::DequantizeThenMultiply);
    }

    #[test]
    fn a_measured_line_names_its_record() {
        for line in TABLE {
            if let Basis::Measured(record) = line.basis {
                let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/record").join(record);
                assert!(path.is_file(), "{line:?}: there is no {}", path.display());
            }
        }
    }
}
