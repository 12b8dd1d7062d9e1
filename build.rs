//! Compiles `cuda/*.cu` with nvcc, where there is one, into what the crate embeds. It knows no kernel, shape or GPU.
//!
//! `LOWBIT_KERNELS`: `require` (no kernels is an error), `skip`, or a folder of prebuilt fatbins. `LOWBIT_CUDA_ARCHS`:
//! build only for these. `LOWBIT_WRITE_KERNELS`: also write a folder of fatbins there (`make kernels`).

#[cfg(feature = "buildtime-bindgen")]
#[path = "build/args.rs"]
mod args;
#[cfg(feature = "cuda")]
#[path = "build/cache.rs"]
mod cache;
#[cfg(feature = "cuda")]
#[path = "build/generated.rs"]
mod generated;
#[cfg(feature = "cuda")]
#[path = "build/kernels.rs"]
mod kernels;
#[cfg(feature = "cuda")]
#[path = "build/nvcc.rs"]
mod nvcc;
#[cfg(feature = "cuda")]
#[path = "build/prebuilt.rs"]
mod prebuilt;
#[cfg(feature = "cuda")]
#[path = "build/source.rs"]
mod source;
#[cfg(feature = "cuda")]
#[path = "build/tables.rs"]
mod tables;
#[cfg(any(feature = "cuda", feature = "buildtime-bindgen"))]
#[path = "build/target.rs"]
mod target;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if let Err(message) = run() {
        for line in message.lines().filter(|line| !line.trim().is_empty()) {
            println!("cargo::error={line}");
        }
        std::process::exit(1);
    }
}

fn run() -> Result<(), String> {
    #[cfg(feature = "buildtime-bindgen")]
    args::generate()?;
    #[cfg(feature = "cuda")]
    kernels::embed()?;
    Ok(())
}
