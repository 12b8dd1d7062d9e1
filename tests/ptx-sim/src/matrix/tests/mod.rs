//! Tests of the matrix instructions against the formulas of the ISA's fragment sections, written out for each shape.

mod descriptor;
mod fragments;
mod isa;
mod ldmatrix;
mod mma;
mod wgmma;
