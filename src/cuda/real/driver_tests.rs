//! The driver over a libcuda without a GPU (`tests/it/fake_cuda`), each test in a process of its own that finds it.

#[path = "../../../tests/it/fake_cuda/mod.rs"]
mod fake_cuda;

use std::sync::Arc;

use bytemuck::Zeroable;
use cudarc::driver::CudaContext;
use libloading::Library;

use super::*;
use crate::cuda::CudaDevice;
use crate::cuda::DeviceBuffer;
use crate::cuda::fatbins::Fatbin;
use crate::cuda::kernels::Capabilities;
use crate::error::Error;
use crate::values::Dtype;
use crate::values::f16;

static FILL: Kernel =
    Kernel { file: "fill", symbol: "fill", threads: 128, args_bytes: 16, capabilities: Capabilities::Since(80) };
static NO_SYMBOL: Kernel =
    Kernel { file: "fill", symbol: "gone", threads: 128, args_bytes: 16, capabilities: Capabilities::Since(80) };
static NO_FILE: Kernel =
    Kernel { file: "gone", symbol: "fill", threads: 128, args_bytes: 16, capabilities: Capabilities::Since(80) };
static NEWER: Kernel =
    Kernel { file: "fill", symbol: "newer", threads: 128, args_bytes: 16, capabilities: Capabilities::Since(120) };

#[repr(C, align(16))]
struct Image([u8; 16]);
static IMAGE: Image = Image([0; 16]);
static FATBINS: &[Fatbin] = &[Fatbin { stem: "fill", archs: &["80", "90a"], ptx: "80", image: &IMAGE.0 }];
static IMAGES: Images = Images { fatbins: FATBINS, toolkit: (13, 2), missing: None };
static NONE: Images = Images { fatbins: &[], toolkit: (0, 0), missing: Some("built without nvcc") };

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, Zeroable)]
struct FillArgs {
    to: u64,
    bytes: u32,
    value: u32,
}

/// The driver that the process found.
struct Fake(Library);

impl Fake {
    fn new() -> Self {
        // SAFETY: the fake driver does nothing at loading.
        Self(unsafe { Library::new("libcuda.so.1") }.unwrap())
    }

    fn set(&self, name: &str, value: c_int) {
        let name = std::ffi::CString::new(name).unwrap();
        // SAFETY: the type is that of the C text.
        unsafe {
            self.0.get::<unsafe extern "C" fn(*const i8, c_int)>("fake_set").unwrap()(name.as_ptr().cast(), value)
        }
    }

    fn seen(&self, name: &str) -> c_int {
        let name = std::ffi::CString::new(name).unwrap();
        // SAFETY: the type is that of the C text.
        unsafe { self.0.get::<unsafe extern "C" fn(*const i8) -> c_int>("fake_get").unwrap()(name.as_ptr().cast()) }
    }

    /// Everything is gone, and nothing was done that a real driver would not survive.
    fn nothing_is_left(&self) {
        for name in ["violations", "allocations", "modules", "streams", "contexts", "events", "graphs"] {
            assert_eq!(self.seen(name), 0, "{name}");
        }
    }
}

fn device() -> CudaDevice {
    CudaDevice::from_driver(Arc::new(CudarcDriver::open(0, &IMAGES).unwrap()))
}

/// An error that says whether a graph is being captured.
fn in_capture_or_not(device: &CudaDevice) -> Error {
    match device.driver().is_capturing().unwrap() {
        true => CudaError::InCapture { what: "the test" }.into(),
        false => CudaError::NoDevice.into(),
    }
}

fn cuda_error<T>(result: Result<T>) -> CudaError {
    match result.err().expect("an error") {
        Error::Cuda(error) => error,
        other => panic!("{other}"),
    }
}

fn launch(device: &CudaDevice, kernel: &'static Kernel, shared_bytes: u32, args: &FillArgs) -> Result<()> {
    let launch = Launch { kernel, grid: [2, 1, 1], shared_bytes, args: bytemuck::bytes_of(args) };
    // SAFETY: the tests hand over buffers that live.
    unsafe { device.driver().launch(&launch) }
}

/// A test, and the ignored one that it runs in a process with the fake driver and these settings.
macro_rules! in_child {
    ($parent:ident, $child:ident, $settings:expr, $body:expr) => {
        #[test]
        fn $parent() {
            let folder = fake_cuda::driver();
            for settings in $settings {
                let settings: &[(&str, &str)] = &settings;
                fake_cuda::run_test(concat!("cuda::real::driver_tests::", stringify!($child)), folder.path(), settings);
            }
        }

        #[test]
        #[ignore = "another test runs it with the fake driver"]
        fn $child() {
            if fake_cuda::is_child() {
                let fake = Fake::new();
                let body: fn(&Fake) = $body;
                body(&fake);
            }
        }
    };
}

in_child!(memory_goes_there_and_back, child_memory, [[("FAKE_POOLS", "1")], [("FAKE_POOLS", "0")]], |fake| {
    let device = device();
    assert_eq!((device.limits().capability, device.limits().num_sms), (90, 132));
    assert_eq!((device.limits().shared_bytes_per_block, device.limits().shared_bytes_per_sm), (232_448, 233_472));
    assert_eq!(device.name(), "Fake GPU 0 (sm_90)");
    let buffer = DeviceBuffer::upload(&device, &[1, 2, 3, 4, 5]).unwrap();
    let copy = buffer.duplicate().unwrap();
    let zeros = DeviceBuffer::zeros(&device, 3).unwrap();
    drop(buffer);
    let (mut found, mut nothing) = ([0; 5], [1; 3]);
    copy.download(&mut found).unwrap();
    zeros.download(&mut nothing).unwrap();
    assert_eq!((found, nothing), ([1, 2, 3, 4, 5], [0; 3]));
    let error = cuda_error(DeviceBuffer::new(&device, 200 << 20));
    let device_name = "Fake GPU 0".to_string();
    assert_eq!(error, CudaError::OutOfMemory { device: device_name, bytes: 200 << 20, free: 100 << 20 });
    DeviceBuffer::new(&device, 8).unwrap();
    // The device goes before its buffers.
    drop(device);
    drop((copy, zeros));
    fake.nothing_is_left();
});

in_child!(a_capture_is_left_alone, child_capture, [[("FAKE_POOLS", "1")], [("FAKE_POOLS", "0")]], |fake| {
    let device = device();
    let [used, dropped] = [(); 2].map(|()| DeviceBuffer::upload(&device, &[7; 4]).unwrap());
    let in_capture = |what| CudaError::InCapture { what };
    fake.set("CAPTURING", 1);
    assert!(device.driver().is_capturing().unwrap());
    assert_eq!(cuda_error(DeviceBuffer::new(&device, 4)), in_capture("allocating device memory"));
    assert_eq!(cuda_error(device.synchronize()), in_capture("waiting for the device"));
    assert_eq!(cuda_error(used.download(&mut [0; 4])), in_capture("copying device memory to the host"));
    assert_eq!(cuda_error(device.time(|| Ok(()), 1)), in_capture("measuring time"));
    // SAFETY: the buffer lives.
    let upload = unsafe { device.driver().upload(&[0; 4], used.ptr()) };
    assert_eq!(cuda_error(upload), in_capture("copying host memory to the device"));
    assert!(matches!(
        device.lease(&[64]).map(|_| ()),
        Err(Error::Cuda(CudaError::WorkspaceInCapture { need: 256, .. }))
    ));
    drop(dropped);
    assert_eq!(fake.seen("allocations"), 2, "what is freed in a capture is freed after it");
    fake.set("CAPTURING", 0);
    device.synchronize().unwrap();
    assert_eq!(fake.seen("allocations"), 1);
    drop((used, device));
    fake.nothing_is_left();
});

in_child!(kernels_get_their_arguments, child_launch, [[("FAKE_COUNT", "2")]], |fake| {
    let devices = [device(), device()];
    let buffer = DeviceBuffer::zeros(&devices[0], 64).unwrap();
    let args = FillArgs { to: buffer.ptr(), bytes: 63, value: 9 };
    devices[0].driver().load(&FILL).unwrap();
    for device in &devices {
        launch(device, &FILL, 232_448 - 1000, &args).unwrap();
    }
    let mut found = [0; 64];
    buffer.download(&mut found).unwrap();
    assert_eq!((found[..63] == [9; 63], found[63]), (true, 0));
    assert_eq!((fake.seen("modules"), fake.seen("streams"), fake.seen("launches")), (1, 2, 2), "streams share images");
    let times = devices[0].time(|| launch(&devices[0], &FILL, 0, &args), 3).unwrap();
    assert_eq!(
        (times, fake.seen("launches")),
        (vec![1.5; 3], 2 + 1 + 1 + 3),
        "once plainly, once untimed, three times"
    );
    let failed = devices[0].time(|| Err(in_capture_or_not(&devices[0])), 3);
    assert!(failed.is_err() && !devices[0].driver().is_capturing().unwrap());
    let mut calls = 0;
    let mut second_fails = || {
        calls += 1;
        if calls == 2 { Err(in_capture_or_not(&devices[0])) } else { Ok(()) }
    };
    assert_eq!(cuda_error(devices[0].time(&mut second_fails, 3)), CudaError::InCapture { what: "the test" });
    assert!(!devices[0].driver().is_capturing().unwrap(), "a capture that fails is ended");

    let reason = match cuda_error(launch(&devices[0], &FILL, 232_448, &args)) {
        CudaError::Launch { kernel: "fill", grid: [2, 1, 1], threads: 128, shared_bytes: 232_448, reason } => reason,
        other => panic!("{other}"),
    };
    assert_eq!(reason, "CUDA_ERROR_INVALID_VALUE (1)");
    let gone = cuda_error(launch(&devices[0], &NO_SYMBOL, 0, &args)).to_string();
    assert!(gone.contains("cuda/fill.cu has no kernel gone"), "{gone}");
    let gone = cuda_error(launch(&devices[0], &NO_FILE, 0, &args)).to_string();
    assert!(gone.contains("cuda/gone.cu is not among"), "{gone}");
    let newer = cuda_error(launch(&devices[0], &NEWER, 0, &args)).to_string();
    assert_eq!(newer, "kernel newer has no image for Fake GPU 0 (sm_90); this build has sm_80, sm_90a and PTX for 80");
    let short = Launch { kernel: &FILL, grid: [1, 1, 1], shared_bytes: 0, args: &[0; 8] };
    // SAFETY: refused before the driver sees it.
    let short = cuda_error(unsafe { devices[0].driver().launch(&short) }).to_string();
    assert!(short.contains("8 bytes of arguments, the kernel takes 16"), "{short}");

    fake.set("LAUNCH", 700);
    let lost = cuda_error(launch(&devices[0], &FILL, 0, &args));
    assert!(
        matches!(&lost, CudaError::Call { call: "cuLaunchKernel", reason } if reason.starts_with("CUDA_ERROR_ILLEGAL_ADDRESS (700)"))
    );
    fake.set("LAUNCH", 0);
    fake.set("SYNC", 716);
    assert!(cuda_error(devices[0].synchronize()).to_string().contains("CUDA_ERROR_MISALIGNED_ADDRESS (716)"));
    fake.set("SYNC", 0);
    launch(&devices[0], &FILL, 0, &args).unwrap();

    // A device on the other GPU has images of its own.
    let other = CudaDevice::from_driver(Arc::new(CudarcDriver::open(1, &IMAGES).unwrap()));
    other.driver().load(&FILL).unwrap();
    assert_eq!((other.name(), fake.seen("modules")), ("Fake GPU 1 (sm_90)", 2));
    // Contexts alternate on one thread.
    launch(&devices[0], &FILL, 0, &args).unwrap();
    drop(other);
    drop((buffer, devices));
    fake.nothing_is_left();
});

in_child!(an_image_that_does_not_load_says_why, child_load, [[("FAKE_COUNT", "1")]], |fake| {
    let device = device();
    let load = |status| {
        fake.set("LOAD", status);
        cuda_error(device.driver().load(&FILL))
    };
    assert!(matches!(load(209), CudaError::NoImage { kernel: "fill", capability: 90, .. }));
    for status in [218, 222] {
        assert_eq!(load(status), CudaError::DriverTooOld { found: 13000, need: 13020 });
    }
    assert_eq!(load(200).to_string(), "cuModuleLoadData: CUDA_ERROR_INVALID_IMAGE (200)");
    fake.set("LOAD", 0);
    device.driver().load(&FILL).unwrap();
    drop(device);
    fake.nothing_is_left();
});

in_child!(what_cannot_be_used_is_refused, child_open, [[("FAKE_COUNT", "2")]], |fake| {
    let open = |index, images| cuda_error(CudarcDriver::open(index, images));
    assert_eq!(open(2, &IMAGES), CudaError::NoSuchDevice { index: 2, count: 2 });
    assert!(
        matches!(open(0, &NONE), CudaError::NoKernels { why } if why.starts_with("built without nvcc; build where"))
    );
    fake.set("VERSION", 12040);
    assert_eq!(open(0, &IMAGES), CudaError::DriverTooOld { found: 12040, need: 13000 });
    assert!(matches!(open(0, &NONE), CudaError::NoKernels { .. }), "a build without kernels needs no driver");
    fake.set("VERSION", 13000);
    fake.set("CAPABILITY", 75);
    assert_eq!(open(0, &IMAGES), CudaError::DeviceTooOld { device: "Fake GPU 0".into(), capability: 75 });
    assert_eq!(fake.seen("contexts"), 0, "nothing is made on a device that cannot be used");
    fake.set("CAPABILITY", 90);
    drop(device());
    fake.nothing_is_left();
});

in_child!(a_callers_slices_are_used_without_a_copy, child_slices, [[("FAKE_COUNT", "2")]], |fake| {
    let context = CudaContext::new(0).unwrap();
    let (ours, theirs) = (context.new_stream().unwrap(), context.new_stream().unwrap());
    let driver = CudarcDriver::from_stream(Arc::clone(&ours), &IMAGES).unwrap();
    let device = CudaDevice::from_driver(Arc::new(driver));
    assert_eq!(device.cudarc_stream(), Some(&ours));

    // In and out again: the same memory, ordered with its own stream each time.
    let slice = theirs.clone_htod(&[1f32, 2.0, 3.0]).unwrap();
    let waits = fake.seen("waits");
    let buffer = DeviceBuffer::wrap_cuda_slice(&device, slice).unwrap();
    assert!(fake.seen("waits") > waits);
    let (address, waits, allocations) = (buffer.ptr(), fake.seen("waits"), fake.seen("allocations"));
    let slice = buffer.into_cuda_slice::<f32>().unwrap();
    assert!(fake.seen("waits") > waits);
    assert_eq!((theirs.clone_dtoh(&slice).unwrap(), fake.seen("allocations")), (vec![1.0, 2.0, 3.0], allocations));

    // A share: the caller keeps reading it, and what it gives back is a copy.
    let shared = Arc::new(slice);
    let buffer = DeviceBuffer::wrap_cuda_slice(&device, Arc::clone(&shared)).unwrap();
    assert_eq!(buffer.ptr(), address);
    let copy = buffer.into_cuda_slice::<f32>().unwrap();
    assert_eq!(ours.clone_dtoh(&copy).unwrap(), [1.0, 2.0, 3.0]);
    assert_eq!(fake.seen("allocations"), allocations + 1);

    // Where a buffer goes, the slice's stream waits for ours before it may free the memory.
    let buffer = DeviceBuffer::wrap_cuda_slice(&device, Arc::clone(&shared)).unwrap();
    let waits = fake.seen("waits");
    drop(buffer);
    assert_eq!(fake.seen("waits"), waits + 1);

    // Memory of ours goes to the caller without a copy when nobody else has it.
    let buffer = DeviceBuffer::upload(&device, bytemuck::cast_slice(&[f16::ONE; 6])).unwrap();
    let (clone, allocations) = (buffer.clone(), fake.seen("allocations"));
    drop(clone.into_cuda_slice::<f16>().unwrap());
    let slice = buffer.into_cuda_slice::<f16>().unwrap();
    assert_eq!((ours.clone_dtoh(&slice).unwrap(), fake.seen("allocations")), (vec![f16::ONE; 6], allocations));
    let odd = DeviceBuffer::zeros(&device, 5).unwrap().into_cuda_slice::<f32>().unwrap_err();
    assert!(matches!(odd, Error::Length { expected: 8, found: 5, .. }), "{odd}");
    assert_eq!(DeviceBuffer::new(&device, 0).unwrap().into_cuda_slice::<f32>().unwrap().len(), 0);

    // Another context, and memory that kernels could not load from.
    let elsewhere = CudaContext::new(1).unwrap().default_stream().clone_htod(&[1f32]).unwrap();
    let error = DeviceBuffer::wrap_cuda_slice(&device, elsewhere).unwrap_err();
    assert!(matches!(&error, Error::WrongDevice { found, .. } if found.contains("CUDA device 1")), "{error}");
    let whole = DeviceBuffer::zeros(&device, 64).unwrap();
    // SAFETY: inside a living buffer, and leaked below, not freed.
    let inside = Arc::new(unsafe { ours.upgrade_device_ptr::<f32>(whole.ptr() + 4, 4) });
    let error = DeviceBuffer::wrap_cuda_slice(&device, Arc::clone(&inside)).unwrap_err().to_string();
    assert!(error.contains("aligned to 16 bytes"), "{error}");
    Arc::try_unwrap(inside).unwrap().leak();

    drop((slice, copy, shared, whole, device, ours, theirs, context));
    fake.nothing_is_left();
});

fn multiply(device: &CudaDevice, dtype: Dtype, [m, n, k]: [usize; 3]) -> Result<Vec<f32>> {
    let x: Vec<f32> = (0..m * k).map(|i| (i % 7) as f32 - 3.0).collect();
    let w: Vec<f32> = (0..n * k).map(|i| (i % 5) as f32 - 2.0).collect();
    let upload = |values: &[f32]| DeviceBuffer::upload(device, bytemuck::cast_slice(values));
    let (x, w, y) = (upload(&x)?, upload(&w)?, upload(&vec![f32::NAN; m * n])?);
    let product = DenseProduct { dtype, m, n, k, x: x.ptr(), w: w.ptr(), y: y.ptr() };
    // SAFETY: the buffers live and have the shapes.
    unsafe { device.driver().dense(&product)? };
    let mut found = vec![0f32; m * n];
    y.download(bytemuck::cast_slice_mut(&mut found))?;
    Ok(found)
}

#[test]
fn dense_products_are_cublaslts() {
    let folder = fake_cuda::driver();
    let child = "cuda::real::driver_tests::child_dense";
    fake_cuda::run_test(child, folder.path(), &[("LIBRARY", "none")]);
    fake_cuda::library(folder.path(), "odd-name.so", include_str!("../../../tests/it/fake_cuda/libcublaslt.c"));
    let path = folder.path().join("odd-name.so");
    fake_cuda::run_test(child, folder.path(), &[("LIBRARY", "there"), ("LOWBIT_CUBLASLT", path.to_str().unwrap())]);
    fake_cuda::run_test(child, folder.path(), &[("LIBRARY", "wrong"), ("LOWBIT_CUBLASLT", "/no/such/library")]);
    std::fs::rename(&path, folder.path().join("libcublasLt.so.13")).unwrap();
    fake_cuda::run_test(child, folder.path(), &[("LIBRARY", "there")]);
    fake_cuda::run_test(child, folder.path(), &[("LIBRARY", "none"), ("FAKE_VERSION", "12040")]);
}

#[test]
#[ignore = "another test runs it with the fake driver"]
fn child_dense() {
    static OLD: Images = Images { fatbins: FATBINS, toolkit: (12, 0), missing: None };
    if !fake_cuda::is_child() {
        return;
    }
    let fake = Fake::new();
    let opened = CudarcDriver::open(0, &OLD);
    let there = match std::env::var("LIBRARY").unwrap().as_str() {
        "wrong" => {
            let error = cuda_error(opened).to_string();
            assert!(error.starts_with("loading LOWBIT_CUBLASLT: /no/such/library: "), "{error}");
            return;
        }
        library => library == "there",
    };
    let device = CudaDevice::from_driver(Arc::new(opened.unwrap()));
    assert_eq!(device.driver().has_dense(), there);
    if there {
        dense_is_right(&fake, &device);
    } else {
        let error = cuda_error(multiply(&device, Dtype::F32, [2, 3, 4])).to_string();
        assert!(error.contains("there is no cuBLASLt"), "{error}");
    }
    drop(device);
    fake.nothing_is_left();
}

fn dense_is_right(fake: &Fake, device: &CudaDevice) {
    for [m, n, k] in [[1, 1, 1], [2, 3, 4], [5, 1, 7], [3, 8, 0]] {
        let expected: Vec<f32> = (0..m * n)
            .map(|at| {
                let (row, column) = (at / n, at % n);
                (0..k)
                    .map(|i| ((row * k + i) % 7) as f32 - 3.0)
                    .zip((0..k).map(|i| ((column * k + i) % 5) as f32 - 2.0))
                    .map(|(x, w)| x * w)
                    .sum()
            })
            .collect();
        assert_eq!(multiply(device, Dtype::F32, [m, n, k]).unwrap(), expected, "{m} × {n} × {k}");
    }
    // No algorithm, and an empty product.
    let error = cuda_error(multiply(device, Dtype::F32, [2, 2, 13])).to_string();
    assert_eq!(error, "cublasLtMatmulAlgoGetHeuristic: CUBLAS_STATUS_NOT_SUPPORTED (15)");
    assert!(multiply(device, Dtype::F32, [0, 3, 4]).unwrap().is_empty());
    // The type reaches the library, which has only one.
    assert!(cuda_error(multiply(device, Dtype::Bf16, [2, 3, 4])).to_string().contains("INVALID_VALUE (7)"));

    // Asked once; captured from then on.
    let name = std::env::var("LOWBIT_CUBLASLT").unwrap_or("libcublasLt.so.13".into());
    // SAFETY: loaded already; the types are those of the C text.
    let count = |function: &str| unsafe {
        Library::new(&name).unwrap().get::<unsafe extern "C" fn() -> c_int>(function).unwrap()()
    };
    let asked = count("fake_lt_asked");
    let buffers = [64, 64, 64].map(|bytes| DeviceBuffer::zeros(device, bytes).unwrap());
    let [x, w, y] = buffers.each_ref().map(DeviceBuffer::ptr);
    let product = DenseProduct { dtype: Dtype::F32, m: 2, n: 2, k: 3, x, w, y };
    for capturing in [0, 1, 1] {
        fake.set("CAPTURING", capturing);
        // SAFETY: the buffers live and have the shapes.
        unsafe { device.driver().dense(&product) }.unwrap();
    }
    fake.set("CAPTURING", 0);
    assert_eq!(count("fake_lt_asked"), asked + 1);
    assert_eq!(count("fake_lt_alive"), 1, "the handle, and no descriptor");
}
