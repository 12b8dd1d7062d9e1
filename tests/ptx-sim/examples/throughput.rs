//! How fast the simulator is on this machine: thread instructions per second of a tiled f16 GEMM, checks on.

use ptx_sim::Class;
use ptx_sim::Launch;
use ptx_sim::Memory;
use ptx_sim::Module;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let size: u32 = std::env::args().nth(1).map_or(Ok(256), |text| text.parse())?;
    let host_threads: usize = std::env::args().nth(2).map_or(Ok(1), |text| text.parse())?;
    let module = Module::parse(include_str!("../tests/ptx/gemm.ptx"))?;
    let memory = Memory::new();
    let mut args = Vec::new();
    for bytes in [2, 2, 4] {
        let pointer = memory.alloc(u64::from(size * size) * bytes)?;
        memory.fill(pointer, 0x3c, u64::from(size * size) * bytes)?;
        args.extend(pointer.to_le_bytes());
    }
    [size, size, size, 0, 0, 0, 0, 0].iter().for_each(|value| args.extend(value.to_le_bytes()));
    let blocks = size.div_ceil(64);
    let params: &[&[u8]] = &[&args];
    let launch = Launch { host_threads, ..Launch::new([blocks, blocks, 1], [128, 1, 1], params) };
    let start = Instant::now();
    let report = module.launch("gemm_f16", &launch, &memory)?;
    let seconds = start.elapsed().as_secs_f64();
    let counts = &report.counts;
    println!("{size}³: {seconds:.3} s, {} findings", report.findings.len());
    println!("{:.1} M thread instructions/s", counts.total_thread() as f64 / seconds / 1e6);
    println!("{:.2} M mma/s", counts.warp(Class::Matrix) as f64 / seconds / 1e6);
    println!("{counts:#?}");
    Ok(())
}
