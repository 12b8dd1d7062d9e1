//! Every kernel of the crate, executed: in the simulator, and on a GPU where there is one, against `reference`.
//!
//! The tests of a kernel family are in the module of its name, `cuda_<stem>`; its `against_reference` launches each of its
//! kernels over shapes that hurt.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use lowbit::Device;
use lowbit::cuda::CudaDevice;
use lowbit::cuda::kernels::KERNELS;
use lowbit::cuda::ops::w8::CodeOrder;

use crate::built;
use crate::simulator::Simulator;
use crate::simulator::Tally;

/// The devices of one family's test, and what it executed.
pub struct Bench {
    tally: Arc<Tally>,
}

impl Bench {
    /// A simulated device of that capability.
    pub fn simulated(&self, capability: u32) -> Device {
        Simulator::with(capability, Arc::clone(&self.tally), 1).device()
    }

    /// A simulated H200, and the first GPU where there is one.
    pub fn devices(&self) -> Vec<Device> {
        [Some(self.simulated(90)), crate::support::gpu()].into_iter().flatten().collect()
    }
}

/// How 8-bit codes may lie on `device`.
pub fn code_orders(device: &Device) -> &'static [CodeOrder] {
    match cuda_device(device).limits().has_wgmma() {
        true => &[CodeOrder::Rows, CodeOrder::Tiles],
        false => &[CodeOrder::Rows],
    }
}

/// The CUDA device that `device` is.
pub fn cuda_device(device: &Device) -> &CudaDevice {
    match device {
        Device::Cuda(device) => device,
        _ => panic!("{device:?} is not a GPU"),
    }
}

fn run(stem: &'static str, cases: impl FnOnce(&Bench)) {
    if !built::present() {
        return;
    }
    let bench = Bench { tally: Arc::default() };
    cases(&bench);
    let executed = bench.tally.executed();
    let mut report = String::new();
    for kernel in KERNELS.iter().filter(|kernel| kernel.file == stem) {
        let launches = executed.get(kernel.symbol).map_or(0, |executed| executed.launches);
        report += &format!("simulated {:<32} {launches} launches\n", kernel.symbol);
        assert!(launches > 0, "{} was not launched", kernel.symbol);
    }
    // Past the capture of the test runner: what was executed is worth seeing when all is well.
    std::io::stderr().write_all(report.as_bytes()).unwrap();
}

/// One test a kernel family.
macro_rules! families {
    ($($stem:ident: $module:ident),* $(,)?) => {
        const FAMILIES: &[&str] = &[$(stringify!($stem)),*];

        $(#[test]
        fn $stem() {
            run(stringify!($stem), crate::$module::against_reference);
        })*
    };
}

families! {
    dequant_int8: cuda_dequant_int8,
    dequant_w4: cuda_dequant_w4,
    dequant_w4a8: cuda_dequant_w4a8,
    gemm_dense: cuda_gemm_dense,
    gemm_int4: cuda_gemm_int4,
    gemm_int8: cuda_gemm_int8,
    gemm_int8_sm90: cuda_gemm_int8_sm90,
    gemm_w4: cuda_gemm_w4,
    gemm_w4a8: cuda_gemm_w4a8,
    gemm_w4a8_sm90: cuda_gemm_w4a8_sm90,
    gemm_w4_sm90: cuda_gemm_w4_sm90,
    gemv_w4: cuda_gemv_w4,
    quantize_int4: cuda_quantize_int4,
    quantize_int8: cuda_quantize_int8,
    quantize_w4: cuda_quantize_w4,
}

#[test]
fn every_file_of_the_table_has_a_test() {
    let files: BTreeSet<&str> = KERNELS.iter().map(|kernel| kernel.file).collect();
    assert_eq!(files, FAMILIES.iter().copied().collect());
}
