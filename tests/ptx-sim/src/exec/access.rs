//! Loads and stores: which memory, whether it may be touched, and the traffic it makes.

use crate::FindingKind;
use crate::exec::environment::Environment;
use crate::exec::traffic;
use crate::exec::warp::Lanes;
use crate::exec::warp::Warp;
use crate::exec::warp::lanes_of;
use crate::findings::Space;
use crate::ir::Load;
use crate::ir::MatrixAccess;
use crate::ir::Store;
use crate::matrix::ldmatrix;
use crate::memory::CONST_WINDOW;
use crate::memory::LOCAL_WINDOW;
use crate::memory::PARAM_WINDOW;
use crate::memory::SHARED_BASE;
use crate::memory::SHARED_WINDOW;
use crate::memory::WINDOW_BYTES;
use crate::memory::global::Allocation;
use crate::memory::races::Conflict;

/// What an access does to the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Read,
    Write,
    /// A read that does not race with atomic accesses.
    StrongRead,
    StrongWrite,
    Atomic,
}

impl Kind {
    pub fn is_read(self) -> bool {
        matches!(self, Self::Read | Self::StrongRead)
    }

    fn is_atomic(self) -> bool {
        matches!(self, Self::StrongRead | Self::StrongWrite | Self::Atomic)
    }
}

/// The space of a generic address, and the address within it.
#[inline]
pub fn resolve(space: Option<Space>, address: u64) -> (Space, u64) {
    if let Some(space) = space {
        return (space, address);
    }
    let windows = [
        (SHARED_WINDOW, Space::Shared),
        (LOCAL_WINDOW, Space::Local),
        (CONST_WINDOW, Space::Const),
        (PARAM_WINDOW, Space::Param),
    ];
    for (window, space) in windows {
        if address >= window && address - window < WINDOW_BYTES {
            return (space, address - window);
        }
    }
    (Space::Global, address)
}

/// The place that passed the checks of an access.
pub enum Place<'a> {
    Global(&'a Allocation),
    /// Offset.
    Shared(usize),
    /// Index in the local memory of the block.
    Local(usize),
    /// Offset in the constant bank.
    Const(usize),
    /// Offset in the parameters.
    Param(usize),
}

impl<'a> Environment<'a> {
    /// Checks bounds, alignment and order of one lane's access; `None` if nothing can be touched.
    #[inline]
    pub fn check(&mut self, lane: usize, space: Space, address: u64, size: u32, kind: Kind) -> Option<Place<'a>> {
        if address & u64::from(size - 1) != 0 {
            self.misaligned(lane, space, address, size);
        }
        match space {
            Space::Global => self.check_global(lane, address, size).map(Place::Global),
            Space::Shared => self.check_shared(lane, address, size, kind).map(Place::Shared),
            Space::Local => self.check_local(lane, address, size).map(Place::Local),
            Space::Const | Space::Param => self.check_constant(lane, space, address, size, kind),
        }
    }

    #[cold]
    fn misaligned(&mut self, lane: usize, space: Space, address: u64, size: u32) {
        let message = format!("an access of {size} bytes at an address that is not a multiple of {size}");
        self.report(FindingKind::Misaligned, lane, Some((space, address, size)), message);
    }

    #[inline]
    pub fn check_global(&mut self, lane: usize, address: u64, size: u32) -> Option<&'a Allocation> {
        if let Some(recent) = self.recent.filter(|recent| recent.contains(address, size.into())) {
            return Some(recent);
        }
        let launch = self.launch;
        match launch.memory.find(address) {
            Some(found) if found.contains(address, size.into()) => {
                self.recent = Some(found);
                Some(found)
            }
            _ => {
                let message = format!("outside every allocation: {}", launch.memory.describe(address));
                self.report(FindingKind::OutOfBounds, lane, Some((Space::Global, address, size)), message);
                None
            }
        }
    }

    /// The offset of an access to shared memory, if it lies inside.
    #[inline]
    pub fn bounds_of_shared(&mut self, lane: usize, address: u64, size: u32) -> Option<usize> {
        let offset = address.wrapping_sub(SHARED_BASE.into());
        let total = self.shared.size_bytes();
        if offset >= total || total - offset < size.into() {
            let message = format!("outside the block's {total} bytes of shared memory (offset {})", offset as i64);
            self.report(FindingKind::OutOfBounds, lane, Some((Space::Shared, address, size)), message);
            return None;
        }
        Some(offset as usize)
    }

    /// Checks an access to shared memory, and stamps it.
    #[inline]
    pub fn check_shared(&mut self, lane: usize, address: u64, size: u32, kind: Kind) -> Option<usize> {
        let offset = self.bounds_of_shared(lane, address, size)?;
        let (length, actor) = (size as usize, self.thread(lane));
        let is_ready = if matches!(kind, Kind::Write | Kind::StrongWrite) {
            !self.shared.is_pending(offset, length)
        } else {
            self.shared.is_ready(offset, length)
        };
        if !is_ready {
            self.not_ready(lane, offset, size, kind);
            return Some(offset);
        }
        let races = &mut self.shared.races;
        let conflict = if kind.is_read() {
            races.read(offset, length, actor, self.site.pc, kind.is_atomic())
        } else {
            races.write(offset, length, actor, self.site.pc, kind.is_atomic())
        };
        if let Some(conflict) = conflict {
            self.conflict(lane, (address, size), kind, conflict);
        }
        Some(offset)
    }

    #[cold]
    fn conflict(&mut self, lane: usize, (address, size): (u64, u32), kind: Kind, conflict: Conflict) {
        let earlier = conflict.earlier;
        let is_same_instruction =
            kind == Kind::Write && earlier.pc() == self.site.pc && earlier.actor() / 32 == self.site.warp;
        if is_same_instruction && conflict.earlier_is_write {
            // Lanes of one store may write one value to one place; `store` looks at the values.
            self.overlap = Some(conflict);
            return;
        }
        self.race(lane, (address, size), kind, conflict);
    }

    /// Reports two lanes of one instruction that write to one place, where their values do not matter.
    #[inline]
    pub fn report_overlap(&mut self, lane: usize, address: u64, size: u32) {
        if let Some(conflict) = self.overlap.take() {
            self.race(lane, (address, size), Kind::Write, conflict);
        }
    }

    /// Reports a race.
    #[cold]
    pub fn race(&mut self, lane: usize, (address, size): (u64, u32), kind: Kind, conflict: Conflict) {
        let earlier = conflict.earlier;
        let function = self.launch.function;
        let who = self.actor(earlier.actor());
        let instruction = &function.instructions[earlier.pc() as usize];
        let source = instruction.source.map(|index| format!(", {}", function.sources[index as usize]));
        let message = format!(
            "a {kind:?} that nothing orders after the {} of {who} at PTX line {}{}",
            if conflict.earlier_is_write { "write" } else { "read" },
            instruction.line,
            source.unwrap_or_default()
        );
        self.report(FindingKind::Race, lane, Some((Space::Shared, address, size)), message);
    }

    fn check_local(&mut self, lane: usize, address: u64, size: u32) -> Option<usize> {
        let total = u64::from(self.launch.function.entry.local_bytes);
        if address >= total || total - address < size.into() {
            let message = format!("outside the thread's {total} bytes of local memory");
            self.report(FindingKind::OutOfBounds, lane, Some((Space::Local, address, size)), message);
            return None;
        }
        Some((u64::from(self.thread(lane)) * total + address) as usize)
    }

    fn check_constant(&mut self, lane: usize, space: Space, address: u64, size: u32, kind: Kind) -> Option<Place<'a>> {
        let access = Some((space, address, size));
        if !kind.is_read() {
            self.report(FindingKind::WriteToConst, lane, access, format!("a store to {space:?} memory"));
            return None;
        }
        let total = if space == Space::Const { self.launch.constants.len() } else { self.launch.params.len() };
        if address >= total as u64 || total as u64 - address < size.into() {
            let message = format!("outside the {total} bytes of {space:?} memory");
            self.report(FindingKind::OutOfBounds, lane, access, message);
            return None;
        }
        Some(if space == Space::Const { Place::Const(address as usize) } else { Place::Param(address as usize) })
    }

    #[cold]
    fn unwritten(&mut self, lane: usize, space: Space, address: u64, size: u32) {
        let message = "a read of bytes that nobody wrote".to_owned();
        self.report(FindingKind::Unwritten, lane, Some((space, address, size)), message);
    }

    /// Says what is wrong with an access to shared bytes that are not all written, or wait for a copy.
    #[cold]
    pub fn not_ready(&mut self, lane: usize, offset: usize, size: u32, kind: Kind) {
        let address = offset as u64 + u64::from(SHARED_BASE);
        if self.shared.is_pending(offset, size as usize) {
            let message = format!("a {kind:?} of bytes that an asynchronous copy writes, before the wait for it");
            self.report(FindingKind::MissingWait, lane, Some((Space::Shared, address, size)), message);
        } else {
            self.unwritten(lane, Space::Shared, address, size);
        }
    }

    /// Checks that all bytes of a read were written.
    #[inline]
    fn check_written(&mut self, lane: usize, place: &Place<'a>, address: u64, size: u32) {
        match place {
            Place::Global(allocation) => {
                for at in (0..size).step_by(8) {
                    if !allocation.is_written(address + u64::from(at), (size - at).min(8)) {
                        self.unwritten(lane, Space::Global, address, size);
                        return;
                    }
                }
            }
            Place::Local(index) => {
                if !self.local_written[*index..index + size as usize].iter().all(|&written| written) {
                    self.unwritten(lane, Space::Local, address, size);
                }
            }
            // `check` has looked at shared memory.
            Place::Shared(_) | Place::Const(_) | Place::Param(_) => {}
        }
    }

    /// `size` ≤ 8 bytes, `at` bytes behind the start of a place.
    #[inline]
    fn fetch(&self, place: &Place<'a>, address: u64, at: u32, size: u32) -> u64 {
        let read = |bytes: &[u8], start: usize| {
            let mut value = [0; 8];
            value[..size as usize].copy_from_slice(&bytes[start..start + size as usize]);
            u64::from_le_bytes(value)
        };
        match place {
            Place::Global(allocation) => allocation.load(address + u64::from(at), size),
            Place::Shared(offset) => self.shared.load(offset + at as usize, size as usize),
            Place::Local(index) => read(&self.local, index + at as usize),
            Place::Const(offset) => read(self.launch.constants, offset + at as usize),
            Place::Param(offset) => read(&self.launch.params, offset + at as usize),
        }
    }

    #[inline]
    fn put(&mut self, place: &Place<'a>, address: u64, at: u32, size: u32, value: u64) {
        match place {
            Place::Global(allocation) => allocation.store(address + u64::from(at), size, value),
            Place::Shared(offset) => self.shared.store(offset + at as usize, size as usize, value),
            Place::Local(index) => {
                let start = index + at as usize;
                self.local[start..start + size as usize].copy_from_slice(&value.to_le_bytes()[..size as usize]);
                self.local_written[start..start + size as usize].fill(true);
            }
            // `check` refuses stores to these.
            Place::Const(_) | Place::Param(_) => {}
        }
    }
}

/// `ld`
pub fn load(warp: &mut Warp, env: &mut Environment<'_>, load: &Load, mask: u32) {
    let addresses = env.addresses(warp, &load.address);
    let size = load.element_bytes * load.dsts.len() as u32;
    let kind = if load.is_strong { Kind::StrongRead } else { Kind::Read };
    traffic::count(env, load.space, &addresses, size, mask, kind);
    let shift = 64 - 8 * load.element_bytes;
    for lane in lanes_of(mask) {
        let (space, address) = resolve(load.space, addresses[lane]);
        let place = env.check(lane, space, address, size, kind);
        if let Some(place) = &place {
            env.check_written(lane, place, address, size);
        }
        for (index, dst) in load.dsts.iter().enumerate() {
            let Some(dst) = dst else { continue };
            let at = index as u32 * load.element_bytes;
            let value = place.as_ref().map_or(0, |place| env.fetch(place, address, at, load.element_bytes));
            let value = if load.signed { ((value << shift) as i64 >> shift) as u64 } else { value };
            warp.write_lane(*dst, lane, value);
        }
    }
}

/// `st`
pub fn store(warp: &mut Warp, env: &mut Environment<'_>, store: &Store, mask: u32) {
    let addresses = env.addresses(warp, &store.address);
    let size = store.element_bytes * store.srcs.len() as u32;
    let kind = if store.is_strong { Kind::StrongWrite } else { Kind::Write };
    traffic::count(env, store.space, &addresses, size, mask, kind);
    let mut values = [[0; 32]; 8];
    for (slot, src) in values.iter_mut().zip(&store.srcs) {
        *slot = env.read(warp, src);
    }
    for lane in lanes_of(mask) {
        let (space, address) = resolve(store.space, addresses[lane]);
        let Some(place) = env.check(lane, space, address, size, kind) else { continue };
        if let (Place::Shared(offset), Some(conflict)) = (&place, env.overlap.take()) {
            check_overlap(env, lane, (*offset, address), store, &values, conflict);
        }
        for (index, value) in values[..store.srcs.len()].iter().enumerate() {
            env.put(&place, address, index as u32 * store.element_bytes, store.element_bytes, value[lane]);
        }
    }
}

/// Two lanes of one store write to one place: a race if the values differ.
fn check_overlap(
    env: &mut Environment<'_>,
    lane: usize,
    (offset, address): (usize, u64),
    store: &Store,
    values: &[Lanes; 8],
    conflict: Conflict,
) {
    let bytes = store.element_bytes as usize;
    let ones = u64::MAX >> (64 - 8 * bytes);
    let differs = (0..store.srcs.len()).any(|i| env.shared.load(offset + i * bytes, bytes) != values[i][lane] & ones);
    if differs {
        env.race(lane, (address, (bytes * store.srcs.len()) as u32), Kind::Write, conflict);
    }
}

/// The shared offset of the row that each lane points to, of the lanes that `ldmatrix` and `stmatrix` look at.
fn rows(warp: &Warp, env: &mut Environment<'_>, access: &MatrixAccess, kind: Kind) -> [Option<usize>; 32] {
    let addresses = env.addresses(warp, &access.address);
    let lanes = 8 * access.registers.len();
    let mask = if lanes == 32 { u32::MAX } else { (1 << lanes) - 1 };
    let mut offsets = [None; 32];
    let resolved = addresses.map(|address| resolve(access.space, address));
    let in_shared = resolved.map(|(_, address)| address);
    traffic::count(env, Some(Space::Shared), &in_shared, ldmatrix::ROW_BYTES as u32, mask, kind);
    for lane in lanes_of(mask) {
        let (space, address) = resolved[lane];
        if space != Space::Shared {
            let message = "a row of a matrix outside shared memory".to_owned();
            env.report(FindingKind::InvalidOperand, lane, Some((space, address, 16)), message);
            continue;
        }
        if let Some(Place::Shared(offset)) = env.check(lane, space, address, ldmatrix::ROW_BYTES as u32, kind) {
            env.report_overlap(lane, address, ldmatrix::ROW_BYTES as u32);
            offsets[lane] = Some(offset);
        }
    }
    offsets
}

/// `ldmatrix`
pub fn load_matrix(warp: &mut Warp, env: &mut Environment<'_>, access: &MatrixAccess) {
    let offsets = rows(warp, env, access, Kind::Read);
    for (register, dst) in access.registers.iter().enumerate() {
        for lane in 0..32 {
            let half = |half: usize| {
                let location = ldmatrix::location(access.transposed, lane, register, half);
                let offset = offsets[location.pointer_lane];
                offset.map_or(0, |offset| env.shared.load(offset + location.byte_offset, 2))
            };
            warp.write_lane(*dst, lane, half(0) | half(1) << 16);
        }
    }
}

/// `stmatrix`
pub fn store_matrix(warp: &mut Warp, env: &mut Environment<'_>, access: &MatrixAccess) {
    let offsets = rows(warp, env, access, Kind::Write);
    for (register, src) in access.registers.iter().enumerate() {
        for lane in 0..32 {
            let value = warp.registers[src.register as usize][lane];
            for half in 0..2 {
                let location = ldmatrix::location(access.transposed, lane, register, half);
                if let Some(offset) = offsets[location.pointer_lane] {
                    env.shared.store(offset + location.byte_offset, 2, value >> (16 * half));
                }
            }
        }
    }
}
