//! One block: its warps by turns, in an order drawn from the seed.

use crate::FindingKind;
use crate::exec::BlockResult;
use crate::exec::Shared;
use crate::exec::barrier;
use crate::exec::bulk;
use crate::exec::environment::Environment;
use crate::exec::environment::Site;
use crate::exec::mbarrier;
use crate::exec::step::Flow;
use crate::exec::step::step;
use crate::exec::warp::Warp;
use crate::exec::warp::WarpState;
use crate::exec::wgmma;
use crate::ir::Operation;

/// How seldom an asynchronous operation happens before everyone waits: once in this many turns.
const EARLY_ONE_IN: u32 = 16;

/// A block, used again for the next.
pub struct Block<'a> {
    warps: Vec<Warp>,
    env: Environment<'a>,
}

impl<'a> Block<'a> {
    pub fn new(launch: &'a Shared<'a>) -> Self {
        let function = launch.function;
        let warps = (0..launch.threads.div_ceil(32))
            .map(|index| Warp::new(index, function.num_registers, function.num_predicates))
            .collect();
        Self { warps, env: Environment::new(launch) }
    }

    /// Runs block number `index` of the grid.
    pub fn run(&mut self, index: u64) -> BlockResult {
        self.env.restart(index);
        for warp in &mut self.warps {
            warp.restart(self.env.launch.threads);
        }
        // How long a warp keeps its turn: from going on nearly always to nearly never, so that some seeds let warps
        // run far apart and others mix them finely.
        let keep_in_16 = [1, 8, 15][self.env.rng.below(3) as usize];
        let is_fatal = loop {
            if !self.env.asynchronous.is_empty() && self.env.rng.below(EARLY_ONE_IN) == 0 {
                bulk::progress(&mut self.env);
            }
            self.wake();
            let Some(warp) = self.pick() else {
                // Whatever completes on its own does so as late as it may: when everyone waits.
                if !self.is_finished() && bulk::progress(&mut self.env) {
                    continue;
                }
                break self.stuck();
            };
            if let Some(is_fatal) = self.turn(warp, keep_in_16) {
                break is_fatal;
            }
        };
        if !is_fatal {
            bulk::finish(&mut self.env);
        }
        self.result(is_fatal)
    }

    /// Lets the warps go on whose mbarriers have reached the phase that they wait for.
    fn wake(&mut self) {
        for warp in self.warps.iter_mut().filter(|warp| warp.state == WarpState::Polling) {
            let is_over = |&(offset, parity, value): &mbarrier::Poll| {
                self.env.mbarriers.get(&offset).is_none_or(|state| state.is_over(parity, value))
            };
            if warp.polls.iter().any(is_over) {
                warp.state = WarpState::Ready;
            }
        }
    }

    /// A warp that can go on.
    fn pick(&mut self) -> Option<usize> {
        let is_ready = |warp: &Warp| warp.state == WarpState::Ready;
        let ready = self.warps.iter().filter(|warp| is_ready(warp)).count() as u32;
        if ready == 0 {
            return None;
        }
        let chosen = self.env.rng.below(ready) as usize;
        let mut of_ready = self.warps.iter().enumerate().filter(|(_, warp)| is_ready(warp));
        of_ready.nth(chosen).map(|(index, _)| index)
    }

    fn is_finished(&self) -> bool {
        self.warps.iter().all(|warp| warp.state == WarpState::Finished)
    }

    /// Nobody can go on: the end, or a deadlock. True if it is the latter.
    fn stuck(&mut self) -> bool {
        if self.is_finished() {
            return false;
        }
        self.deadlock("no warp can go on");
        true
    }

    fn deadlock(&mut self, what: &str) {
        let message = format!("{what}: {}", barrier::describe(&self.warps, &self.env));
        let waiting = self.warps.iter().find(|warp| warp.state != WarpState::Finished);
        let (site, lane) = waiting.map_or((Site::default(), 0), |warp| {
            let (pc, mask) = warp.stack.last().map_or((0, 1), |frame| (frame.pc, frame.mask));
            let pc = if matches!(warp.state, WarpState::AtBarrier(_)) { pc.saturating_sub(1) } else { pc };
            (Site { pc, warp: warp.index }, mask.trailing_zeros() as usize % 32)
        });
        let last = self.env.launch.function.instructions.len().saturating_sub(1) as u32;
        let site = Site { pc: site.pc.min(last), ..site };
        self.env.report_at(site, FindingKind::Deadlock, lane, None, message);
    }

    /// Lets a warp run until its turn ends. Something if the block ends: true if for a reason nothing can follow.
    fn turn(&mut self, warp: usize, keep_in_16: u32) -> Option<bool> {
        let limit = self.env.launch.launch.max_warp_instructions_per_block;
        loop {
            match step(&mut self.warps[warp], &mut self.env) {
                Flow::Next => {}
                Flow::MaySwitch => {
                    if self.env.rng.below(16) >= keep_in_16 {
                        return None;
                    }
                }
                Flow::Arrived(complete) => {
                    if let Some(index) = complete {
                        barrier::complete(&mut self.warps, &mut self.env, index);
                    }
                    barrier::pass_without_finished(&mut self.warps, &mut self.env);
                    return None;
                }
                Flow::Again => return None,
                Flow::Warpgroup(wait) => {
                    wgmma::rendezvous(&mut self.warps, &mut self.env, warp, wait);
                    return None;
                }
                Flow::Finished => {
                    self.warps[warp].state = WarpState::Finished;
                    barrier::pass_without_finished(&mut self.warps, &mut self.env);
                    return None;
                }
                Flow::Fatal => return Some(true),
            }
            if self.env.executed > limit {
                self.deadlock(&format!("more than {limit} warp instructions"));
                return Some(true);
            }
        }
    }

    fn result(&mut self, is_fatal: bool) -> BlockResult {
        let mut counts = std::mem::take(&mut self.env.counts);
        counts.blocks = 1;
        for (pc, &macs) in self.env.matrix_macs.iter().enumerate().filter(|(_, macs)| **macs > 0) {
            let form = match &self.env.launch.function.instructions[pc].operation {
                Operation::Matrix(multiply) => &multiply.form,
                Operation::Wgmma(multiply) => &multiply.form,
                _ => continue,
            };
            *counts.matrix_macs.entry(form.clone()).or_default() += macs;
        }
        BlockResult {
            findings: std::mem::take(&mut self.env.findings),
            suppressed: self.env.suppressed,
            counts,
            is_fatal,
        }
    }
}
