//! What can be read from a kernel without running it: pure functions over PTX, disassembly and what ptxas says.

/// One `.entry` of a PTX text.
#[derive(Debug, Default, PartialEq)]
pub struct Entry {
    pub name: String,
    /// Threads of a block at most, from `__launch_bounds__`.
    pub max_threads: Option<u32>,
    /// Blocks that must fit on a multiprocessor.
    pub min_blocks: u32,
    /// Bytes of all parameters.
    pub param_bytes: usize,
}

/// The entries of a PTX text with their bounds and parameters.
pub fn entries(ptx: &str) -> Vec<Entry> {
    ptx.split(".entry ").skip(1).map(entry).collect()
}

fn entry(text: &str) -> Entry {
    let name = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).next().unwrap_or_default();
    let mut entry = Entry { name: name.to_string(), min_blocks: 1, ..Entry::default() };
    for line in text.lines().take_while(|line| !line.starts_with('{')) {
        let words: Vec<&str> = line.split([' ', '\t', ',']).filter(|word| !word.is_empty()).collect();
        let product = || words[1..].iter().map(|n| n.parse::<u32>().unwrap()).product();
        match words.first() {
            Some(&(".maxntid" | ".reqntid")) => entry.max_threads = Some(product()),
            Some(&".minnctapersm") => entry.min_blocks = product(),
            Some(&".param") => entry.param_bytes += param_bytes(&words),
            _ => {}
        }
    }
    entry
}

/// Of `.param .align 8 .b8 name[40]` or `.param .u64 name`.
fn param_bytes(words: &[&str]) -> usize {
    let count = words.last().and_then(|name| name.split(['[', ']']).nth(1)).map_or(1, |n| n.parse().unwrap());
    let is_kind = |word: &&&str| word.starts_with('.') && word.ends_with(|c: char| c.is_ascii_digit());
    let kind = words.iter().find(is_kind).unwrap();
    let bits: usize = kind.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
    count * bits / 8
}

/// What is wrong by the output of nvcc and `ptxas -v`: warnings, wgmma that is serialized (C75xx), spills, a stack.
pub fn log_complaints(log: &str) -> Vec<String> {
    let is_code =
        |line: &str| line.match_indices("C75").any(|(i, _)| line[i + 3..].starts_with(|c: char| c.is_ascii_digit()));
    let is_bad = |line: &str| {
        let numbers = line.split("bytes").filter_map(|part| part.split(' ').rfind(|word| !word.is_empty()));
        let spills = line.contains("bytes stack frame") && numbers.filter_map(|n| n.parse::<u64>().ok()).any(|n| n > 0);
        spills || is_code(line) || line.to_lowercase().contains("warning")
    };
    log.lines().filter(|line| is_bad(line)).map(|line| line.trim().to_string()).collect()
}

/// Each entry and the registers that a thread of it uses, from `ptxas -v`.
pub fn registers(log: &str) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for part in log.split("Compiling entry function '").skip(1) {
        let name = part.split('\'').next().unwrap_or_default().to_string();
        let used = part.split("Used ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        found.extend(used.map(|used| (name, used)));
    }
    found
}

/// What is wrong with the registers of a kernel by its launch bounds: 65,536 on a multiprocessor, given to warps in
/// multiples of 256.
pub fn register_complaint(entry: &Entry, registers: u32) -> Option<String> {
    let Some(threads) = entry.max_threads else { return Some(format!("{} has no launch bounds", entry.name)) };
    let needed = threads.div_ceil(32) * (registers * 32).next_multiple_of(256) * entry.min_blocks;
    let Entry { name, min_blocks, .. } = entry;
    (needed > 65_536 || registers > 255)
        .then(|| format!("{name}: {registers} registers do not fit {min_blocks} blocks of {threads} threads"))
}

/// The instructions of each function in what `nvdisasm -c` prints.
pub fn instructions(disassembly: &str) -> Vec<(String, Vec<&str>)> {
    let mut functions: Vec<(String, Vec<&str>)> = Vec::new();
    for line in disassembly.lines() {
        if let Some(name) = line.strip_prefix(".text.").and_then(|rest| rest.strip_suffix(':')) {
            functions.push((name.to_string(), Vec::new()));
        } else if let (Some((_, code)), Some((_, list))) = (line.split_once("*/"), functions.last_mut()) {
            list.extend(code.split([' ', '\t', ';']).find(|word| !word.is_empty() && !word.starts_with('@')));
        }
    }
    functions
}

/// The instructions of the shortest loop of `function` that has as many matrix instructions as any: its main loop.
pub fn main_loop<'a>(disassembly: &'a str, function: &str) -> Vec<&'a str> {
    let is_matrix = |i: &&str| ["HMMA", "IMMA", "HGMMA", "IGMMA"].contains(&i.split('.').next().unwrap_or_default());
    let begin = format!(".text.{function}:");
    let lines = disassembly.lines().skip_while(|line| *line != begin).skip(1).take_while(|l| !l.starts_with(".text."));
    let (mut labels, mut code): (Vec<(&str, usize)>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut best: &[&str] = &[];
    let mut loops = Vec::new();
    for line in lines {
        if let Some(label) = line.trim().strip_suffix(':') {
            labels.push((label, code.len()));
        } else if let Some((_, text)) = line.split_once("*/") {
            code.extend(text.split([' ', '\t', ';']).find(|word| !word.is_empty() && !word.starts_with('@')));
            let target = text.split_once("`(").and_then(|(_, rest)| rest.split(')').next());
            loops.extend(labels.iter().find(|(label, _)| Some(*label) == target).map(|(_, at)| *at..code.len()));
        }
    }
    for range in loops {
        let (body, matrix) = (&code[range], |list: &[&str]| list.iter().filter(|i| is_matrix(i)).count());
        if matrix(body) > matrix(best) || matrix(body) == matrix(best) && body.len() < best.len() {
            best = body;
        }
    }
    best.to_vec()
}

/// Instructions that use local memory.
pub fn local_memory<'a>(instructions: &[&'a str]) -> Vec<&'a str> {
    instructions.iter().copied().filter(|i| ["LDL", "STL"].contains(&i.split('.').next().unwrap_or_default())).collect()
}

/// Whether one of the instructions is `promised`, or begins with it at a dot.
pub fn has(instructions: &[&str], promised: &str) -> bool {
    instructions.iter().any(|i| i.strip_prefix(promised).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

const PTX: &str = "\
.visible .entry gemm_x(
\t.param .u64 .ptr .align 1 gemm_x_param_0,
\t.param .align 8 .b8 gemm_x_param_1[40]
)
.maxntid 128, 2, 1
.minnctapersm 4
{
\t.reg .b32 %r<3>;
\tret;
}
.visible .entry gemm_y(
\t.param .u32 gemm_y_param_0
)
{
}
";

const LOG: &str = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'gemm_x' for 'sm_80'
ptxas info    : Function properties for gemm_x
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 31 registers, used 0 barriers, 360 bytes cmem[0]
";

const SASS: &str = "\
.text.gemm_x:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/              @!P0 HMMA.16816.F32 R4, R8, R2, R4 ;
        /*0020*/                   EXIT ;
.text.gemm_y:
        /*0000*/                   LDL.LU R3, [R1] ;
";

#[test]
fn entries_are_read() {
    let x = Entry { name: "gemm_x".to_string(), max_threads: Some(256), min_blocks: 4, param_bytes: 48 };
    let y = Entry { name: "gemm_y".to_string(), max_threads: None, min_blocks: 1, param_bytes: 4 };
    assert_eq!(entries(PTX), [x, y]);
}

#[test]
fn a_bad_log_is_found() {
    assert!(log_complaints(LOG).is_empty());
    for (good, bad) in [
        ("0 bytes stack", "8 bytes stack"),
        ("0 bytes spill stores", "16 bytes spill stores"),
        ("0 bytes spill loads", "4 bytes spill loads"),
        ("ptxas info    : 0 bytes", "ptxas info    : (C7510) Potential Performance Loss: wgmma is serialized, 0 bytes"),
        ("ptxas info    : 0 bytes", "cuda/x.cu(4): warning #177-D: variable \"t\" was declared but never referenced"),
    ] {
        assert!(LOG.contains(good));
        assert_eq!(log_complaints(&LOG.replacen(good, bad, 1)).len(), 1, "{bad}");
    }
}

#[test]
fn registers_are_held_against_the_launch_bounds() {
    assert_eq!(registers(LOG), [("gemm_x".to_string(), 31)]);
    let [x, y] = &entries(PTX)[..] else { panic!() };
    // 4 blocks of 8 warps: 65,536 / 1,024 = 64 registers.
    assert_eq!(register_complaint(x, 64), None);
    assert!(register_complaint(x, 65).is_some());
    assert!(register_complaint(y, 8).unwrap().contains("no launch bounds"));
}

#[test]
fn instructions_are_found() {
    let functions = instructions(SASS);
    assert_eq!(functions[0], ("gemm_x".to_string(), vec!["LDC", "HMMA.16816.F32", "EXIT"]));
    assert!(has(&functions[0].1, "HMMA.16816") && !has(&functions[0].1, "HMMA.168") && !has(&functions[0].1, "IMMA"));
    assert!(local_memory(&functions[0].1).is_empty());
    assert_eq!(local_memory(&functions[1].1), ["LDL.LU"]);
}
