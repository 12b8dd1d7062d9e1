//! What a conversion did.

use crate::checkpoint::Checkpoint;
use crate::checkpoint::LeftDense;
use crate::formats::Format;
use crate::quantize::Distortion;
use crate::shape::MatShape;

/// One converted linear layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearReport {
    /// The module's name.
    pub name: String,
    /// Out-features by in-features.
    pub shape: MatShape,
    /// The quantized format: of the result, or of the source when dequantizing.
    pub format: Format,
    /// Bytes of the weight in the source (codes, scales and zero points of a quantized one).
    pub bytes_before: u64,
    /// Bytes of the weight in the output, counted likewise.
    pub bytes_after: u64,
    /// How far the quantized weight is from the original; `None` when dequantizing.
    pub distortion: Option<Distortion>,
}

/// What a conversion did with a checkpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The converted layers, in the order of the source.
    pub linears: Vec<LinearReport>,
    /// What looks like a weight and was copied, with the reasons.
    pub left_dense: Vec<LeftDense>,
    /// Bytes of all tensors of the source.
    pub bytes_before: u64,
    /// Bytes of all tensors of the output.
    pub bytes_after: u64,
    /// [`LinearReport::distortion`] over all layers.
    pub distortion: Distortion,
}

impl Report {
    pub(super) fn add(&mut self, linear: LinearReport) {
        if let Some(distortion) = &linear.distortion {
            self.distortion.merge(distortion);
        }
        self.linears.push(linear);
    }

    pub(super) fn set_totals(&mut self, source: &Checkpoint, bytes_after: u64) {
        self.bytes_before = super::total_bytes(source.tensors());
        self.bytes_after = bytes_after;
    }
}
