//! Where lanes that diverge at a branch meet again: the branch's immediate post-dominator.
//!
//! Post-dominators are computed on the reversed graph of basic blocks by the iteration of Cooper, Harvey and Kennedy
//! ("A Simple, Fast Dominance Algorithm", 2001). Paths that end in `trap` do not count: nobody comes back from there.

use crate::ir::Instruction;
use crate::ir::NO_RECONVERGENCE;
use crate::ir::Operation;

/// The reconvergence point of each instruction; see [`crate::ir::Function::reconvergence`].
pub fn reconvergence(instructions: &[Instruction]) -> Vec<u32> {
    let graph = Graph::new(instructions);
    let order = graph.order_from_exit();
    let post_dominators = graph.post_dominators(&order);
    let mut points = vec![NO_RECONVERGENCE; instructions.len()];
    for (block, &(_, end)) in graph.blocks.iter().enumerate() {
        if let Some(Some(meeting)) = post_dominators.get(block)
            && *meeting < graph.blocks.len()
        {
            points[end - 1] = graph.blocks[*meeting].0 as u32;
        }
    }
    points
}

/// Basic blocks; the virtual exit is the block after the last.
struct Graph {
    /// First instruction, and the one after the last.
    blocks: Vec<(usize, usize)>,
    successors: Vec<Vec<usize>>,
    predecessors: Vec<Vec<usize>>,
}

impl Graph {
    fn new(instructions: &[Instruction]) -> Self {
        let mut starts = vec![false; instructions.len() + 1];
        starts[0] = true;
        for (index, instruction) in instructions.iter().enumerate() {
            let targets = targets(&instruction.operation);
            let ends = !targets.is_empty() || matches!(instruction.operation, Operation::Exit | Operation::Trap);
            targets.iter().for_each(|&target| starts[target as usize] = true);
            starts[index + 1] |= ends;
        }
        let firsts: Vec<usize> = (0..instructions.len()).filter(|&index| starts[index]).collect();
        let ends = firsts.iter().skip(1).copied().chain([instructions.len()]);
        let blocks: Vec<(usize, usize)> = firsts.iter().copied().zip(ends).collect();
        // A label at the very end is the exit.
        let block_of = |index: usize| firsts.binary_search(&index).unwrap_or(firsts.len());
        let exit = blocks.len();
        let mut graph =
            Self { blocks, successors: vec![Vec::new(); exit + 1], predecessors: vec![Vec::new(); exit + 1] };
        for block in 0..exit {
            let end = graph.blocks[block].1;
            let last = &instructions[end - 1];
            let falls_through = match last.operation {
                Operation::Branch { .. } | Operation::BranchIndexed { .. } | Operation::Exit | Operation::Trap => {
                    last.guard.is_some()
                }
                _ => true,
            };
            let mut next: Vec<usize> =
                targets(&last.operation).iter().map(|&target| block_of(target as usize)).collect();
            if falls_through {
                next.push(block_of(end));
            }
            if matches!(last.operation, Operation::Exit) && last.guard.is_none() {
                next.push(exit);
            }
            for successor in next {
                graph.successors[block].push(successor);
                graph.predecessors[successor].push(block);
            }
        }
        graph
    }

    /// Blocks from which the exit can be reached, in reverse post-order of the reversed graph.
    fn order_from_exit(&self) -> Vec<usize> {
        let exit = self.blocks.len();
        let mut seen = vec![false; exit + 1];
        let mut post_order = Vec::new();
        let mut stack = vec![(exit, 0)];
        seen[exit] = true;
        while let Some((block, next)) = stack.pop() {
            match self.predecessors[block].get(next) {
                None => post_order.push(block),
                Some(&predecessor) => {
                    stack.push((block, next + 1));
                    if !seen[predecessor] {
                        seen[predecessor] = true;
                        stack.push((predecessor, 0));
                    }
                }
            }
        }
        post_order.reverse();
        post_order
    }

    fn post_dominators(&self, order: &[usize]) -> Vec<Option<usize>> {
        let exit = self.blocks.len();
        let mut position = vec![usize::MAX; exit + 1];
        order.iter().enumerate().for_each(|(index, &block)| position[block] = index);
        let mut found: Vec<Option<usize>> = vec![None; exit + 1];
        found[exit] = Some(exit);
        let mut changed = true;
        while changed {
            changed = false;
            for &block in order.iter().filter(|&&block| block != exit) {
                let mut known = self.successors[block].iter().copied().filter(|&next| found[next].is_some());
                let Some(first) = known.next() else { continue };
                let meeting = known.fold(first, |a, b| intersect(a, b, &found, &position));
                changed |= found[block].replace(meeting) != Some(meeting);
            }
        }
        found
    }
}

fn intersect(mut a: usize, mut b: usize, found: &[Option<usize>], position: &[usize]) -> usize {
    while a != b {
        while position[a] > position[b] {
            match found[a] {
                Some(next) => a = next,
                None => return b,
            }
        }
        while position[b] > position[a] {
            match found[b] {
                Some(next) => b = next,
                None => return a,
            }
        }
    }
    a
}

fn targets(operation: &Operation) -> Vec<u32> {
    match operation {
        Operation::Branch { target } => vec![*target],
        Operation::BranchIndexed { targets, .. } => targets.clone(),
        _ => Vec::new(),
    }
}
