//! Which accesses to shared memory are ordered: logical time, and what each thread knows of the others.
//!
//! Warps run one after the other here, so a single counter stamps every access, and it moves on at every event that
//! orders threads. What a thread knows of another is the latest stamp of the other that happened before its own next
//! instruction; an access that it does not know of is concurrent. This is a vector clock (Lamport; Mattern) whose
//! entries are mostly equal, and stored so: `base` for everyone since a barrier of the whole block, `synced_at` within a
//! warp, and explicit vectors only after barriers and mbarriers of a part of the block.
//!
//! Each word of shared memory keeps the stamps of its last write and of two reads by different threads. That misses a
//! race only where more than two threads read, a third is ordered after both of those kept and not after the others.

use std::rc::Rc;

/// Stamps of the actors, by their number.
pub type Vector = Vec<u32>;

/// One access: who, when, where in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// 0 is no access.
    time: u32,
    packed: u32,
}

const ACTOR_BITS: u32 = 11;

impl Stamp {
    fn new(time: u32, actor: u32, is_atomic: bool, pc: u32) -> Self {
        // A kernel of more instructions than fit is named by a wrong line in a finding, and nothing else.
        Self { time, packed: actor | u32::from(is_atomic) << ACTOR_BITS | pc << (ACTOR_BITS + 1) }
    }

    /// The thread of the block, or an agent.
    pub fn actor(self) -> u32 {
        self.packed & ((1 << ACTOR_BITS) - 1)
    }

    /// The instruction.
    pub fn pc(self) -> u32 {
        self.packed >> (ACTOR_BITS + 1)
    }

    fn is_atomic(self) -> bool {
        self.packed >> ACTOR_BITS & 1 == 1
    }
}

/// An earlier access that is not ordered before the one at hand.
#[derive(Clone, Copy, Debug)]
pub struct Conflict {
    pub earlier: Stamp,
    pub earlier_is_write: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cell {
    write: Stamp,
    read: Stamp,
    other_read: Stamp,
}

/// What the lanes of one warp know.
#[derive(Debug, Default)]
struct WarpClock {
    /// All lanes know each other's accesses up to here.
    synced_at: u32,
    /// What each lane knows of each other one, after synchronisation of some of them.
    lanes: Option<Box<[[u32; 32]; 32]>>,
    /// What each lane knows of other actors.
    foreign: Foreign,
}

#[derive(Clone, Debug, Default)]
enum Foreign {
    /// What `base` says.
    #[default]
    Base,
    Shared(Rc<Vector>),
    PerLane(Box<[Option<Rc<Vector>>; 32]>),
}

impl Foreign {
    fn of(&self, lane: usize) -> Option<&Rc<Vector>> {
        match self {
            Self::Base => None,
            Self::Shared(vector) => Some(vector),
            Self::PerLane(lanes) => lanes[lane].as_ref(),
        }
    }
}

/// What a thread knew when it executed a fence between proxies.
#[derive(Clone, Debug, Default)]
struct Fence {
    time: u32,
    base: u32,
    own_warp: [u32; 32],
    foreign: Option<Rc<Vector>>,
}

/// The clocks of a block and the stamps of its shared memory.
#[derive(Debug)]
pub struct Races {
    now: u32,
    base: u32,
    /// Actors from here on are agents. A barrier does not wait for what they do.
    first_agent: u32,
    num_actors: usize,
    /// What every thread knows of each agent.
    agent_base: Vector,
    fences: Vec<Fence>,
    warps: Vec<WarpClock>,
    words: Vec<Cell>,
    /// Words whose bytes have stamps of their own.
    is_split: Vec<bool>,
    /// Empty until a word is split.
    bytes: Vec<Cell>,
}

impl Races {
    /// For a block of `threads` threads and some `agents` that act for it asynchronously.
    pub fn new(threads: u32, agents: u32, shared_bytes: u32) -> Self {
        let num_words = shared_bytes.div_ceil(4) as usize;
        let mut warps = Vec::new();
        warps.resize_with(threads.div_ceil(32) as usize, WarpClock::default);
        Self {
            now: 1,
            base: 0,
            first_agent: threads.next_multiple_of(32),
            num_actors: (threads.next_multiple_of(32) + agents) as usize,
            agent_base: vec![0; agents as usize],
            fences: vec![Fence::default(); threads as usize],
            warps,
            words: vec![Cell::default(); num_words],
            is_split: vec![false; num_words],
            bytes: Vec::new(),
        }
    }

    /// The number of an agent among the actors.
    pub fn agent(&self, index: u32) -> u32 {
        self.first_agent + index
    }

    /// A barrier of the whole block: every thread knows what every thread did, and what any knew of the agents.
    pub fn sync_block(&mut self) {
        self.base = self.now;
        for warp in &mut self.warps {
            for lane in 0..32 {
                if let Some(known) = warp.foreign.of(lane) {
                    raise(&mut self.agent_base, &known[self.first_agent as usize..]);
                }
            }
            *warp = WarpClock::default();
        }
        self.now += 1;
    }

    /// What lies between two blocks: nothing is remembered.
    pub fn restart(&mut self) {
        self.sync_block();
        self.agent_base.fill(self.base);
        self.fences.fill(Fence::default());
    }

    /// A thread orders what it knows of before its later asynchronous operations, and its own writes for everyone's.
    pub fn fence_proxy(&mut self, actor: u32) {
        let clock = &self.warps[actor as usize / 32];
        let lane = actor as usize % 32;
        self.fences[actor as usize] = Fence {
            time: self.now,
            base: self.base,
            own_warp: std::array::from_fn(|other| self.known_lane(clock, lane, other)),
            foreign: clock.foreign.of(lane).cloned(),
        };
        self.now += 1;
    }

    /// True if a write is visible to the asynchronous operations of `viewer`: the writer, or `viewer` after it learnt of
    /// the write, has executed a fence between the proxies. Writes of agents are in that proxy already.
    fn is_fenced(&self, write: Stamp, viewer: u32) -> bool {
        let writer = write.actor();
        if writer >= self.first_agent || write.time == 0 {
            return true;
        }
        let own = &self.fences[viewer as usize];
        let known_at_fence = if writer / 32 == viewer / 32 {
            own.own_warp[writer as usize % 32]
        } else {
            own.foreign.as_ref().map_or(0, |known| known[writer as usize])
        };
        self.fences[writer as usize].time >= write.time
            || (writer == viewer && own.time >= write.time)
            || write.time <= known_at_fence.max(own.base)
    }

    /// The lanes of a mask wait for each other; `all` are those that the warp has.
    pub fn sync_lanes(&mut self, warp: usize, mask: u32, all: u32) {
        let (now, base) = (self.now, self.base);
        let clock = &mut self.warps[warp];
        if let Foreign::PerLane(lanes) = &mut clock.foreign {
            let joined = join(lanes_of(mask).filter_map(|lane| lanes[lane].as_ref()), self.num_actors);
            for lane in lanes_of(mask) {
                lanes[lane] = Some(Rc::clone(&joined));
            }
            if mask == all {
                clock.foreign = Foreign::Shared(joined);
            }
        }
        if mask == all {
            clock.synced_at = now;
            clock.lanes = None;
        } else {
            let floor = clock.synced_at.max(base);
            let known = clock.lanes.get_or_insert_with(|| Box::new([[floor; 32]; 32]));
            let mut joined = [0; 32];
            for lane in lanes_of(mask) {
                for (slot, time) in joined.iter_mut().zip(&known[lane]) {
                    *slot = (*slot).max(*time);
                }
            }
            lanes_of(mask).for_each(|lane| joined[lane] = now);
            lanes_of(mask).for_each(|lane| known[lane] = joined);
        }
        self.now += 1;
    }

    /// Adds to `vector` what the lanes of a mask did and know; what they do from here on is not in it.
    pub fn release(&mut self, warp: usize, mask: u32, vector: &mut Vector) {
        vector.resize(self.num_actors, 0);
        let clock = &self.warps[warp];
        match &clock.foreign {
            Foreign::Base => {}
            Foreign::Shared(known) => raise(vector, known),
            Foreign::PerLane(lanes) => {
                lanes_of(mask).filter_map(|lane| lanes[lane].as_ref()).for_each(|known| raise(vector, known));
            }
        }
        let own = &mut vector[32 * warp..32 * warp + 32];
        raise(own, &[clock.synced_at.max(self.base); 32]);
        if let Some(known) = &clock.lanes {
            lanes_of(mask).for_each(|lane| raise(own, &known[lane]));
        }
        lanes_of(mask).for_each(|lane| own[lane] = self.now);
        self.now += 1;
    }

    /// The lanes of a mask learn what a vector holds.
    pub fn acquire(&mut self, warp: usize, mask: u32, all: u32, vector: &Vector) {
        if vector.is_empty() {
            return;
        }
        let num_actors = self.num_actors;
        let clock = &mut self.warps[warp];
        match &mut clock.foreign {
            Foreign::Base if mask == all => clock.foreign = Foreign::Shared(Rc::new(vector.clone())),
            Foreign::Shared(known) if mask == all => raise(Rc::make_mut(known).as_mut_slice(), vector),
            other => {
                let mut lanes: Box<[Option<Rc<Vector>>; 32]> = match std::mem::take(other) {
                    Foreign::Base => Box::default(),
                    Foreign::Shared(known) => Box::new(std::array::from_fn(|_| Some(Rc::clone(&known)))),
                    Foreign::PerLane(lanes) => lanes,
                };
                let incoming = Rc::new(vector.clone());
                for lane in lanes_of(mask) {
                    let known = lanes[lane].iter().chain([&incoming]);
                    lanes[lane] = Some(join(known, num_actors));
                }
                clock.foreign = Foreign::PerLane(lanes);
            }
        }
        self.acquire_own_warp(warp, mask, all, vector);
    }

    fn acquire_own_warp(&mut self, warp: usize, mask: u32, all: u32, vector: &Vector) {
        let floor = self.warps[warp].synced_at.max(self.base);
        let own = &vector[32 * warp..32 * warp + 32];
        if lanes_of(all).all(|lane| own[lane] <= floor) {
            return;
        }
        let clock = &mut self.warps[warp];
        let known = clock.lanes.get_or_insert_with(|| Box::new([[floor; 32]; 32]));
        for lane in lanes_of(mask) {
            raise(&mut known[lane], own);
        }
    }

    /// An agent did what `vector` holds and its own accesses up to now.
    pub fn release_agent(&mut self, agent: u32, vector: &mut Vector) {
        vector.resize(self.num_actors, 0);
        vector[agent as usize] = self.now;
        self.now += 1;
    }

    fn known_lane(&self, clock: &WarpClock, lane: usize, other: usize) -> u32 {
        let known = clock.lanes.as_ref().map_or(0, |lanes| lanes[lane][other]);
        known.max(clock.synced_at).max(self.base)
    }

    /// True if an access happened before the next one of `actor`.
    #[inline]
    fn is_ordered(&self, stamp: Stamp, actor: u32) -> bool {
        if stamp.time <= self.base && (stamp.actor() < self.first_agent || stamp.time == 0) {
            return true;
        }
        stamp.actor() == actor || self.is_known(stamp, actor)
    }

    fn is_known(&self, stamp: Stamp, actor: u32) -> bool {
        let (warp, lane) = (actor as usize / 32, actor as usize % 32);
        let Some(clock) = self.warps.get(warp) else { return false };
        let other = stamp.actor() as usize;
        if other >= self.first_agent as usize && stamp.time <= self.agent_base[other - self.first_agent as usize] {
            return true;
        }
        if other / 32 == warp {
            return stamp.time <= self.known_lane(clock, lane, other % 32);
        }
        clock.foreign.of(lane).is_some_and(|known| stamp.time <= known[other])
    }

    /// `actor` reads bytes. Something if a write to one of them is concurrent.
    #[inline]
    pub fn read(&mut self, offset: usize, size: usize, actor: u32, pc: u32, is_atomic: bool) -> Option<Conflict> {
        let stamp = Stamp::new(self.now, actor, is_atomic, pc);
        self.visit(offset, size, |races, cell| races.read_cell(cell, stamp))
    }

    /// `actor` writes bytes. Something if another access to one of them is concurrent.
    #[inline]
    pub fn write(&mut self, offset: usize, size: usize, actor: u32, pc: u32, is_atomic: bool) -> Option<Conflict> {
        let stamp = Stamp::new(self.now, actor, is_atomic, pc);
        self.visit(offset, size, |races, cell| races.write_cell(cell, stamp))
    }

    /// An asynchronous operation of thread `viewer` reads bytes, in the name of `agent`. The conflict, and the last write
    /// that no fence makes visible to it.
    pub fn read_by_agent(
        &mut self,
        (offset, size): (usize, usize),
        viewer: u32,
        agent: u32,
        pc: u32,
    ) -> (Option<Conflict>, Option<Stamp>) {
        let (as_viewer, as_agent) = (Stamp::new(self.now, viewer, false, pc), Stamp::new(self.now, agent, false, pc));
        let mut unfenced = None;
        let conflict = self.visit(offset, size, |races, cell| {
            if !races.is_fenced(cell.write, viewer) {
                unfenced = unfenced.or(Some(cell.write));
            }
            let (mut cell, conflict) = races.read_cell(cell, as_viewer);
            cell.read = as_agent;
            (cell, conflict)
        });
        (conflict, unfenced)
    }

    /// The clock of a lane's warp learns what an agent did up to `time`.
    pub fn acquire_agent(&mut self, warp: usize, mask: u32, all: u32, (agent, time): (u32, u32)) {
        let mut vector = vec![0; self.num_actors];
        vector[agent as usize] = time;
        self.acquire(warp, mask, all, &vector);
    }

    /// The logical time; what happens later has another.
    pub fn tick(&mut self) -> u32 {
        self.now += 1;
        self.now - 1
    }

    /// Marks the bytes as written by `actor` now, without looking for conflicts.
    pub fn stamp_write(&mut self, offset: usize, size: usize, actor: u32, pc: u32) {
        let stamp = Stamp::new(self.now, actor, false, pc);
        self.visit(offset, size, |_, _| (Cell { write: stamp, ..Cell::default() }, None));
    }

    #[inline]
    fn read_cell(&self, mut cell: Cell, stamp: Stamp) -> (Cell, Option<Conflict>) {
        let actor = stamp.actor();
        let both_atomic = cell.write.is_atomic() && stamp.is_atomic();
        let conflict = (!both_atomic && !self.is_ordered(cell.write, actor))
            .then_some(Conflict { earlier: cell.write, earlier_is_write: true });
        if !self.is_ordered(cell.read, actor) {
            cell.other_read = cell.read;
        }
        cell.read = stamp;
        (cell, conflict)
    }

    #[inline]
    fn write_cell(&self, cell: Cell, stamp: Stamp) -> (Cell, Option<Conflict>) {
        let candidates = [(cell.write, true), (cell.read, false), (cell.other_read, false)];
        let conflict = candidates.into_iter().find_map(|(earlier, earlier_is_write)| {
            let both_atomic = earlier.is_atomic() && stamp.is_atomic();
            let is_concurrent = !both_atomic && !self.is_ordered(earlier, stamp.actor());
            is_concurrent.then_some(Conflict { earlier, earlier_is_write })
        });
        (Cell { write: stamp, ..Cell::default() }, conflict)
    }

    /// Replaces the cells of a range by what `update` makes of them; the first conflict is returned.
    #[inline]
    fn visit(
        &mut self,
        offset: usize,
        size: usize,
        mut update: impl FnMut(&Self, Cell) -> (Cell, Option<Conflict>),
    ) -> Option<Conflict> {
        let mut first = None;
        let (mut at, end) = (offset, offset + size);
        while at < end {
            let word = at / 4;
            let is_whole = at % 4 == 0 && end - at >= 4;
            if is_whole && !self.is_split[word] {
                let (cell, conflict) = update(self, self.words[word]);
                self.words[word] = cell;
                first = first.or(conflict);
                at += 4;
                continue;
            }
            self.split(word);
            let (cell, conflict) = update(self, self.bytes[at]);
            self.bytes[at] = cell;
            first = first.or(conflict);
            at += 1;
            if at % 4 == 0 || at == end {
                self.unite(word);
            }
        }
        first
    }

    /// Gives the bytes of a word their own stamps.
    fn split(&mut self, word: usize) {
        if self.is_split[word] {
            return;
        }
        if self.bytes.is_empty() {
            self.bytes = vec![Cell::default(); 4 * self.words.len()];
        }
        self.is_split[word] = true;
        self.bytes[4 * word..4 * word + 4].fill(self.words[word]);
    }

    /// Takes them together again if they are the same.
    fn unite(&mut self, word: usize) {
        let bytes = &self.bytes[4 * word..4 * word + 4];
        if bytes.iter().all(|cell| *cell == bytes[0]) {
            self.words[word] = bytes[0];
            self.is_split[word] = false;
        }
    }
}

fn raise(known: &mut [u32], by: &[u32]) {
    for (slot, time) in known.iter_mut().zip(by) {
        *slot = (*slot).max(*time);
    }
}

fn join<'v>(vectors: impl Iterator<Item = &'v Rc<Vector>>, num_actors: usize) -> Rc<Vector> {
    let mut joined = vec![0; num_actors];
    for vector in vectors {
        raise(&mut joined, vector);
    }
    Rc::new(joined)
}

fn lanes_of(mask: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |lane| mask >> lane & 1 == 1)
}
