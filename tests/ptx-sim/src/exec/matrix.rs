//! `mma.sync`: registers to the matrix functions and back.

use crate::exec::environment::Environment;
use crate::exec::warp::Lanes;
use crate::exec::warp::Warp;
use crate::ir::MatrixMultiply;
use crate::ir::Register;
use crate::matrix::WarpRegister;

/// `mma.sync`; the whole warp takes part.
pub fn multiply(warp: &mut Warp, env: &mut Environment<'_>, multiply: &MatrixMultiply, mask: u32) {
    let narrow = |lanes: &Lanes| -> WarpRegister { lanes.map(|lane| lane as u32) };
    let fragment = |registers: &[Register]| -> Vec<WarpRegister> {
        registers.iter().map(|register| narrow(&warp.registers[register.0 as usize])).collect()
    };
    let (a, b) = (fragment(&multiply.a), fragment(&multiply.b));
    let c: Vec<WarpRegister> = multiply.c.iter().map(|operand| narrow(&env.read(warp, operand))).collect();
    let d = multiply.mma.execute(&a, &b, &c).expect("the parser checks the number of registers");
    for (dst, value) in multiply.d.iter().zip(&d) {
        warp.write(*dst, &value.map(u64::from), mask);
    }
    env.matrix_macs[env.site.pc as usize] += multiply.macs;
}
