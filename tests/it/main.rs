//! Tests of the public API: one executable, a module per subject.

mod architecture;
mod formats_golden;
mod support;
