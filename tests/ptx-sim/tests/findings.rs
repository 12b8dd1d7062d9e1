//! Planted bugs, each of which must be found at the right line and thread; and the same kernels without the bug, which
//! must be clean.

use ptx_sim::Finding;
use ptx_sim::FindingKind;
use ptx_sim::Launch;
use ptx_sim::LaunchError;
use ptx_sim::Memory;
use ptx_sim::Module;
use ptx_sim::Report;

const HEADER: &str = ".version 9.0\n.target sm_80\n.address_size 64\n";

/// A kernel with one pointer parameter, in `%rd1`, and `%r1` the thread number. The first line of `body` is line 14.
fn kernel(body: &str) -> String {
    format!(
        "{HEADER}.visible .entry k(.param .u64 p)\n{{\n.reg .pred %p<9>; .reg .b16 %h<9>;\n.reg .b32 %r<99>;\n\
         .reg .b64 %rd<99>;\n.shared .align 16 .b8 s[512];\n.loc 1 1 1\nld.param.u64 %rd1, [p];\n\
         mov.u32 %r1, %tid.x;\n.loc 1 7 3\n{body}\nret;\n}}\n.file 1 \"planted.cu\"\n"
    )
}

const FIRST_LINE: u32 = 14;

fn run_with(body: &str, threads: u32, seed: u64, written: u64) -> Report {
    let text = kernel(body);
    let module = Module::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let memory = Memory::new();
    let pointer = memory.alloc(1024).unwrap();
    memory.fill(pointer, 1, written).unwrap();
    let params: &[&[u8]] = &[&pointer.to_le_bytes()];
    module.launch("k", &Launch { seed, ..Launch::new([1, 1, 1], [threads, 1, 1], params) }, &memory).unwrap()
}

fn run(body: &str, threads: u32) -> Report {
    run_with(body, threads, 1, 1024)
}

fn assert_clean(body: &str, threads: u32) {
    for seed in 0..4 {
        let report = run_with(body, threads, seed, 1024);
        assert!(report.findings.is_empty(), "{body}\n{}", report.findings[0]);
    }
}

fn find(report: &Report, kind: FindingKind) -> &Finding {
    let all: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    report.findings.iter().find(|finding| finding.kind == kind).unwrap_or_else(|| panic!("no {kind:?} in {all:?}"))
}

/// The bug is found whatever the order of warps, at line `line` of `body` (from 0).
fn assert_found(body: &str, threads: u32, kind: FindingKind, line: u32) -> Finding {
    for seed in 0..8 {
        let report = run_with(body, threads, seed, 1024);
        let finding = find(&report, kind);
        assert!(finding.source.as_ref().is_some_and(|source| source.is_at("planted.cu", 7)), "{finding}");
        if line != u32::MAX {
            assert_eq!(finding.ptx_line, FIRST_LINE + line, "{finding}");
        }
    }
    find(&run(body, threads), kind).clone()
}

const ANY_LINE: u32 = u32::MAX;

/// Each thread writes its word, then reads its neighbour's.
fn exchange(between: &str, neighbour: u32) -> String {
    format!(
        "mov.u32 %r2, s;\nshl.b32 %r3, %r1, 2;\nadd.u32 %r4, %r2, %r3;\nst.shared.u32 [%r4], %r1;\n{between}\n\
         xor.b32 %r5, %r3, {};\nadd.u32 %r6, %r2, %r5;\nld.shared.u32 %r7, [%r6];",
        4 * neighbour
    )
}

#[test]
fn missing_barrier_between_warps() {
    assert_clean(&exchange("bar.sync 0;", 32), 128);
    let body = exchange("", 32);
    for seed in 0..8 {
        let report = run_with(&body, 64, seed, 1024);
        // Which of the two accesses comes second depends on the order of the warps.
        let found = report.findings.iter().any(|finding| {
            matches!(finding.kind, FindingKind::Race) && [FIRST_LINE + 3, FIRST_LINE + 7].contains(&finding.ptx_line)
        });
        assert!(found, "seed {seed}: {:?}", report.findings);
    }
}

#[test]
fn missing_warp_barrier_within_a_warp() {
    assert_clean(&exchange("bar.warp.sync -1;", 1), 128);
    let finding = assert_found(&exchange("", 1), 32, FindingKind::Race, 7);
    assert_eq!(finding.thread, [0, 0, 0]);
    assert!(finding.message.contains("(1,0,0) at PTX line 17"), "{finding}");
    // A barrier of half a warp orders only that half.
    let halves = "setp.lt.u32 %p1, %r1, 16;\n@!%p1 bra B;\nbar.warp.sync 65535;\nB:";
    let body = exchange(halves, 1);
    let finding = assert_found(&body, 32, FindingKind::Race, ANY_LINE);
    assert_eq!(finding.thread, [16, 0, 0]);
}

#[test]
fn a_shuffle_orders_the_lanes_it_names() {
    assert_clean(&exchange("shfl.sync.idx.b32 %r9, %r1, 0, 31, -1;", 1), 32);
}

#[test]
fn neighbouring_halves_of_a_word_are_no_race() {
    let body = "mov.u32 %r2, s;\nshl.b32 %r3, %r1, 1;\nadd.u32 %r4, %r2, %r3;\ncvt.u16.u32 %h1, %r1;\nst.shared.u16 [%r4], %h1;\nld.shared.u16 %h2, [%r4];";
    assert_clean(body, 64);
}

#[test]
fn a_barrier_of_some_warps_orders_those() {
    let body = "mov.u32 %r2, s;\nshr.u32 %r8, %r1, 6;\nadd.u32 %r9, %r8, 1;\nshl.b32 %r3, %r1, 2;\nadd.u32 %r4, %r2, %r3;\n\
                st.shared.u32 [%r4], %r1;\nbar.sync %r9, 64;\nxor.b32 %r5, %r3, NEIGHBOUR;\nadd.u32 %r6, %r2, %r5;\n\
                ld.shared.u32 %r7, [%r6];";
    assert_clean(&body.replace("NEIGHBOUR", "128"), 128);
    let text = body.replace("NEIGHBOUR", "256");
    for seed in 0..8 {
        let report = run_with(&text, 128, seed, 1024);
        let kinds: Vec<FindingKind> = report.findings.iter().map(|finding| finding.kind).collect();
        assert!(kinds.contains(&FindingKind::Race), "seed {seed}: {kinds:?}");
    }
}

#[test]
fn producer_arrives_and_consumer_waits() {
    let body = "mov.u32 %r2, s;\nsetp.lt.u32 %p1, %r1, 32;\nshl.b32 %r3, %r1, 2;\n@!%p1 bra C;\nadd.u32 %r4, %r2, %r3;\n\
                st.shared.u32 [%r4], %r1;\nBARRIER\nbra E;\nC:\nbar.sync 1, 64;\nadd.u32 %r5, %r2, %r3;\n\
                ld.shared.u32 %r6, [%r5+-128];\nE:";
    assert_clean(&body.replace("BARRIER", "bar.arrive 1, 64;"), 64);
    let late = body.replace("st.shared.u32 [%r4], %r1;\nBARRIER", "bar.arrive 1, 64;\nst.shared.u32 [%r4], %r1;");
    let report = run(&late, 64);
    assert!(report.findings.iter().any(|f| matches!(f.kind, FindingKind::Race | FindingKind::Unwritten)));
}

const COPY: &str = "mov.u32 %r2, s;\nshl.b32 %r3, %r1, 4;\nadd.u32 %r4, %r2, %r3;\ncvt.u64.u32 %rd2, %r3;\n\
                    add.u64 %rd3, %rd1, %rd2;\ncp.async.ca.shared.global [%r4], [%rd3], 16;\ncp.async.commit_group;\n\
                    WAIT\nBARRIER\nxor.b32 %r5, %r4, 16;\nld.shared.v4.u32 {%r6, %r7, %r8, %r9}, [%r5];";

#[test]
fn missing_wait_of_an_asynchronous_copy() {
    let good = COPY.replace("WAIT", "cp.async.wait_group 0;").replace("BARRIER", "bar.sync 0;");
    assert_clean(&good, 32);
    let missing = COPY.replace("WAIT", "").replace("BARRIER", "bar.sync 0;");
    let finding = assert_found(&missing, 32, FindingKind::MissingWait, 10);
    assert_eq!((finding.thread, finding.access.unwrap().2), ([0, 0, 0], 16));
    let one_short = COPY.replace("WAIT", "cp.async.wait_group 1;").replace("BARRIER", "bar.sync 0;");
    assert_found(&one_short, 32, FindingKind::MissingWait, 10);
    // The wait is the thread's own: others need a barrier after it.
    let no_barrier = COPY.replace("WAIT", "cp.async.wait_all;").replace("BARRIER", "");
    assert_found(&no_barrier, 32, FindingKind::Race, 10);
    let before = COPY.replace("WAIT", "bar.sync 0;").replace("BARRIER", "cp.async.wait_all;");
    assert_found(&before, 32, FindingKind::Race, 10);
}

#[test]
fn misaligned_vector_load() {
    let body = "cvt.u64.u32 %rd2, %r1;\nshl.b64 %rd3, %rd2, 3;\nadd.u64 %rd4, %rd1, %rd3;\n\
                ld.global.v2.u64 {%rd5, %rd6}, [%rd4];";
    assert_clean(body, 1);
    let finding = assert_found(body, 2, FindingKind::Misaligned, 3);
    assert_eq!((finding.thread, finding.access.unwrap().2), ([1, 0, 0], 16));
    assert_found("mov.u32 %r2, s;\nst.shared.u16 [%r2+1], %h1;", 1, FindingKind::Misaligned, 1);
}

#[test]
fn out_of_bounds_names_thread_and_line() {
    let body =
        "cvt.u64.u32 %rd2, %r1;\nshl.b64 %rd3, %rd2, 4;\nadd.u64 %rd4, %rd1, %rd3;\nst.global.u32 [%rd4+OFFSET], %r1;";
    assert_clean(&body.replace("OFFSET", "12"), 64);
    let finding = assert_found(&body.replace("OFFSET", "16"), 64, FindingKind::OutOfBounds, 3);
    assert_eq!(finding.thread, [63, 0, 0]);
    let finding = assert_found("st.shared.u32 [%r1+1533], %r1;", 4, FindingKind::OutOfBounds, 0);
    assert_eq!(finding.thread, [0, 0, 0]);
    assert_found("ld.shared.u8 %r2, [%r1];", 4, FindingKind::OutOfBounds, 0);
}

#[test]
fn reads_of_memory_nobody_wrote() {
    let finding = assert_found("mov.u32 %r2, s;\nld.shared.u32 %r3, [%r2];", 1, FindingKind::Unwritten, 1);
    assert_eq!(finding.thread, [0, 0, 0]);
    let body = "cvt.u64.u32 %rd2, %r1;\nadd.u64 %rd4, %rd1, %rd2;\nld.global.u8 %h1, [%rd4];";
    let report = run_with(body, 32, 0, 31);
    let finding = find(&report, FindingKind::Unwritten);
    assert_eq!((finding.thread, finding.ptx_line), ([31, 0, 0], FIRST_LINE + 2));
    assert!(run_with(body, 31, 0, 31).findings.is_empty());
    // One byte of sixteen.
    let body =
        "mov.u32 %r2, s;\nst.shared.v2.u64 [%r2], {%rd1, %rd1};\nld.shared.v4.u32 {%r3, %r4, %r5, %r6}, [%r2+16];";
    assert_found(body, 1, FindingKind::Unwritten, 2);
    let partly = "mov.u32 %r2, s;\nst.shared.u64 [%r2], %rd1;\nst.shared.u32 [%r2+8], %r1;\nst.shared.u16 [%r2+12], %h1;\n\
                  st.shared.u8 [%r2+14], %h1;\nld.shared.v4.u32 {%r3, %r4, %r5, %r6}, [%r2];";
    assert_found(partly, 1, FindingKind::Unwritten, 5);
}

#[test]
fn a_shuffle_with_an_absent_lane() {
    let body = "setp.lt.u32 %p1, %r1, 31;\n@!%p1 bra E;\nshfl.sync.bfly.b32 %r2, %r1, 1, 31, MASK;\nE:";
    let finding = assert_found(&body.replace("MASK", "-1"), 32, FindingKind::AbsentLane, 2);
    assert_eq!(finding.thread, [31, 0, 0]);
    // Lane 30 reads lane 31, whose register nobody offers.
    let finding = assert_found(&body.replace("MASK", "0x7fffffff"), 32, FindingKind::AbsentLane, 2);
    assert_eq!(finding.thread, [30, 0, 0]);
    assert_clean("shfl.sync.bfly.b32 %r2, %r1, 1, 31, -1;", 64);
    assert_found("shfl.sync.bfly.b32 %r2, %r1, 1, 31, -1;", 40, FindingKind::AbsentLane, 0);
}

#[test]
fn a_barrier_in_diverged_code() {
    let body = "setp.lt.u32 %p1, %r1, 16;\n@!%p1 bra E;\nbar.sync 0;\nE:\nbar.sync 0;";
    assert_found(body, 64, FindingKind::BarrierMisuse, 2);
    assert_found(body, 64, FindingKind::Deadlock, 2);
    let of_one_warp = "setp.lt.u32 %p1, %r1, 32;\n@!%p1 bra E;\nbar.sync 0;\nE:\nbar.sync 1;";
    let finding = assert_found(of_one_warp, 64, FindingKind::Deadlock, ANY_LINE);
    assert!(finding.message.contains("warp 0 waits at barrier 0 (32 of 64 threads) at PTX line 16"), "{finding}");
    assert!(finding.message.contains("warp 1 waits at barrier 1 (32 of 64 threads) at PTX line 18"), "{finding}");
    let exits = "setp.lt.u32 %p1, %r1, 32;\n@!%p1 ret;\nbar.sync 0;";
    assert_found(exits, 64, FindingKind::BarrierMisuse, 2);
}

#[test]
fn a_loop_without_end() {
    let text = kernel("L:\nadd.u32 %r2, %r2, 1;\nbra L;");
    let module = Module::parse(&text).unwrap();
    let params: &[&[u8]] = &[&[0; 8]];
    let launch = Launch { max_warp_instructions_per_block: 1000, ..Launch::new([1, 1, 1], [32, 1, 1], params) };
    let report = module.launch("k", &launch, &Memory::new()).unwrap();
    assert_eq!(find(&report, FindingKind::Deadlock).thread, [0, 0, 0]);
}

#[test]
fn lanes_of_one_store_may_agree() {
    assert_clean("mov.u32 %r2, s;\nmov.u32 %r3, 5;\nst.shared.u32 [%r2], %r3;", 32);
    assert_found("mov.u32 %r2, s;\nst.shared.u32 [%r2], %r1;", 32, FindingKind::Race, 1);
}

#[test]
fn atomics_do_not_race_with_each_other() {
    let body = "mov.u32 %r2, s;\nsetp.eq.u32 %p1, %r1, 0;\n@%p1 st.shared.u32 [%r2], 0;\nBARRIER\n\
                atom.shared.add.u32 %r3, [%r2], 1;";
    assert_clean(&body.replace("BARRIER", "bar.sync 0;"), 128);
    let report = run(&body.replace("BARRIER", ""), 128);
    assert!(report.findings.iter().any(|f| matches!(f.kind, FindingKind::Race | FindingKind::Unwritten)));
}

#[test]
fn freed_memory_and_pointers_from_nowhere() {
    let module = Module::parse(&kernel("ld.global.u32 %r2, [%rd1];")).unwrap();
    let memory = Memory::new();
    let pointer = memory.alloc(64).unwrap();
    memory.fill(pointer, 0, 64).unwrap();
    memory.free(pointer).unwrap();
    for address in [pointer, 0, 0xdead_0000] {
        let params: &[&[u8]] = &[&address.to_le_bytes()];
        let report = module.launch("k", &Launch::new([1, 1, 1], [1, 1, 1], params), &memory).unwrap();
        let finding = find(&report, FindingKind::OutOfBounds);
        assert_eq!(finding.message.contains("freed allocation of 64 bytes"), address == pointer, "{finding}");
    }
}

#[test]
fn stores_to_parameters_and_traps() {
    assert_found("st.param.u64 [p], %rd1;", 1, FindingKind::WriteToConst, 0);
    assert_found("trap;", 1, FindingKind::Trap, 0);
}

#[test]
fn findings_name_block_and_thread() {
    let module = Module::parse(&kernel(
        "mov.u32 %r2, %ctaid.y;\nsetp.eq.u32 %p1, %r2, 2;\nmov.u32 %r3, %tid.y;\n\
        setp.eq.and.u32 %p2, %r3, 3, %p1;\n@%p2 st.shared.u32 [0], %r1;",
    ))
    .unwrap();
    let params: &[&[u8]] = &[&[0; 8]];
    let launch = Launch::new([2, 3, 1], [16, 4, 1], params);
    let report = module.launch("k", &launch, &Memory::new()).unwrap();
    let places: Vec<_> = report.findings.iter().map(|finding| (finding.block, finding.thread)).collect();
    assert_eq!(places, [([0, 2, 0], [0, 3, 0]), ([1, 2, 0], [0, 3, 0])]);
    assert_eq!(report.suppressed_findings, 30);
}

fn parse_error(text: &str) -> String {
    Module::parse(text).expect_err("the text must be refused").to_string()
}

#[test]
fn what_is_not_known_is_refused() {
    for (body, expected) in [
        ("frobnicate.u32 %r2, %r1;", "PTX line 14: unknown instruction frobnicate.u32"),
        ("add.rq.u32 %r2, %r1, 1;", "PTX line 14: add.rq.u32: unknown modifier .rq"),
        ("add.u31 %r2, %r1, 1;", "PTX line 14: add.u31: a type that is known is missing"),
        ("mov.u32 %r2, %nosuch;", "PTX line 14: mov.u32: %nosuch is neither declared nor a special register"),
        ("add.u32 %r2, %r1;", "PTX line 14: add.u32: [3] operands expected, got 2"),
        ("bra NOWHERE;", "PTX line 14: bra: no label NOWHERE"),
        ("add.rz.f16 %h1, %h2, %h3;", "PTX line 14: add.rz.f16: "),
        ("cp.async.cg.shared.global [%r1], [%rd1], 8;", "a copy of 8 bytes"),
        (".surf .b32 x;", "expected a directive that is known, got .surf"),
    ] {
        let error = parse_error(&kernel(body));
        assert!(error.contains(expected), "{body}: {error}");
    }
    assert!(parse_error(".version 9.0\n.func f() { ret; }").contains(".func"));
}

#[test]
fn launches_that_the_hardware_refuses() {
    let text = format!("{HEADER}.visible .entry k(.param .u64 p)\n.maxntid 64, 1, 1\n{{ ret; }}");
    let module = Module::parse(&text).unwrap();
    let (memory, pointer) = (Memory::new(), [0u8; 8]);
    let params: &[&[u8]] = &[&pointer];
    let launch = |block, params| module.launch("k", &Launch::new([1, 1, 1], block, params), &memory);
    assert!(launch([64, 1, 1], params).is_ok());
    assert!(matches!(launch([65, 1, 1], params), Err(LaunchError::Limits(message)) if message.contains("at most 64")));
    assert!(matches!(launch([0, 1, 1], params), Err(LaunchError::Limits(_))));
    assert!(matches!(launch([1, 1, 1], &[]), Err(LaunchError::Parameters(_))));
    assert!(matches!(launch([1, 1, 1], &[&[0; 4]]), Err(LaunchError::Parameters(_))));
    let too_much = Launch { dynamic_shared_bytes: 227 * 1024 + 1, ..Launch::new([1, 1, 1], [1, 1, 1], params) };
    assert!(matches!(module.launch("k", &too_much, &memory), Err(LaunchError::Limits(_))));
    assert!(matches!(module.launch("nope", &too_much, &memory), Err(LaunchError::UnknownEntry(_))));
}
