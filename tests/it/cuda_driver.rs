//! Finding a driver, through the public API and the tool: every test in a process that finds a libcuda which has no GPU
//! (`fake_cuda/libcuda.c`), answers with an error, or is not one.

use std::path::Path;

use lowbit::Device;
use lowbit::Error;
use lowbit::cuda::Inventory;
use lowbit::error::CudaError;
use tempfile::TempDir;

use crate::fake_cuda;
use crate::support;

/// What a child that sees `folder` gets for `Device::cuda(0)`; it also checks what must hold for every such machine.
fn cuda_0(folder: &Path, settings: &[(&str, &str)]) -> String {
    let text = fake_cuda::run_test("cuda_driver::child_opens_cuda_0", folder, settings);
    let line = text.lines().find_map(|line| line.split_once("cuda:0 is ")).expect("the child's line");
    line.1.to_string()
}

#[test]
#[ignore = "others run it with a fake driver"]
fn child_opens_cuda_0() {
    if !fake_cuda::is_child() {
        return;
    }
    let error = match Device::cuda(0) {
        Err(Error::Cuda(error)) => error,
        other => panic!("{other:?}"),
    };
    let falls_back =
        matches!(error, CudaError::NotBuilt | CudaError::NoDriver | CudaError::NoDevice | CudaError::NoKernels { .. });
    match Device::best() {
        Ok(best) => assert!(falls_back && best == Device::cpu(), "{error}: {best:?}"),
        Err(other) => assert!(!falls_back && other.to_string() == error.to_string(), "{error}: {other}"),
    }
    assert!(support::gpu_of(Device::cuda(0), false).is_none());
    println!("cuda:0 is {error:?}: {error}");
}

/// A folder in which `libcuda.so.1` is this text.
fn folder_with(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fake_cuda::library(folder.path(), "libcuda.so.1", text);
    folder
}

fn is_built() -> bool {
    !matches!(Inventory::take().driver, Err(CudaError::NotBuilt))
}

#[test]
fn each_thing_that_is_missing_has_its_error() {
    if !is_built() {
        let found = cuda_0(fake_cuda::driver().path(), &[]);
        assert!(found.starts_with("NotBuilt: this build has no CUDA backend"), "{found}");
        return;
    }
    let kernels = Inventory::take().kernels;
    let folder = fake_cuda::driver();
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("FAKE_INIT", "100")], "NoDevice"),
        (&[("FAKE_INIT", "34")], "NoDriver"),
        (&[("FAKE_INIT", "803")], "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803)"),
        (&[("FAKE_INIT", "4711")], "CUDA error 4711"),
        (&[("FAKE_COUNT", "0")], "NoDevice"),
        (&[("FAKE_COUNT", "-1")], "NoDevice"),
        (&[("FAKE_VERSION", "11040")], if kernels.missing.is_some() { "NoKernels" } else { "DriverTooOld" }),
        (&[("FAKE_CAPABILITY", "75")], if kernels.missing.is_some() { "NoKernels" } else { "DeviceTooOld" }),
    ];
    for (settings, expected) in cases {
        let found = cuda_0(folder.path(), settings);
        assert!(found.contains(expected), "{settings:?}: {found}");
    }
    if kernels.missing.is_none() {
        let found = cuda_0(folder.path(), &[("FAKE_VERSION", "11040")]);
        assert!(found.contains("supports CUDA 11.4, these kernels need "), "{found}");
    }
}

#[test]
fn a_library_that_is_no_driver_is_an_error_and_no_panic() {
    if !is_built() {
        return;
    }
    let lacking = folder_with("int cuInit(unsigned f) { return 0; }\n");
    let found = cuda_0(lacking.path(), &[]);
    assert!(found.contains("loading libcuda: libcuda.so.1 has no function cuDriverGetVersion"), "{found}");
    // Not a library at all; where the machine has a driver, the loader goes on and finds that one.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("libcuda.so.1"), "no library").unwrap();
    if matches!(Inventory::take().driver, Err(CudaError::NoDriver)) {
        assert!(cuda_0(folder.path(), &[]).starts_with("NoDriver: no NVIDIA driver"));
        assert!(cuda_0(tempfile::tempdir().unwrap().path(), &[]).starts_with("NoDriver: no NVIDIA driver"));
    }
}

#[test]
fn without_a_device_a_gpu_test_is_skipped_or_fails() {
    let absent = || Err(CudaError::NoDriver.into());
    assert!(support::gpu_of(absent(), false).is_none());
    let failure = std::panic::catch_unwind(|| support::gpu_of(absent(), true)).expect_err("a failure");
    let failure = failure.downcast_ref::<String>().unwrap();
    assert!(failure.contains("REQUIRE_CUDA=1") && failure.contains("no NVIDIA driver"), "{failure}");
}

#[cfg(feature = "cli")]
mod tool {
    use serde_json::Value;

    use super::*;

    /// What `lowbit devices` prints where `folder` has the driver.
    fn devices(folder: &Path, args: &[&str], settings: &[(&str, &str)]) -> String {
        let args = [&["devices"], args].concat();
        let output = fake_cuda::run(Path::new(env!("CARGO_BIN_EXE_lowbit")), &args, folder, settings);
        assert!(output.status.success(), "{settings:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn devices_shows_every_gpu_and_why_one_cannot_be_used() {
        if !is_built() {
            return;
        }
        let folder = fake_cuda::driver();
        let text = include_str!("fake_cuda/libcublaslt.c");
        fake_cuda::library(folder.path(), "libcublasLt.so.13", text);
        let json: Value = serde_json::from_str(&devices(folder.path(), &["--json"], &[("FAKE_COUNT", "2")])).unwrap();
        assert_eq!((&json["driver"]["cuda"], &json["driver"]["error"]), (&"13.0".into(), &Value::Null));
        assert_eq!(json["cublaslt"]["version"], "13.1.0");
        let path = folder.path().join("libcublasLt.so.13").canonicalize().unwrap();
        assert_eq!(json["cublaslt"]["path"], path.to_str().unwrap());
        let gpus = json["gpus"].as_array().unwrap();
        assert_eq!((gpus.len(), &gpus[1]["name"]), (2, &"Fake GPU 1".into()));
        assert_eq!((&gpus[0]["capability"], &gpus[0]["sms"]), (&"9.0".into(), &132.into()));
        assert_eq!((&gpus[0]["l2_bytes"], &gpus[0]["memory_bytes"]), (&52_428_800.into(), &80_000_000_000u64.into()));
        assert_eq!(gpus[0]["shared_bytes_per_block"], 232_448);
        assert_eq!(gpus[0]["error"].is_null(), json["cuda_kernels"]["missing"].is_null());

        let shown = devices(folder.path(), &[], &[("FAKE_CAPABILITY", "75")]);
        for part in [
            "NVIDIA driver: CUDA 13.0",
            "cuBLASLt: 13.1.0 at /",
            "Fake GPU 0",
            " 7.5 |",
            "80.00 GB",
            "132",
            "50 MiB",
            "227 KiB",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(shown.contains("GPU 0 cannot be used: Fake GPU 0 has compute capability 7.5"), "{shown}");
    }

    #[test]
    fn devices_works_where_there_is_nothing() {
        let folder = fake_cuda::driver();
        let settings = [("FAKE_COUNT", "0")];
        let json: Value = serde_json::from_str(&devices(folder.path(), &["--json"], &settings)).unwrap();
        assert_eq!((&json["gpus"], &json["driver"]["cuda"]), (&Value::Array(Vec::new()), &Value::Null));
        let why = json["driver"]["error"].as_str().unwrap();
        assert!(why.contains(if is_built() { "sees no CUDA device" } else { "build with the feature" }), "{why}");
        let kernels = &json["cuda_kernels"];
        assert_eq!(kernels["missing"].is_null(), !kernels["architectures"].as_array().unwrap().is_empty());
        assert_eq!(kernels["missing"].is_null(), !kernels["toolkit"].is_null());
        let shown = devices(folder.path(), &[], &settings);
        assert!(shown.contains("kernels this CPU can run: CPU (scalar)") && shown.contains("GPU: none: "), "{shown}");
        assert!(shown.contains("CUDA kernels: "), "{shown}");
    }

    #[test]
    fn a_cublaslt_that_was_chosen_and_does_not_load_is_named() {
        if !is_built() {
            return;
        }
        let folder = fake_cuda::driver();
        let json = devices(folder.path(), &["--json"], &[("LOWBIT_CUBLASLT", "/no/such/library")]);
        let json: Value = serde_json::from_str(&json).unwrap();
        let error = json["cublaslt"]["error"].as_str().unwrap();
        assert!(error.starts_with("loading LOWBIT_CUBLASLT: /no/such/library"), "{error}");
        assert_eq!(json["cublaslt"]["path"], Value::Null);
    }
}
