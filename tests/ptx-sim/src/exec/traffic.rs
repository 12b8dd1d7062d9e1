//! Counts what an access moves: sectors of global memory, wavefronts of shared memory.

use crate::exec::access::Kind;
use crate::exec::access::resolve;
use crate::exec::environment::Environment;
use crate::exec::warp::Lanes;
use crate::exec::warp::lanes_of;
use crate::findings::Space;

const SECTOR_BYTES: u64 = 32;
const NUM_BANKS: u64 = 32;
const BANK_BYTES: u64 = 4;

/// Counts one access of the lanes in `mask`, `size` bytes each.
pub fn count(env: &mut Environment<'_>, space: Option<Space>, addresses: &Lanes, size: u32, mask: u32, kind: Kind) {
    match space {
        Some(Space::Global) => count_global(env, addresses, size, mask, kind),
        Some(Space::Shared) => count_shared(env, addresses, size, mask, kind),
        Some(_) => {}
        None => {
            let of = |wanted: Space| {
                lanes_of(mask)
                    .filter(|&lane| resolve(None, addresses[lane]).0 == wanted)
                    .fold(0, |found, lane| found | 1 << lane)
            };
            let (global, shared) = (of(Space::Global), of(Space::Shared));
            if global != 0 {
                count_global(env, addresses, size, global, kind);
            }
            if shared != 0 {
                count_shared(env, addresses, size, shared, kind);
            }
        }
    }
}

fn count_global(env: &mut Environment<'_>, addresses: &Lanes, size: u32, mask: u32, kind: Kind) {
    let traffic = if kind.is_read() { &mut env.counts.global_loads } else { &mut env.counts.global_stores };
    traffic.requests += 1;
    traffic.sectors += sectors(addresses, mask, |_| size);
    traffic.bytes += u64::from(size * mask.count_ones());
}

/// Distinct sectors that the lanes touch, `size` bytes in each lane.
pub fn sectors(addresses: &Lanes, mask: u32, size: impl Fn(usize) -> u32) -> u64 {
    let mut touched = [0; 64];
    let mut len = 0;
    for lane in lanes_of(mask).filter(|&lane| size(lane) > 0) {
        let first = addresses[lane] / SECTOR_BYTES;
        let last = addresses[lane].wrapping_add(u64::from(size(lane)) - 1) / SECTOR_BYTES;
        touched[len] = first;
        len += 1;
        if last != first {
            touched[len] = last;
            len += 1;
        }
    }
    let touched = &mut touched[..len];
    touched.sort_unstable();
    let changes = touched.windows(2).filter(|pair| pair[0] != pair[1]).count();
    (changes + usize::from(len > 0)) as u64
}

fn count_shared(env: &mut Environment<'_>, addresses: &Lanes, size: u32, mask: u32, kind: Kind) {
    // Wide accesses go in phases: half a warp for 8 bytes a lane, a quarter for 16.
    let lanes_per_phase = (128 / size.max(4)).clamp(1, 32);
    let (mut wavefronts, mut phases) = (0, 0);
    for first in (0..32).step_by(lanes_per_phase as usize) {
        let phase = mask & ((u32::MAX >> (32 - lanes_per_phase)) << first);
        if phase != 0 {
            phases += 1;
            wavefronts += phase_wavefronts(addresses, size, phase);
        }
    }
    let traffic = if kind.is_read() { &mut env.counts.shared_loads } else { &mut env.counts.shared_stores };
    traffic.requests += 1;
    traffic.ideal_wavefronts += phases;
    traffic.wavefronts += wavefronts;
    traffic.bytes += u64::from(size * mask.count_ones());
}

/// The most distinct words that any bank must give.
fn phase_wavefronts(addresses: &Lanes, size: u32, phase: u32) -> u64 {
    let mut words = [u64::MAX; 64];
    let mut len = 0;
    let mut in_bank = [u64::MAX; NUM_BANKS as usize];
    let mut conflict = false;
    for lane in lanes_of(phase) {
        let first = addresses[lane] / BANK_BYTES;
        for word in first..first + u64::from(size.div_ceil(4)) {
            let bank = &mut in_bank[(word % NUM_BANKS) as usize];
            if *bank == word {
                continue;
            }
            conflict |= *bank != u64::MAX;
            *bank = word;
            if len < words.len() {
                words[len] = word;
                len += 1;
            }
        }
    }
    if !conflict {
        return 1;
    }
    let words = &mut words[..len];
    words.sort_unstable();
    let mut per_bank = [0; NUM_BANKS as usize];
    let mut last = u64::MAX;
    for &word in words.iter() {
        per_bank[(word % NUM_BANKS) as usize] += u64::from(word != last);
        last = word;
    }
    per_bank.iter().copied().max().unwrap_or(1)
}
