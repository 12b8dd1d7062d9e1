//! `lowbit devices`.

use serde_json::json;

use super::Failure;
use super::output;
use crate::cpu::Isa;

/// `lowbit devices`.
pub fn devices(json: bool) -> Result<(), Failure> {
    let (best, all) = (Isa::best(), Isa::available());
    let threads = rayon::current_num_threads();
    if json {
        return Ok(output::print_json(&json!({
            "cpu": {
                "kernels": best.name(),
                "available": all.iter().map(|isa| isa.name()).collect::<Vec<_>>(),
                "threads": threads,
            },
            "gpus": [],
        }))?);
    }
    let names: Vec<&str> = all.iter().map(|isa| isa.name()).collect();
    Ok(output::print_text(&format!(
        "{} on {threads} threads; kernels this CPU can run: {}\nno GPU kernels are in this version",
        best.name(),
        names.join(", ")
    ))?)
}
