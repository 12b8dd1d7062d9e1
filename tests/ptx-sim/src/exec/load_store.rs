//! Loads and stores.

use crate::FindingKind;
use crate::exec::access::Kind;
use crate::exec::access::Place;
use crate::exec::access::resolve;
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
use crate::memory::races::Conflict;

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
