//! One allocation of global memory, with every byte's "was written" bit.
//!
//! Words are atomics, so that blocks on several host threads may touch them without unsafe code. They are kept inverted against
//! [`UNWRITTEN`], so that fresh memory is zeros, of which the host has none until they are touched.

use std::sync::atomic::AtomicU8;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// What memory holds that nobody wrote.
const UNWRITTEN: u64 = 0xCDCD_CDCD_CDCD_CDCD;

/// One allocation.
#[derive(Debug)]
pub(crate) struct Allocation {
    pub base: u64,
    pub size_bytes: u64,
    words: Box<[AtomicU64]>,
    /// One bit per byte of the word of the same index.
    written: Box<[AtomicU8]>,
}

impl Allocation {
    pub fn new(base: u64, size_bytes: u64) -> Self {
        let num_words = size_bytes.div_ceil(8) as usize;
        Self {
            base,
            size_bytes,
            words: bytemuck::zeroed_slice_box(num_words),
            written: bytemuck::zeroed_slice_box(num_words),
        }
    }

    #[inline]
    pub fn contains(&self, address: u64, size_bytes: u64) -> bool {
        address >= self.base && size_bytes <= self.size_bytes && address - self.base <= self.size_bytes - size_bytes
    }

    /// The value of `size` ≤ 8 bytes at `address`, zero-extended. The caller has checked the bounds.
    #[inline]
    pub fn load(&self, address: u64, size: u32) -> u64 {
        let (word, shift) = self.place(address);
        let low = self.word(word) >> shift;
        let value = if shift + 8 * size <= 64 { low } else { low | (self.word(word + 1) << (64 - shift)) };
        value & ones(size)
    }

    /// Stores the low `size` ≤ 8 bytes of `value`. The caller has checked the bounds.
    #[inline]
    pub fn store(&self, address: u64, size: u32, value: u64) {
        let (word, shift) = self.place(address);
        if shift == 0 && size == 8 {
            self.words[word].store(value ^ UNWRITTEN, Relaxed);
            self.mark(word, 0xff);
            return;
        }
        let mask = ones(size);
        self.merge(word, mask << shift, (value & mask) << shift);
        self.mark(word, ((ones_u32(size)) << (shift / 8)) as u8);
        if shift + 8 * size > 64 {
            let spill = 64 - shift;
            self.merge(word + 1, mask >> spill, (value & mask) >> spill);
            self.mark(word + 1, (ones_u32(size) >> (spill / 8)) as u8);
        }
    }

    /// Replaces the value of `size` ≤ 8 aligned bytes by `update` of it in one step, and returns the old one.
    pub fn update(&self, address: u64, size: u32, mut update: impl FnMut(u64) -> u64) -> u64 {
        let (word, shift) = self.place(address);
        let mask = ones(size);
        let step = |old: u64| {
            let old = old ^ UNWRITTEN;
            let value = update((old >> shift) & mask) & mask;
            Some(((old & !(mask << shift)) | (value << shift)) ^ UNWRITTEN)
        };
        let old = match self.words[word].fetch_update(Relaxed, Relaxed, step) {
            Ok(old) | Err(old) => old ^ UNWRITTEN,
        };
        self.mark(word, (ones_u32(size) << (shift / 8)) as u8);
        (old >> shift) & mask
    }

    /// True if every one of the `size` ≤ 8 bytes was written.
    #[inline]
    pub fn is_written(&self, address: u64, size: u32) -> bool {
        let (word, shift) = self.place(address);
        let bits = ones_u32(size) << (shift / 8);
        let has = |word: usize, bits: u32| u32::from(self.written[word].load(Relaxed)) & bits == bits;
        has(word, bits & 0xff) && (bits >> 8 == 0 || has(word + 1, bits >> 8))
    }

    pub fn read_bytes(&self, address: u64, bytes: &mut [u8]) {
        let mut at = address;
        for chunk in bytes.chunks_mut(8) {
            let value = self.load(at, chunk.len() as u32).to_le_bytes();
            chunk.copy_from_slice(&value[..chunk.len()]);
            at += chunk.len() as u64;
        }
    }

    pub fn write_bytes(&self, address: u64, bytes: &[u8]) {
        let mut at = address;
        for chunk in bytes.chunks(8) {
            let mut value = [0; 8];
            value[..chunk.len()].copy_from_slice(chunk);
            self.store(at, chunk.len() as u32, u64::from_le_bytes(value));
            at += chunk.len() as u64;
        }
    }

    #[inline]
    fn place(&self, address: u64) -> (usize, u32) {
        let offset = address - self.base;
        ((offset / 8) as usize, (offset % 8) as u32 * 8)
    }

    #[inline]
    fn word(&self, index: usize) -> u64 {
        self.words[index].load(Relaxed) ^ UNWRITTEN
    }

    #[inline]
    fn merge(&self, word: usize, mask: u64, bits: u64) {
        let step = |old: u64| Some(((old ^ UNWRITTEN) & !mask | bits) ^ UNWRITTEN);
        // The step never refuses, so there is no error to report.
        let _ = self.words[word].fetch_update(Relaxed, Relaxed, step);
    }

    #[inline]
    fn mark(&self, word: usize, bits: u8) {
        if self.written[word].load(Relaxed) & bits != bits {
            self.written[word].fetch_or(bits, Relaxed);
        }
    }
}

#[inline]
fn ones(size_bytes: u32) -> u64 {
    u64::MAX >> (64 - 8 * size_bytes)
}

#[inline]
fn ones_u32(count: u32) -> u32 {
    (1 << count) - 1
}
