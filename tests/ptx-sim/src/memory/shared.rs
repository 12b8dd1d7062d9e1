//! Shared memory of the block that runs, with what is known of each byte.

use crate::memory::races::Races;

/// The byte was written.
const WRITTEN: u8 = 1;
/// A `cp.async` will write the byte at its wait.
const PENDING: u8 = 2;

/// Shared memory by offset from its first address.
#[derive(Debug)]
pub struct SharedMemory {
    bytes: Vec<u8>,
    state: Vec<u8>,
    /// Copies under way.
    num_pending: usize,
    pub races: Races,
}

impl SharedMemory {
    pub fn new(size_bytes: u32, races: Races) -> Self {
        Self { bytes: vec![0; size_bytes as usize], state: vec![0; size_bytes as usize], num_pending: 0, races }
    }

    /// Nothing is written; the bytes keep what the block before left, as the hardware's do.
    pub fn restart(&mut self) {
        self.state.fill(0);
        self.num_pending = 0;
        self.races.restart();
    }

    pub fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    #[inline]
    pub fn load(&self, offset: usize, size: usize) -> u64 {
        let mut value = [0; 8];
        value[..size].copy_from_slice(&self.bytes[offset..offset + size]);
        u64::from_le_bytes(value)
    }

    /// The 16 bytes at an offset.
    pub fn block(&self, offset: usize) -> [u8; 16] {
        std::array::from_fn(|at| self.bytes[offset + at])
    }

    #[inline]
    pub fn store(&mut self, offset: usize, size: usize, value: u64) {
        self.bytes[offset..offset + size].copy_from_slice(&value.to_le_bytes()[..size]);
        self.state[offset..offset + size].fill(WRITTEN);
    }

    /// Carries out a copy that [`SharedMemory::mark_pending`] announced.
    pub fn finish_copy(&mut self, offset: usize, bytes: &[u8]) {
        self.num_pending = self.num_pending.saturating_sub(1);
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.state[offset..offset + bytes.len()].fill(WRITTEN);
    }

    /// True if every byte was written and none waits for a copy.
    #[inline]
    pub fn is_ready(&self, offset: usize, size: usize) -> bool {
        let state = &self.state[offset..offset + size];
        match <[u8; 16]>::try_from(state) {
            Ok(state) => state == [WRITTEN; 16],
            Err(_) => state.iter().all(|&state| state == WRITTEN),
        }
    }

    #[inline]
    pub fn is_pending(&self, offset: usize, size: usize) -> bool {
        self.num_pending > 0 && self.state[offset..offset + size].iter().any(|&state| state & PENDING != 0)
    }

    /// The bytes wait for a copy.
    pub fn mark_pending(&mut self, offset: usize, size: usize) {
        self.num_pending += 1;
        self.state[offset..offset + size].iter_mut().for_each(|state| *state |= PENDING);
    }
}
