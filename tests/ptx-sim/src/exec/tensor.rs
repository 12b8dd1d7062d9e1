//! `cp.async.bulk.tensor`: which bytes of both memories belong together. They move as those of other bulk copies do.

use crate::FindingKind;
use crate::Swizzle;
use crate::TensorMap;
use crate::exec::access::Kind;
use crate::exec::access::resolve;
use crate::exec::bulk;
use crate::exec::bulk::Piece;
use crate::exec::bulk::Transfer;
use crate::exec::environment::Environment;
use crate::exec::warp::Warp;
use crate::exec::warp::lanes_of;
use crate::findings::Space;
use crate::ir::TensorCopy;
use crate::tensor_map::TENSOR_MAP_ALIGNMENT;
use crate::tensor_map::TENSOR_MAP_BYTES;

/// Alignment of the box in shared memory (PTX ISA, "Tensor size, dimensions and alignment").
const SHARED_ALIGNMENT: u64 = 128;
/// What a swizzle moves as one.
const BLOCK_BYTES: u32 = 16;

/// `cp.async.bulk.tensor`
pub fn copy(warp: &Warp, env: &mut Environment<'_>, copy: &TensorCopy, mask: u32) {
    let (maps, shared) = (env.addresses(warp, &copy.map), env.addresses(warp, &copy.shared));
    let coordinates: Vec<_> = copy.coordinates.iter().map(|coordinate| env.read(warp, coordinate)).collect();
    let mbarriers = copy.mbarrier.as_ref().map(|address| env.addresses(warp, address));
    for lane in lanes_of(mask) {
        let corner: Vec<i64> = coordinates.iter().map(|lanes| i64::from(lanes[lane] as u32 as i32)).collect();
        let Some(transfer) = transfer(env, lane, maps[lane], &corner, shared[lane]) else { continue };
        match mbarriers {
            Some(mbarriers) => bulk::to_shared(env, lane, transfer, mbarriers[lane]),
            None => bulk::to_global(env, lane, transfer),
        }
    }
}

/// What a lane copies, if its map and its place in shared memory are in order.
fn transfer(env: &mut Environment<'_>, lane: usize, map: u64, corner: &[i64], shared: u64) -> Option<Transfer> {
    let map = tensor_map(env, lane, map)?;
    if map.rank() != corner.len() {
        let message = format!("{} coordinates for a tensor of {} dimensions", corner.len(), map.rank());
        env.report(FindingKind::InvalidOperand, lane, None, message);
        return None;
    }
    let bytes = u32::try_from(map.box_bytes()).unwrap_or(u32::MAX);
    if !shared.is_multiple_of(SHARED_ALIGNMENT) {
        let message =
            format!("a box of a tensor in shared memory at {shared:#x}, not a multiple of {SHARED_ALIGNMENT}");
        env.report(FindingKind::Misaligned, lane, Some((Space::Shared, shared, bytes)), message);
        return None;
    }
    env.bounds_of_shared(lane, shared, bytes)?;
    Some(Transfer { shared, bytes, pieces: pieces(&map, corner, shared as u32) })
}

/// Reads the map at a generic address.
fn tensor_map(env: &mut Environment<'_>, lane: usize, address: u64) -> Option<TensorMap> {
    let (space, address) = resolve(None, address);
    let access = Some((space, address, TENSOR_MAP_BYTES as u32));
    if matches!(space, Space::Shared | Space::Local) {
        let message = format!("a tensor map in {space:?} memory, not a parameter, constant or global");
        env.report(FindingKind::InvalidOperand, lane, access, message);
        return None;
    }
    if !address.is_multiple_of(TENSOR_MAP_ALIGNMENT) {
        let message = format!("a tensor map at {address:#x}, not a multiple of {TENSOR_MAP_ALIGNMENT}");
        env.report(FindingKind::Misaligned, lane, access, message);
        return None;
    }
    let mut bytes = [0; TENSOR_MAP_BYTES];
    for (chunk, at) in bytes.chunks_exact_mut(8).zip((address..).step_by(8)) {
        let place = env.check(lane, space, at, 8, Kind::Read)?;
        env.check_written(lane, &place, at, 8);
        chunk.copy_from_slice(&env.fetch(&place, at, 0, 8).to_le_bytes());
    }
    match TensorMap::decode(&bytes) {
        Ok(map) => Some(map),
        Err(error) => {
            env.report(FindingKind::InvalidOperand, lane, access, error.to_string());
            None
        }
    }
}

/// The parts of a box inside the tensor, where `corner` has the coordinates of its first element and `shared` is the
/// box's address in shared memory. Rows lie one after the other there, swizzled by the bits of their addresses.
fn pieces(map: &TensorMap, corner: &[i64], shared: u32) -> Vec<Piece> {
    let size = i64::from(map.element_bytes);
    // The part of every row that is inside, in bytes.
    let start = (-corner[0]).max(0) * size;
    let end = (map.dims[0] as i64 - corner[0]).min(map.box_dims[0].into()) * size;
    let span = if map.swizzle == Swizzle::None { map.row_bytes() } else { BLOCK_BYTES };
    let mut pieces = Vec::new();
    if start >= end {
        return pieces;
    }
    let (start, end) = (start as u32, end as u32);
    for row in 0..map.box_rows() as u32 {
        let Some(address) = row_address(map, corner, row) else { continue };
        let mut at = start;
        while at < end {
            let next = (at / span * span + span).min(end);
            let place = map.swizzle.apply(shared + row * map.row_bytes() + at, 0);
            let address = address.wrapping_add_signed(corner[0] * size + i64::from(at));
            pieces.push(Piece { offset: place - shared, address, bytes: next - at });
            at = next;
        }
    }
    pieces
}

/// The address of the element with first coordinate 0 in a row of the box; `None` if the row is outside the tensor.
fn row_address(map: &TensorMap, corner: &[i64], row: u32) -> Option<u64> {
    let (mut rest, mut address) = (row, map.global_address);
    for (dimension, &from) in corner.iter().enumerate().skip(1) {
        let elements = map.box_elements(dimension);
        let step = i64::from(rest % elements * map.element_strides[dimension]);
        rest /= elements;
        let coordinate = u64::try_from(from + step).ok()?;
        if coordinate >= map.dims[dimension] {
            return None;
        }
        address = address.wrapping_add(coordinate.wrapping_mul(map.strides_bytes[dimension - 1]));
    }
    Some(address)
}
