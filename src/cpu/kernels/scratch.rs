//! Scratch memory that outlives a call, so that a product in the steady state allocates nothing.
#![allow(unsafe_code)]

use std::cell::RefCell;

/// A cache line. Vectors that straddle two cost two accesses, so scratch memory begins on one.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u32; 16]);

// SAFETY: sixteen words and no padding: the alignment equals the size. All bit patterns are values.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for Line {}

/// A buffer of 32-bit words that starts on a cache line and only grows.
pub struct Words(Vec<Line>);

impl Words {
    /// No memory yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// `len` words of unspecified content.
    pub fn words(&mut self, len: usize) -> &mut [u32] {
        let lines = len.div_ceil(16);
        if self.0.len() < lines {
            self.0.resize(lines, Line([0; 16]));
        }
        &mut bytemuck::cast_slice_mut(&mut self.0)[..len]
    }

    /// `len` floats of unspecified content.
    pub fn floats(&mut self, len: usize) -> &mut [f32] {
        bytemuck::cast_slice_mut(self.words(len))
    }

    /// `len` signed words of unspecified content.
    pub fn ints(&mut self, len: usize) -> &mut [i32] {
        bytemuck::cast_slice_mut(self.words(len))
    }
}

/// How many buffers a [`Lease`] has.
const BUFFERS: usize = 4;

thread_local! {
    // A stack: a thread that waits within a product may be given another product's work.
    static POOL: RefCell<Vec<[Words; BUFFERS]>> = const { RefCell::new(Vec::new()) };
}

/// Buffers of this thread, nobody else's until this is dropped. Their contents are what the last user left.
pub struct Lease([Words; BUFFERS]);

impl Lease {
    /// Takes them from the thread's pool.
    pub fn new() -> Self {
        Self(POOL.with_borrow_mut(Vec::pop).unwrap_or([const { Words::new() }; BUFFERS]))
    }

    /// The buffers.
    pub fn buffers(&mut self) -> &mut [Words; BUFFERS] {
        &mut self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let buffers = std::mem::replace(&mut self.0, [const { Words::new() }; BUFFERS]);
        POOL.with_borrow_mut(|pool| pool.push(buffers));
    }
}
