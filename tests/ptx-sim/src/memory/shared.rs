//! Shared memory of the block that runs, with what is known of each byte.

/// The byte was written.
const WRITTEN: u8 = 1;
/// A `cp.async` will write the byte at its wait.
const PENDING: u8 = 2;

/// Shared memory by offset from its first address.
#[derive(Debug)]
pub struct SharedMemory {
    bytes: Vec<u8>,
    state: Vec<u8>,
}

impl SharedMemory {
    pub fn new(size_bytes: u32) -> Self {
        Self { bytes: vec![0; size_bytes as usize], state: vec![0; size_bytes as usize] }
    }

    /// Nothing is written; the bytes keep what the block before left, as the hardware's do.
    pub fn restart(&mut self) {
        self.state.fill(0);
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

    #[inline]
    pub fn store(&mut self, offset: usize, size: usize, value: u64) {
        self.bytes[offset..offset + size].copy_from_slice(&value.to_le_bytes()[..size]);
        self.state[offset..offset + size].fill(WRITTEN);
    }

    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.state[offset..offset + bytes.len()].fill(WRITTEN);
    }

    /// True if every byte was written and none waits for a copy.
    #[inline]
    pub fn is_ready(&self, offset: usize, size: usize) -> bool {
        self.state[offset..offset + size].iter().all(|&state| state == WRITTEN)
    }

    #[inline]
    pub fn is_pending(&self, offset: usize, size: usize) -> bool {
        self.state[offset..offset + size].iter().any(|&state| state & PENDING != 0)
    }

    /// The bytes wait for a copy.
    pub fn mark_pending(&mut self, offset: usize, size: usize) {
        self.state[offset..offset + size].iter_mut().for_each(|state| *state |= PENDING);
    }
}
