//! `lowbit devices`: what this machine and this build have to compute with.

use serde_json::Value;
use serde_json::json;

use super::Failure;
use super::output;
use crate::cpu::Isa;
use crate::cuda::Gpu;
use crate::cuda::Inventory;
use crate::error::CudaError;

/// `lowbit devices`.
pub fn devices(json: bool) -> Result<(), Failure> {
    let inventory = Inventory::take();
    if json {
        return Ok(output::print_json(&as_json(&inventory))?);
    }
    Ok(output::print_text(&as_text(&inventory))?)
}

fn as_json(inventory: &Inventory) -> Value {
    let kernels = &inventory.kernels;
    json!({
        "cpu": {
            "kernels": Isa::best().name(),
            "available": Isa::available().iter().map(|isa| isa.name()).collect::<Vec<_>>(),
            "threads": rayon::current_num_threads(),
        },
        "cuda_kernels": {
            "architectures": kernels.archs,
            "toolkit": kernels.missing.is_none().then(|| toolkit(inventory)),
            "missing": kernels.missing,
        },
        "driver": {
            "cuda": inventory.driver.as_ref().ok().map(|version| cuda_version(*version)),
            "error": message(&inventory.driver),
        },
        "cublaslt": {
            "path": found_dense(inventory).map(|dense| dense.path.display().to_string()),
            "version": found_dense(inventory).map(|dense| dense_version(dense.version)),
            "error": message(&inventory.dense),
        },
        "gpus": inventory.gpus.iter().enumerate().map(|(index, gpu)| gpu_json(index, gpu)).collect::<Vec<_>>(),
    })
}

fn gpu_json(index: usize, gpu: &Result<Gpu, CudaError>) -> Value {
    match gpu {
        Err(error) => json!({ "index": index, "error": error.to_string() }),
        Ok(Gpu { limits, usable }) => json!({
            "index": index,
            "name": limits.name,
            "capability": capability(limits.capability),
            "memory_bytes": limits.memory_bytes,
            "sms": limits.num_sms,
            "l2_bytes": limits.l2_bytes,
            "shared_bytes_per_block": limits.shared_bytes_per_block,
            "shared_bytes_per_sm": limits.shared_bytes_per_sm,
            "threads_per_sm": limits.threads_per_sm,
            "error": message(usable),
        }),
    }
}

fn as_text(inventory: &Inventory) -> String {
    let names: Vec<&str> = Isa::available().iter().map(|isa| isa.name()).collect();
    let (best, threads) = (Isa::best().name(), rayon::current_num_threads());
    let mut lines = vec![format!("{best} on {threads} threads; kernels this CPU can run: {}", names.join(", "))];
    lines.push(match &inventory.kernels.missing {
        Some(why) => format!("CUDA kernels: none: {why}"),
        None => {
            let archs = inventory.kernels.archs.join(", sm_");
            format!("CUDA kernels: sm_{archs}, compiled by CUDA {}", toolkit(inventory))
        }
    });
    match &inventory.driver {
        Err(error) => lines.push(format!("GPU: none: {error}")),
        Ok(version) => {
            lines.push(format!("NVIDIA driver: CUDA {}", cuda_version(*version)));
            lines.push(dense_line(inventory));
            lines.push(gpu_table(inventory));
        }
    }
    lines.join("\n")
}

fn dense_line(inventory: &Inventory) -> String {
    match &inventory.dense {
        Ok(Some(dense)) => format!("cuBLASLt: {} at {}", dense_version(dense.version), dense.path.display()),
        Ok(None) => "cuBLASLt: not found (LOWBIT_CUBLASLT=/path/of/libcublasLt.so.13 names it); lowbit's own kernel \
                     multiplies dense matrices"
            .into(),
        Err(error) => format!("cuBLASLt: {error}"),
    }
}

fn gpu_table(inventory: &Inventory) -> String {
    let mut table =
        output::table(&["GPU", "index", "capability", "memory", "SMs", "L2", "shared per block", "shared per SM"]);
    let mut notes = Vec::new();
    for (index, gpu) in inventory.gpus.iter().enumerate() {
        let (row, note) = match gpu {
            Err(error) => (vec!["?".into(), index.to_string()], Some(error)),
            Ok(Gpu { limits, usable }) => {
                let row = vec![
                    limits.name.clone(),
                    index.to_string(),
                    capability(limits.capability),
                    output::bytes(limits.memory_bytes as u64),
                    limits.num_sms.to_string(),
                    // Caches come in powers of two, and are known by these numbers.
                    format!("{} MiB", limits.l2_bytes >> 20),
                    format!("{} KiB", limits.shared_bytes_per_block >> 10),
                    format!("{} KiB", limits.shared_bytes_per_sm >> 10),
                ];
                (row, usable.as_ref().err())
            }
        };
        table.add_row(row);
        notes.extend(note.map(|error| format!("\nGPU {index} cannot be used: {error}")));
    }
    format!("{table}{}", notes.concat())
}

fn message<T>(result: &Result<T, CudaError>) -> Option<String> {
    result.as_ref().err().map(CudaError::to_string)
}

fn found_dense(inventory: &Inventory) -> Option<&crate::cuda::DenseLibrary> {
    inventory.dense.as_ref().ok()?.as_ref()
}

fn toolkit(inventory: &Inventory) -> String {
    let (major, minor) = inventory.kernels.toolkit;
    format!("{major}.{minor}")
}

/// 1000 × major + 10 × minor as people write it.
pub fn cuda_version(number: u32) -> String {
    format!("{}.{}", number / 1000, number % 1000 / 10)
}

/// 10000 × major + 100 × minor + patch as people write it.
pub fn dense_version(number: usize) -> String {
    format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100)
}

/// 10 × major + minor as people write it.
fn capability(number: u32) -> String {
    format!("{}.{}", number / 10, number % 10)
}
