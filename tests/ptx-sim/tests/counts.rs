//! Counts of small kernels, against numbers worked out by hand.

use ptx_sim::Class;
use ptx_sim::Counts;
use ptx_sim::Launch;
use ptx_sim::Memory;
use ptx_sim::Module;

/// Runs `blocks` blocks of 64 threads; `%r1` is the thread number, `%rd1` points at 64 KiB of ones.
fn counts(body: &str, blocks: u32, host_threads: usize) -> Counts {
    let text = format!(
        ".version 9.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 p)\n{{\n.reg .pred %p<9>;\n\
         .reg .b16 %h<9>; .reg .b32 %r<40>; .reg .f32 %f<9>; .reg .b64 %rd<40>;\n.shared .align 128 .b8 s[16384];\n\
         ld.param.u64 %rd1, [p]; mov.u32 %r1, %tid.x; mov.u32 %r2, s;\n{body}\nret;\n}}\n"
    );
    let module = Module::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let memory = Memory::new();
    let pointer = memory.alloc(65536).unwrap();
    memory.fill(pointer, 1, 65536).unwrap();
    let params: &[&[u8]] = &[&pointer.to_le_bytes()];
    let launch = Launch { host_threads, ..Launch::new([blocks, 1, 1], [64, 1, 1], params) };
    module.launch("k", &launch, &memory).unwrap().counts
}

fn one(body: &str) -> Counts {
    counts(body, 1, 1)
}

#[test]
fn classes_and_active_lanes() {
    let got = one(
        "add.u32 %r3, %r1, 1; mul.lo.u32 %r3, %r3, 3; setp.lt.u32 %p1, %r1, 10; @%p1 fma.rn.f32 %f1, %f1, %f1, %f1;\n\
                   cvt.rn.f32.u32 %f2, %r1; ex2.approx.f32 %f3, %f2; add.rn.f16x2 %r4, %r1, %r1;",
    );
    // Two warps; the addition and the comparison are integers, and only ten lanes of the first warp do the fma.
    assert_eq!((got.warp(Class::Integer), got.thread(Class::Integer)), (4, 128));
    assert_eq!((got.warp(Class::IntegerMultiply), got.thread(Class::IntegerMultiply)), (2, 64));
    assert_eq!((got.warp(Class::Float32), got.thread(Class::Float32)), (2, 10));
    assert_eq!((got.warp(Class::Convert), got.warp(Class::Special), got.warp(Class::Float16)), (2, 2, 2));
    assert_eq!((got.warp(Class::Constant), got.warp(Class::Move), got.warp(Class::Control)), (2, 4, 2));
    assert_eq!(got.scalar_macs, 10);
    assert_eq!(got.total_warp(), 4 + 2 + 2 + 6 + 2 + 4 + 2);
    assert_eq!(one("fma.rn.f16x2 %r3, %r1, %r1, %r1; dp4a.s32.s32 %r3, %r1, %r1, %r1;").scalar_macs, 64 * (2 + 4));
}

#[test]
fn divergence_counts_each_side() {
    let got = one(
        "setp.lt.u32 %p1, %r1, 40; @%p1 bra A; add.u32 %r3, %r1, 1; add.u32 %r3, %r1, 1; bra E;\nA: add.u32 %r3, %r1, 2;\nE:",
    );
    // The first warp goes one way (1 addition), the second both (3); 40 threads add once, 24 twice.
    assert_eq!((got.warp(Class::Integer), got.thread(Class::Integer)), (2 + 4, 64 + 40 + 48));
}

#[test]
fn sectors_of_global_memory() {
    let strided = |bytes: u32, stride: u32, offset: u32| {
        let ty = match bytes {
            4 => "u32 %r5",
            _ => "v4.u32 {%r5, %r6, %r7, %r8}",
        };
        let got = one(&format!(
            "mul.wide.u32 %rd2, %r1, {stride}; add.u64 %rd2, %rd2, %rd1; ld.global.{ty}, [%rd2+{offset}];"
        ));
        (got.global_loads.requests, got.global_loads.sectors, got.global_loads.bytes)
    };
    assert_eq!(strided(4, 4, 0), (2, 8, 256));
    // Shifted by half a sector: each warp touches one more.
    assert_eq!(strided(4, 4, 16), (2, 10, 256));
    assert_eq!(strided(4, 0, 0), (2, 2, 256));
    assert_eq!(strided(4, 32, 0), (2, 64, 256));
    assert_eq!(strided(16, 16, 0), (2, 32, 1024));
    let stores = one("mul.wide.u32 %rd2, %r1, 64; add.u64 %rd2, %rd2, %rd1; st.u32 [%rd2], %r1;");
    assert_eq!((stores.global_stores.sectors, stores.global_loads.requests), (64, 0));
    let copies =
        one("shl.b32 %r3, %r1, 4; add.u32 %r3, %r3, %r2; mul.wide.u32 %rd2, %r1, 64; add.u64 %rd2, %rd2, %rd1;\n\
                      cp.async.cg.shared.global [%r3], [%rd2], 16, 4; cp.async.wait_all;");
    assert_eq!((copies.async_copies.sectors, copies.async_copies.bytes, copies.shared_stores.bytes), (64, 256, 1024));
}

#[test]
fn wavefronts_of_shared_memory() {
    let stored = |stride: u32, ty: &str| {
        let got = one(&format!("mul.lo.u32 %r3, %r1, {stride}; add.u32 %r3, %r3, %r2; st.shared.{ty}"));
        (got.shared_stores.wavefronts, got.shared_stores.ideal_wavefronts)
    };
    assert_eq!(stored(4, "u32 [%r3], %r1;"), (2, 2));
    assert_eq!(stored(8, "u32 [%r3], %r1;"), (4, 2));
    assert_eq!(stored(128, "u32 [%r3], %r1;"), (64, 2));
    assert_eq!(stored(132, "u32 [%r3], %r1;"), (2, 2));
    assert_eq!(stored(2, "u16 [%r3], %h1;"), (2, 2));
    // 8 bytes a lane go in halves of the warp, 16 in quarters.
    assert_eq!(stored(8, "v2.u32 [%r3], {%r1, %r1};"), (4, 4));
    assert_eq!(stored(16, "v4.u32 [%r3], {%r1, %r1, %r1, %r1};"), (8, 8));
    assert_eq!(stored(128, "v4.u32 [%r3], {%r1, %r1, %r1, %r1};"), (64, 8));
    // One word for all lanes costs one pass.
    let broadcast = one("st.shared.u32 [%r2], 1; bar.sync 0; ld.shared.u32 %r4, [%r2];");
    assert_eq!((broadcast.shared_loads.wavefronts, broadcast.shared_loads.bytes), (2, 256));
}

#[test]
fn sums_do_not_depend_on_host_threads() {
    let body = "mul.lo.u32 %r3, %r1, 8; add.u32 %r3, %r3, %r2; st.shared.u32 [%r3], %r1; bar.sync 0; ld.shared.u32 %r4, [%r3];\n\
                mov.u32 %r5, %ctaid.x; setp.gt.u32 %p1, %r5, 50; @%p1 red.global.add.u32 [%rd1], 1;";
    let expected = counts(body, 100, 1);
    assert_eq!(expected.blocks, 100);
    assert_eq!(expected.thread(Class::Atomic), 49 * 64);
    for host_threads in [2, 3, 7] {
        assert_eq!(counts(body, 100, host_threads), expected);
    }
    assert!(expected.to_string().contains("shared stores 200 requests, 400 wavefronts (200 without conflicts)"));
}
