//! [`CodeWriter`]: one run of codes after the other, packed as their format packs them.

use crate::cpu::kernels::grouped::Params;
use crate::cpu::kernels::grouped::Rule;
use crate::cpu::kernels::source::Source;
use crate::cpu::simd::Simd;
use crate::formats::Format;

/// Where codes go: as bytes, or two to a byte.
pub struct CodeWriter<'a> {
    out: &'a mut [u8],
    nibbles: bool,
    /// 4-bit codes that wait to be packed; the first belongs to the high half of a byte.
    buffer: [u8; BUFFER],
    filled: usize,
}

/// A multiple of `4 * LANES` of every instruction set.
const BUFFER: usize = 2048;

impl<'a> CodeWriter<'a> {
    pub fn new(format: Format, out: &'a mut [u8]) -> Self {
        Self { out, nibbles: format.code_bits() == 4, buffer: [0; BUFFER], filled: 0 }
    }

    /// Encodes `values` behind what is there.
    #[inline(always)]
    pub fn encode<S: Simd, E: Source>(&mut self, simd: S, rule: Rule, params: Params, values: &[E]) {
        if !self.nibbles {
            let (codes, rest) = std::mem::take(&mut self.out).split_at_mut(values.len());
            rule.encode(simd, params, values, codes);
            self.out = rest;
            return;
        }
        let mut values = values;
        while !values.is_empty() {
            let (now, later) = values.split_at(values.len().min(BUFFER - self.filled));
            rule.encode(simd, params, now, &mut self.buffer[self.filled..self.filled + now.len()]);
            self.filled += now.len();
            values = later;
            if self.filled == BUFFER {
                self.flush(simd);
            }
        }
    }

    /// Packs what waits; the pad of an odd count is 0.
    #[inline(always)]
    pub fn finish<S: Simd>(mut self, simd: S) {
        if self.filled % 2 == 1 {
            self.buffer[self.filled] = 0;
            self.filled += 1;
        }
        self.flush(simd);
    }

    #[inline(always)]
    fn flush<S: Simd>(&mut self, simd: S) {
        let (out, rest) = std::mem::take(&mut self.out).split_at_mut(self.filled / 2);
        let whole = out.len() / (2 * S::LANES) * (2 * S::LANES);
        let (vectors, tail) = out.split_at_mut(whole);
        for (src, out) in self.buffer.chunks_exact(4 * S::LANES).zip(vectors.chunks_exact_mut(2 * S::LANES)) {
            simd.pack_nibbles(src, out);
        }
        for (pair, out) in self.buffer[2 * whole..].chunks_exact(2).zip(tail) {
            *out = pair[0] << 4 | pair[1];
        }
        self.out = rest;
        self.filled = 0;
    }
}
