//! Names of special registers.

use crate::ir::Special;

/// The special register of this name.
pub fn register(name: &str) -> Option<Special> {
    if let Some((base, axis)) = name.rsplit_once('.') {
        let axis = ["x", "y", "z"].iter().position(|&letter| letter == axis)?;
        return Some(match base {
            "%tid" => Special::Thread(axis),
            "%ntid" => Special::BlockSize(axis),
            "%ctaid" | "%clusterid" => Special::Block(axis),
            "%nctaid" | "%nclusterid" => Special::GridSize(axis),
            // Launches have no clusters: each block is one of its own.
            "%cluster_ctaid" => Special::Zero,
            "%cluster_nctaid" => Special::One,
            _ => return None,
        });
    }
    Some(match name {
        "%laneid" => Special::Lane,
        "%warpid" => Special::Warp,
        "%nwarpid" => Special::NumWarps,
        "%smid" => Special::Multiprocessor,
        "%nsmid" => Special::NumMultiprocessors,
        "%gridid" | "%cluster_ctarank" => Special::Zero,
        "%cluster_nctarank" => Special::One,
        "%clock" | "%clock64" | "%globaltimer" | "%globaltimer_lo" => Special::Clock,
        "%clock_hi" | "%globaltimer_hi" => Special::Zero,
        "%lanemask_eq" => Special::MaskEqual,
        "%lanemask_le" => Special::MaskLessOrEqual,
        "%lanemask_lt" => Special::MaskLess,
        "%lanemask_ge" => Special::MaskGreaterOrEqual,
        "%lanemask_gt" => Special::MaskGreater,
        "%dynamic_smem_size" => Special::DynamicSharedBytes,
        "%total_smem_size" => Special::TotalSharedBytes,
        _ => return None,
    })
}
