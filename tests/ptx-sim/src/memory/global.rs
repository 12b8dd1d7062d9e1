//! Global memory of a device: allocations between red zones.

use crate::memory::allocation::Allocation;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::RwLock;

const FIRST_ADDRESS: u64 = 0x7f00_0000_0000;
const ALIGNMENT: u64 = 256;
/// Untouchable bytes after each allocation, before the next may start.
const RED_ZONE_BYTES: u64 = 4096;

/// Global memory. Shareable between launches and host threads; addresses are never zero and never reused.
#[derive(Debug, Default)]
pub struct Memory {
    state: RwLock<State>,
    capacity_bytes: Option<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// By address, ascending.
    allocations: Vec<Arc<Allocation>>,
    next_offset: u64,
    used_bytes: u64,
    freed: Vec<(u64, u64)>,
    module_variables: HashMap<u64, Vec<u64>>,
}

/// Why a host operation on memory was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryError {
    /// The capacity given to [`Memory::with_capacity`] is exhausted.
    OutOfMemory {
        /// Bytes asked for.
        requested_bytes: u64,
        /// Bytes free.
        free_bytes: u64,
    },
    /// The range does not lie inside one living allocation.
    OutOfBounds {
        /// First address.
        address: u64,
        /// Length.
        size_bytes: u64,
    },
    /// Not the start of a living allocation.
    NotAllocated {
        /// The address given to [`Memory::free`].
        address: u64,
    },
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory { requested_bytes, free_bytes } => {
                write!(f, "out of memory: {requested_bytes} bytes requested, {free_bytes} free")
            }
            Self::OutOfBounds { address, size_bytes } => {
                write!(f, "{size_bytes} bytes at {address:#x} are not inside one allocation")
            }
            Self::NotAllocated { address } => write!(f, "{address:#x} is not the start of an allocation"),
        }
    }
}

impl std::error::Error for MemoryError {}

impl Memory {
    /// Memory limited only by the host's.
    pub fn new() -> Self {
        Self::default()
    }

    /// Memory that refuses allocations beyond `bytes` in total.
    pub fn with_capacity(bytes: u64) -> Self {
        Self { capacity_bytes: Some(bytes), ..Self::default() }
    }

    /// Allocates `bytes` at a multiple of 256, unwritten.
    ///
    /// # Errors
    ///
    /// [`MemoryError::OutOfMemory`].
    pub fn alloc(&self, bytes: u64) -> Result<u64, MemoryError> {
        let mut state = self.write_state();
        let free = self.capacity_bytes.map(|capacity| capacity - state.used_bytes);
        if let Some(free_bytes) = free.filter(|&free| bytes > free) {
            return Err(MemoryError::OutOfMemory { requested_bytes: bytes, free_bytes });
        }
        let base = FIRST_ADDRESS + state.next_offset;
        state.next_offset += (bytes.next_multiple_of(ALIGNMENT) + RED_ZONE_BYTES).next_multiple_of(ALIGNMENT);
        state.used_bytes += bytes;
        state.allocations.push(Arc::new(Allocation::new(base, bytes)));
        Ok(base)
    }

    /// Frees the allocation that starts at `address`; later accesses to it are findings.
    ///
    /// # Errors
    ///
    /// [`MemoryError::NotAllocated`].
    pub fn free(&self, address: u64) -> Result<(), MemoryError> {
        let mut state = self.write_state();
        let index = state
            .allocations
            .binary_search_by_key(&address, |allocation| allocation.base)
            .map_err(|_| MemoryError::NotAllocated { address })?;
        let allocation = state.allocations.remove(index);
        state.used_bytes -= allocation.size_bytes;
        state.freed.push((allocation.base, allocation.size_bytes));
        Ok(())
    }

    /// Copies `bytes` to `address`.
    ///
    /// # Errors
    ///
    /// [`MemoryError::OutOfBounds`].
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        self.allocation(address, bytes.len() as u64)?.write_bytes(address, bytes);
        Ok(())
    }

    /// Copies from `address` to `bytes`. Bytes nobody wrote read as they lie (0xCD).
    ///
    /// # Errors
    ///
    /// [`MemoryError::OutOfBounds`].
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MemoryError> {
        self.allocation(address, bytes.len() as u64)?.read_bytes(address, bytes);
        Ok(())
    }

    /// True if every byte of the range was written, by the host or by a kernel.
    ///
    /// # Errors
    ///
    /// [`MemoryError::OutOfBounds`].
    pub fn is_written(&self, address: u64, size_bytes: u64) -> Result<bool, MemoryError> {
        let allocation = self.allocation(address, size_bytes)?;
        Ok((address..address + size_bytes).all(|byte| allocation.is_written(byte, 1)))
    }

    /// Sets `size_bytes` bytes at `address` to `value`.
    ///
    /// # Errors
    ///
    /// [`MemoryError::OutOfBounds`].
    pub fn fill(&self, address: u64, value: u8, size_bytes: u64) -> Result<(), MemoryError> {
        let allocation = self.allocation(address, size_bytes)?;
        let chunk = [value; 4096];
        let mut done = 0;
        while done < size_bytes {
            let step = (size_bytes - done).min(chunk.len() as u64);
            allocation.write_bytes(address + done, &chunk[..step as usize]);
            done += step;
        }
        Ok(())
    }

    /// Bytes in living allocations.
    pub fn used_bytes(&self) -> u64 {
        self.read_state().used_bytes
    }

    /// Bytes that may still be allocated, if there is a limit.
    pub fn free_bytes(&self) -> Option<u64> {
        self.capacity_bytes.map(|capacity| capacity - self.used_bytes())
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.read_state();
        Snapshot { allocations: state.allocations.clone(), freed: state.freed.clone() }
    }

    /// The addresses of a module's global variables, placed and initialised at the first call.
    pub(crate) fn module_variables(&self, module: u64, initial: &[Vec<u8>]) -> Result<Vec<u64>, MemoryError> {
        if let Some(addresses) = self.read_state().module_variables.get(&module) {
            return Ok(addresses.clone());
        }
        let mut addresses = Vec::new();
        for bytes in initial {
            let address = self.alloc(bytes.len() as u64)?;
            self.write(address, bytes)?;
            addresses.push(address);
        }
        Ok(self.write_state().module_variables.entry(module).or_insert(addresses).clone())
    }

    fn allocation(&self, address: u64, size_bytes: u64) -> Result<Arc<Allocation>, MemoryError> {
        let state = self.read_state();
        find(&state.allocations, address)
            .filter(|allocation| allocation.contains(address, size_bytes))
            .cloned()
            .ok_or(MemoryError::OutOfBounds { address, size_bytes })
    }

    // A poisoned lock means that a panic of this crate is already on its way up; the state is whole at every step.
    fn read_state(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write_state(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn find(allocations: &[Arc<Allocation>], address: u64) -> Option<&Arc<Allocation>> {
    let after = allocations.partition_point(|allocation| allocation.base <= address);
    allocations.get(after.checked_sub(1)?)
}

/// The allocations that live while a launch runs.
#[derive(Debug)]
pub(crate) struct Snapshot {
    allocations: Vec<Arc<Allocation>>,
    freed: Vec<(u64, u64)>,
}

impl Snapshot {
    /// The allocation with the highest base that is not above `address`.
    pub fn find(&self, address: u64) -> Option<&Allocation> {
        find(&self.allocations, address).map(AsRef::as_ref)
    }

    /// Says where an address that is outside every allocation lies.
    pub fn describe(&self, address: u64) -> String {
        if let Some((base, size)) = self.freed.iter().find(|(base, size)| (*base..base + size).contains(&address)) {
            return format!("inside the freed allocation of {size} bytes at {base:#x}");
        }
        match self.find(address) {
            Some(near) => {
                format!(
                    "{} bytes after the start of the allocation of {} bytes at {:#x}",
                    address - near.base,
                    near.size_bytes,
                    near.base
                )
            }
            None => "before every allocation".to_owned(),
        }
    }
}
