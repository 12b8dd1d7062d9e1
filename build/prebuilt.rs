//! A folder of fatbins, written by one build and embedded by another: `kernels.txt` lists what is in it.
//!
//! ```text
//! toolkit 13.0
//! <stem> <hash of its source> <architecture of the PTX> <architectures of the machine code>
//! ```

use std::fs;
use std::path::Path;

use crate::generated;
use crate::generated::Fatbin;
use crate::generated::Outcome;
use crate::source::Source;

const LIST: &str = "kernels.txt";

/// Writes the fatbins of this build and the list of them.
pub fn write(folder: &Path, outcome: &Outcome) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    if let Some(reason) = &outcome.missing {
        return Err(format!("LOWBIT_WRITE_KERNELS: there are no kernels to write: {reason}"));
    }
    fs::create_dir_all(folder).map_err(failed)?;
    let mut list = format!("toolkit {}.{}\n", outcome.toolkit.0, outcome.toolkit.1);
    for Fatbin { stem, archs, ptx, source_hash, path } in &outcome.fatbins {
        fs::copy(path, folder.join(format!("{stem}.fatbin"))).map_err(failed)?;
        list += &format!("{stem} {source_hash} {ptx} {}\n", archs.join(" "));
    }
    generated::write(&folder.join(LIST), &list)
}

/// The fatbins of `folder`, if they were compiled from `sources`.
pub fn read(folder: &Path, sources: &[Source]) -> Result<Outcome, String> {
    let path = folder.join(LIST);
    let in_list = |e: &str| format!("LOWBIT_KERNELS: {}: {e}", path.display());
    let text = fs::read_to_string(&path).map_err(|e| {
        in_list(&format!("{e} (LOWBIT_KERNELS is `require`, `skip` or a folder that `make kernels` wrote)"))
    })?;
    let mut lines = text.lines();
    let toolkit = lines.next().and_then(toolkit).ok_or_else(|| in_list("line 1 is not `toolkit MAJOR.MINOR`"))?;
    let fatbins =
        lines.map(|line| entry(line, folder, sources).map_err(|e| in_list(&e))).collect::<Result<Vec<_>, _>>()?;
    if fatbins.is_empty() {
        return Err(in_list("it lists no fatbin"));
    }
    Ok(Outcome { missing: None, toolkit, toolkit_bin: None, fatbins, compiled: Vec::new() })
}

fn toolkit(line: &str) -> Option<(u32, u32)> {
    let (major, minor) = line.strip_prefix("toolkit ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn entry(line: &str, folder: &Path, sources: &[Source]) -> Result<Fatbin, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let &[stem, hash, ptx, ref archs @ ..] = words.as_slice() else {
        return Err(format!("`{line}` is not a stem, a hash, the PTX's architecture and the architectures"));
    };
    let source =
        sources.iter().find(|source| source.stem == stem).ok_or_else(|| format!("there is no cuda/{stem}.cu"))?;
    if source.hash.text() != hash {
        return Err(format!(
            "{stem}.fatbin was compiled from another version of cuda/{stem}.cu or of what it includes"
        ));
    }
    let path = folder.join(format!("{stem}.fatbin"));
    if !path.is_file() {
        return Err(format!("{} is missing", path.display()));
    }
    let archs = archs.iter().map(|arch| arch.to_string()).collect();
    Ok(Fatbin { stem: stem.to_string(), archs, ptx: ptx.to_string(), source_hash: hash.to_string(), path })
}
