//! The second implementation of `cuda::Driver`: launches are executed by `ptx-sim`, so that the backend runs without a GPU.
//!
//! A finding of the simulator (an access out of bounds, a race, a missing wait, ...) fails the launch.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use lowbit::Device;
use lowbit::Result;
use lowbit::cuda::CudaDevice;
use lowbit::cuda::Driver;
use lowbit::cuda::Limits;
use lowbit::cuda::driver::DenseProduct;
use lowbit::cuda::driver::DevicePtr;
use lowbit::cuda::driver::Launch;
use lowbit::cuda::kernels::Kernel;
use lowbit::error::CudaError;
use ptx_sim::Counts;
use ptx_sim::Memory;
use ptx_sim::Module;

use crate::built::PTX;
use crate::promises::PROMISES;
use crate::promises::Promise;

/// The devices that are simulated: capability, multiprocessors, shared memory a block and a multiprocessor, threads a
/// multiprocessor, L2 (CUDA programming guide, technical specifications; A100, A40, L40S, H200, RTX PRO 6000).
const GPUS: &[(u32, u32, u32, u32, u32, usize)] = &[
    (80, 108, 163, 164, 2048, 40 << 20),
    (86, 84, 99, 100, 1536, 6 << 20),
    (89, 142, 99, 100, 1536, 96 << 20),
    (90, 132, 227, 228, 2048, 60 << 20),
    (120, 188, 99, 100, 1536, 128 << 20),
];

/// What was executed, by symbol.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<&'static str, Executed>>);

/// The launches of one kernel.
#[derive(Clone, Debug, Default)]
pub struct Executed {
    pub launches: u64,
    pub counts: Counts,
}

impl Tally {
    /// All kernels launched.
    pub fn executed(&self) -> BTreeMap<&'static str, Executed> {
        self.0.lock().unwrap().clone()
    }
}

type Modules = HashMap<(&'static str, &'static str), Arc<Module>>;

/// A simulated stream of a simulated device.
pub struct Simulator {
    limits: Limits,
    memory: Memory,
    tally: Arc<Tally>,
    seed: u64,
    /// Blocks that are executed of each launch, given the kernel and how many there are.
    blocks: fn(&Kernel, u64) -> Range<u64>,
    /// Whether it pretends that a CUDA graph is being captured.
    pub capturing: AtomicBool,
    /// Milliseconds that it says everything takes; it has no clock of its own.
    milliseconds: Option<f32>,
}

impl Simulator {
    /// A device of that compute capability, which is one of [`GPUS`].
    pub fn new(capability: u32) -> Self {
        Self::with(capability, Arc::default(), 0)
    }

    /// The same, which counts its launches in `tally` and draws the order of warps from `seed`.
    pub fn with(capability: u32, tally: Arc<Tally>, seed: u64) -> Self {
        let &(_, num_sms, block_kib, sm_kib, threads_per_sm, l2_bytes) =
            GPUS.iter().find(|gpu| gpu.0 == capability).expect("a capability of the table");
        let limits = Limits {
            name: "simulator".into(),
            capability,
            num_sms,
            shared_bytes_per_block: block_kib << 10,
            shared_bytes_per_sm: sm_kib << 10,
            threads_per_sm,
            l2_bytes,
            memory_bytes: 1 << 30,
        };
        let memory = Memory::with_capacity(limits.memory_bytes as u64);
        Self {
            limits,
            memory,
            tally,
            seed,
            blocks: |_, _| 0..u64::MAX,
            capturing: AtomicBool::new(false),
            milliseconds: None,
        }
    }

    /// The same with memory for tensors that no grid of is executed whole: of each launch only `blocks` run.
    pub fn partial(capability: u32, memory_bytes: usize, blocks: fn(&Kernel, u64) -> Range<u64>) -> Self {
        let mut this = Self::new(capability);
        this.limits.memory_bytes = memory_bytes;
        this.memory = Memory::with_capacity(memory_bytes as u64);
        Self { blocks, ..this }
    }

    /// The same for code that times its work: everything takes so long.
    pub fn with_milliseconds(self, milliseconds: f32) -> Self {
        Self { milliseconds: Some(milliseconds), ..self }
    }

    /// What a stream does not do while a graph is captured from it.
    fn not_while_capturing(&self, what: &'static str) -> Result<()> {
        match self.capturing.load(Ordering::Relaxed) {
            true => Err(call(what, "a graph is being captured")),
            false => Ok(()),
        }
    }

    /// A device over it.
    pub fn device(self) -> Device {
        Device::Cuda(CudaDevice::from_driver(Arc::new(self)))
    }

    /// The PTX of a kernel family that a device of this capability would run.
    fn module(&self, kernel: &'static Kernel) -> Result<Arc<Module>> {
        /// Parsed once in a process, by kernel family and architecture.
        static MODULES: OnceLock<Mutex<Modules>> = OnceLock::new();
        let value = |arch: &str| arch.trim_end_matches('a').parse::<u32>().expect("an architecture is a number");
        let fits = |arch: &str| {
            let compiled = value(arch);
            let specific = arch.ends_with('a');
            compiled == self.limits.capability
                || !specific && compiled < self.limits.capability && compiled / 10 == self.limits.capability / 10
        };
        let best =
            PTX.iter().filter(|(stem, arch, _)| *stem == kernel.file && fits(arch)).max_by_key(|ptx| value(ptx.1));
        let Some(&(stem, arch, text)) = best else {
            let built: Vec<&str> = PTX.iter().filter(|ptx| ptx.0 == kernel.file).map(|ptx| ptx.1).collect();
            let (device, capability) = (self.limits.name.clone(), self.limits.capability);
            return Err(CudaError::NoImage { kernel: kernel.symbol, device, capability, built: built.join(" ") }.into());
        };
        let mut modules = MODULES.get_or_init(Mutex::default).lock().unwrap_or_else(|e| e.into_inner());
        let module = modules
            .entry((stem, arch))
            .or_insert_with(|| Arc::new(Module::parse(text).unwrap_or_else(|e| panic!("{stem}, sm_{arch}: {e}"))));
        Ok(Arc::clone(module))
    }

    fn failed(launch: &Launch<'_>, reason: String) -> lowbit::Error {
        let Launch { kernel, grid, shared_bytes, .. } = *launch;
        CudaError::Launch { kernel: kernel.symbol, grid, threads: kernel.threads, shared_bytes, reason }.into()
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Simulator(sm_{})", self.limits.capability)
    }
}

fn call(call: &'static str, error: impl ToString) -> lowbit::Error {
    CudaError::Call { call, reason: error.to_string() }.into()
}

impl Driver for Simulator {
    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn alloc(&self, bytes: usize) -> Result<DevicePtr> {
        self.not_while_capturing("alloc")?;
        self.memory.alloc(bytes as u64).map_err(|_| {
            let free = self.memory.free_bytes().unwrap_or(u64::MAX) as usize;
            CudaError::OutOfMemory { device: self.limits.name.clone(), bytes, free }.into()
        })
    }

    unsafe fn free(&self, ptr: DevicePtr) {
        self.memory.free(ptr).expect("freed once, and what was allocated");
    }

    unsafe fn fill(&self, to: DevicePtr, value: u8, bytes: usize) -> Result<()> {
        self.memory.fill(to, value, bytes as u64).map_err(|e| call("fill", e))
    }

    unsafe fn upload(&self, from: &[u8], to: DevicePtr) -> Result<()> {
        self.not_while_capturing("upload")?;
        self.memory.write(to, from).map_err(|e| call("upload", e))
    }

    unsafe fn download(&self, from: DevicePtr, to: &mut [u8]) -> Result<()> {
        self.not_while_capturing("download")?;
        match self.memory.is_written(from, to.len() as u64) {
            Ok(true) => self.memory.read(from, to).map_err(|e| call("download", e)),
            Ok(false) => Err(call("download", "memory that nobody wrote")),
            Err(e) => Err(call("download", e)),
        }
    }

    unsafe fn copy(&self, from: DevicePtr, to: DevicePtr, bytes: usize) -> Result<()> {
        let mut content = vec![0; bytes];
        self.memory.read(from, &mut content).map_err(|e| call("copy", e))?;
        self.memory.write(to, &content).map_err(|e| call("copy", e))
    }

    fn load(&self, kernel: &'static Kernel) -> Result<()> {
        self.module(kernel).map(|_| ())
    }

    unsafe fn launch(&self, launch: &Launch<'_>) -> Result<()> {
        let Launch { kernel, grid, shared_bytes, args } = *launch;
        let params: &[&[u8]] = &[args];
        let mut simulated = ptx_sim::Launch::new(grid, [kernel.threads, 1, 1], params);
        simulated.dynamic_shared_bytes = shared_bytes;
        simulated.seed = self.seed;
        simulated.blocks = (self.blocks)(kernel, simulated.num_blocks());
        simulated.limits.shared_bytes_per_block = self.limits.shared_bytes_per_block;
        simulated.limits.multiprocessors = self.limits.num_sms;
        let report = self
            .module(kernel)?
            .launch(kernel.symbol, &simulated, &self.memory)
            .map_err(|e| Self::failed(launch, e.to_string()))?;
        if !report.findings.is_empty() {
            let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
            return Err(Self::failed(launch, format!("\n  {}", findings.join("\n  "))));
        }
        if let Some(complaint) =
            Promise::of(PROMISES, kernel.symbol).and_then(|promise| promise.complaint(&report.counts))
        {
            return Err(Self::failed(launch, complaint));
        }
        let mut tally = self.tally.0.lock().unwrap();
        let executed = tally.entry(kernel.symbol).or_default();
        executed.launches += 1;
        executed.counts.add(&report.counts);
        Ok(())
    }

    fn has_dense(&self) -> bool {
        false
    }

    unsafe fn dense(&self, _: &DenseProduct) -> Result<()> {
        Err(call("dense product", "the simulator has no vendor library"))
    }

    fn is_capturing(&self) -> Result<bool> {
        Ok(self.capturing.load(Ordering::Relaxed))
    }

    fn synchronize(&self) -> Result<()> {
        self.not_while_capturing("synchronize")
    }

    fn time(&self, work: &mut dyn FnMut() -> Result<()>, samples: usize) -> Result<Vec<f32>> {
        work()?;
        let Some(milliseconds) = self.milliseconds else { return Ok(Vec::new()) };
        self.capturing.store(true, Ordering::Relaxed);
        let captured = work();
        self.capturing.store(false, Ordering::Relaxed);
        captured.map(|()| vec![milliseconds; samples])
    }
}
