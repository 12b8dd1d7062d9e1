//! Each instruction family with small inputs and results worked out by hand or by the same operation in Rust.

use ptx_sim::Launch;
use ptx_sim::Memory;
use ptx_sim::Module;

/// Runs one warp whose lane `i` gets `inputs(i)` in `%r1` (and in `%f1`), and returns what each leaves in `%r9`.
fn run_lanes(body: &str, inputs: impl Fn(u32) -> u32) -> Vec<u32> {
    run_wide(body, |lane| [inputs(lane), 0]).into_iter().map(|[low, _]| low).collect()
}

/// As [`run_lanes`], with a 64-bit input in `%rd1` and a 64-bit output from `%rd9`, unless `body` sets `%r9`.
fn run_wide(body: &str, inputs: impl Fn(u32) -> [u32; 2]) -> Vec<[u32; 2]> {
    let out = if body.contains("%rd9") { "" } else { "mov.b64 %rd9, {%r9, %r8};" };
    let text = format!(
        ".version 9.0\n.target sm_90a\n.address_size 64\n.const .align 4 .u32 table[4] = {{10, 20, 30, 40}};\n\
         .global .align 8 .u64 variable = 7;\n.visible .entry k(.param .u64 in, .param .u64 out)\n{{\n\
         .reg .pred %p<9>; .reg .b16 %h<9>; .reg .b32 %r<40>; .reg .f32 %f<9>; .reg .b64 %rd<40>; .reg .f64 %d<9>;\n\
         .shared .align 16 .b8 s[1024];\n.local .align 8 .b8 l[64];\n\
         mov.u32 %r30, %laneid; mul.wide.u32 %rd30, %r30, 8;\n\
         ld.param.u64 %rd31, [in]; add.u64 %rd31, %rd31, %rd30; ld.global.u64 %rd1, [%rd31];\n\
         ld.param.u64 %rd32, [out]; add.u64 %rd32, %rd32, %rd30;\n\
         cvt.u32.u64 %r1, %rd1; mov.b32 %f1, %r1; mov.b64 %d1, %rd1; mov.u32 %r8, 0;\n\
         {{\n{body}\n}}\n{out}\nst.global.u64 [%rd32], %rd9;\nret;\n}}\n"
    );
    let module = Module::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let memory = Memory::new();
    let (input, output) = (memory.alloc(256).unwrap(), memory.alloc(256).unwrap());
    for lane in 0..32 {
        let [low, high] = inputs(lane);
        memory.write(input + 8 * u64::from(lane), &(u64::from(high) << 32 | u64::from(low)).to_le_bytes()).unwrap();
    }
    let params: &[&[u8]] = &[&input.to_le_bytes(), &output.to_le_bytes()];
    let report = module.launch("k", &Launch::new([1, 1, 1], [32, 1, 1], params), &memory).unwrap();
    assert!(report.findings.is_empty(), "{body}: {}", report.findings[0]);
    let mut bytes = [0; 256];
    memory.read(output, &mut bytes).unwrap();
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    (0..32).map(|lane| [word(8 * lane), word(8 * lane + 4)]).collect()
}

/// The result of lane 0 where every lane has the same input.
fn run(body: &str, input: u32) -> u32 {
    run_lanes(body, |_| input)[0]
}

fn run64(body: &str, input: u64) -> u64 {
    let [low, high] = run_wide(body, |_| [input as u32, (input >> 32) as u32])[0];
    u64::from(high) << 32 | u64::from(low)
}

const SAMPLES: [u32; 9] = [0, 1, 2, 31, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1234_5678, 0xfff0_0001];

#[test]
fn integer_arithmetic() {
    for a in SAMPLES {
        let s = a as i32;
        for (body, expected) in [
            ("add.u32 %r9, %r1, 0x80000001;", a.wrapping_add(0x8000_0001)),
            ("sub.s32 %r9, 5, %r1;", 5u32.wrapping_sub(a)),
            ("add.sat.s32 %r9, %r1, 0x7fffff00;", s.saturating_add(0x7fff_ff00) as u32),
            ("sub.sat.s32 %r9, %r1, 0x7fffff00;", s.saturating_sub(0x7fff_ff00) as u32),
            ("mul.lo.s32 %r9, %r1, -7;", s.wrapping_mul(-7) as u32),
            ("mul.hi.s32 %r9, %r1, -7;", ((i64::from(s) * -7) >> 32) as u32),
            ("mul.hi.u32 %r9, %r1, 0xfffffff9;", ((u64::from(a) * 0xffff_fff9) >> 32) as u32),
            ("mad.lo.u32 %r9, %r1, 3, %r1;", a.wrapping_mul(4)),
            ("mad.hi.s32 %r9, %r1, 0x10000, 9;", (((i64::from(s) << 16) >> 32) as u32).wrapping_add(9)),
            ("div.s32 %r9, %r1, -3;", s.wrapping_div(-3) as u32),
            ("div.u32 %r9, %r1, 7;", a / 7),
            ("rem.s32 %r9, %r1, 10;", (s % 10) as u32),
            ("rem.u32 %r9, %r1, 10;", a % 10),
            ("min.s32 %r9, %r1, -1;", s.min(-1) as u32),
            ("min.u32 %r9, %r1, -1;", a),
            ("max.s32 %r9, %r1, 3;", s.max(3) as u32),
            ("abs.s32 %r9, %r1;", s.wrapping_abs() as u32),
            ("neg.s32 %r9, %r1;", s.wrapping_neg() as u32),
            ("sad.s32 %r9, %r1, -5, 2;", s.abs_diff(-5).wrapping_add(2)),
            ("sad.u32 %r9, %r1, 5, 2;", a.abs_diff(5).wrapping_add(2)),
            ("mul24.lo.u32 %r9, %r1, %r1;", (a & 0xff_ffff).wrapping_mul(a & 0xff_ffff)),
        ] {
            assert_eq!(run(body, a), expected, "{body} of {a:#x}");
        }
    }
}

#[test]
fn wide_and_narrow_integers() {
    for a in SAMPLES {
        let wide = u64::from(a) << 32 | 0x8765_4321;
        assert_eq!(run64("mul.wide.s32 %rd9, %r1, -3;", a.into()), (i64::from(a as i32) * -3) as u64);
        assert_eq!(run64("mul.wide.u32 %rd9, %r1, 0xfffffffd;", a.into()), u64::from(a) * 0xffff_fffd);
        assert_eq!(run64("mad.wide.u32 %rd9, %r1, %r1, %rd1;", a.into()), u64::from(a) * u64::from(a) + u64::from(a));
        assert_eq!(run64("mul.hi.u64 %rd9, %rd1, %rd1;", wide), ((u128::from(wide) * u128::from(wide)) >> 64) as u64);
        assert_eq!(run64("shr.s64 %rd9, %rd1, 70;", wide), ((wide as i64) >> 63) as u64);
        assert_eq!(run64("shr.u64 %rd9, %rd1, 70;", wide), 0);
        assert_eq!(run64("div.s64 %rd9, %rd1, 1000;", wide), ((wide as i64) / 1000) as u64);
        let narrow = "cvt.u16.u32 %h1, %r1; mul.lo.u16 %h2, %h1, 3; shr.s16 %h3, %h2, 2; cvt.s32.s16 %r9, %h3;";
        assert_eq!(run(narrow, a), i32::from((a as u16).wrapping_mul(3) as i16 >> 2) as u32);
        let product = "cvt.u16.u32 %h1, %r1; mad.wide.s16 %r9, %h1, %h1, 70000;";
        assert_eq!(run(product, a), (i32::from(a as i16) * i32::from(a as i16) + 70000) as u32);
    }
    // 64 + 64 bits with carry: the high half counts the carry once.
    let body = "add.cc.u32 %r2, %r1, %r1; addc.u32 %r9, 5, 0;";
    assert_eq!((run(body, 0x8000_0000), run(body, 0x7fff_ffff)), (6, 5));
    let body = "sub.cc.u32 %r2, %r1, 5; subc.u32 %r9, 9, 0;";
    assert_eq!((run(body, 4), run(body, 5)), (8, 9));
    let body = "mad.lo.cc.u32 %r2, %r1, 2, %r1; madc.hi.u32 %r9, %r1, 2, 0;";
    assert_eq!(run(body, 0xc000_0000), (3 * 0xc000_0000u64 >> 32) as u32);
}

#[test]
fn logic_and_bit_fields() {
    for a in SAMPLES {
        let s = a as i32;
        for (body, expected) in [
            ("and.b32 %r9, %r1, 0xff00ff;", a & 0xff_00ff),
            ("or.b32 %r9, %r1, 0xff00ff;", a | 0xff_00ff),
            ("xor.b32 %r9, %r1, -1;", !a),
            ("not.b32 %r9, %r1;", !a),
            ("cnot.b32 %r9, %r1;", u32::from(a == 0)),
            ("shl.b32 %r9, %r1, 32;", 0),
            ("shl.b32 %r9, %r1, 5;", a << 5),
            ("shr.u32 %r9, %r1, 35;", 0),
            ("shr.s32 %r9, %r1, 35;", (s >> 31) as u32),
            ("popc.b32 %r9, %r1;", a.count_ones()),
            ("clz.b32 %r9, %r1;", a.leading_zeros()),
            ("brev.b32 %r9, %r1;", a.reverse_bits()),
            ("bfind.u32 %r9, %r1;", 31u32.wrapping_sub(a.leading_zeros())),
            ("bfind.shiftamt.u32 %r9, %r1;", if a == 0 { u32::MAX } else { a.leading_zeros() }),
            ("bfe.u32 %r9, %r1, 4, 8;", a >> 4 & 0xff),
            ("bfe.s32 %r9, %r1, 4, 8;", i32::from((a >> 4) as i8) as u32),
            ("bfe.u32 %r9, %r1, 28, 8;", a >> 28),
            ("bfe.s32 %r9, %r1, 28, 8;", (s >> 28) as u32),
            ("bfe.u32 %r9, %r1, 4, 0;", 0),
            ("bfi.b32 %r9, %r1, 0xaaaaaaaa, 8, 4;", 0xaaaa_a0aa | (a & 0xf) << 8),
            ("bfi.b32 %r9, %r1, 0xaaaaaaaa, 40, 4;", 0xaaaa_aaaa),
            ("lop3.b32 %r9, %r1, 0xf0f0f0f0, 0xcccccccc, 0xe2;", {
                // 0xe2 as a function of a, b, c: (b ? a : c) has the table 0xd8 with another order; evaluate bitwise.
                let (b, c) = (0xf0f0_f0f0u32, 0xcccc_ccccu32);
                (0..32).fold(0, |word, bit| {
                    let row = (a >> bit & 1) << 2 | (b >> bit & 1) << 1 | (c >> bit & 1);
                    word | (0xe2u32 >> row & 1) << bit
                })
            }),
            ("lop3.b32 %r9, %r1, 0x3c3c3c3c, 0x55aa55aa, 0x96;", a ^ 0x3c3c_3c3c ^ 0x55aa_55aa),
            ("shf.l.wrap.b32 %r9, 0x12345678, %r1, 36;", a << 4 | 1),
            ("shf.r.wrap.b32 %r9, %r1, 0x12345678, 4;", a >> 4 | 0x8000_0000),
            ("shf.r.clamp.b32 %r9, %r1, 0x12345678, 40;", 0x1234_5678),
            ("shf.l.clamp.b32 %r9, %r1, 0x12345678, 40;", a),
        ] {
            assert_eq!(run(body, a), expected, "{body} of {a:#x}");
        }
    }
}

#[test]
fn bytes() {
    let a = 0x8123_4567;
    assert_eq!(run("prmt.b32 %r9, %r1, 0xddccbbaa, 0x5410;", a), 0xbbaa_4567);
    assert_eq!(run("prmt.b32 %r9, %r1, 0, 0xbbbb;", a), 0xffff_ffff);
    assert_eq!(run("prmt.b32 %r9, %r1, 0, 0x8888;", a), 0);
    assert_eq!(run("prmt.b32.rc8 %r9, %r1, 0, 1;", a), 0x4545_4545);
    assert_eq!(run("prmt.b32.rc16 %r9, %r1, 0, 1;", a), 0x8123_8123);
    assert_eq!(run("prmt.b32.f4e %r9, %r1, 0xddccbbaa, 3;", a), 0xccbb_aa81);
    assert_eq!(run("prmt.b32.b4e %r9, %r1, 0xddccbbaa, 1;", a), 0xccdd_6745);
    assert_eq!(run("prmt.b32.ecl %r9, %r1, 0, 2;", a), 0x8123_2323);
    assert_eq!(run("prmt.b32.ecr %r9, %r1, 0, 1;", a), 0x4545_4567);
    // Bytes of a: 0x67, 0x45, 0x23, 0x81 (-127 if signed); of b: 1, -1, 2, 3.
    assert_eq!(run("dp4a.s32.s32 %r9, %r1, 0x0302ff01, 10;", a) as i32, 0x67 - 0x45 + 2 * 0x23 - 3 * 127 + 10);
    assert_eq!(run("dp4a.u32.u32 %r9, %r1, 0x0302ff01, 10;", a), 0x67 + 255 * 0x45 + 2 * 0x23 + 3 * 0x81 + 10);
    assert_eq!(run("dp4a.u32.s32 %r9, %r1, 0x0302ff01, 10;", a) as i32, 0x67 - 0x45 + 2 * 0x23 + 3 * 0x81 + 10);
    assert_eq!(run("dp2a.lo.s32.s32 %r9, %r1, 0x0302ff01, 10;", a) as i32, 0x4567 - i32::from(0x8123u16 as i16) + 10);
    assert_eq!(run("dp2a.hi.u32.u32 %r9, %r1, 0x0302ff01, 10;", a), 2 * 0x4567 + 3 * 0x8123 + 10);
    assert_eq!(run("cvt.pack.sat.s8.s32.b32 %r9, 300, -300, %r1;", a), 0x4567_7f80);
    assert_eq!(run("cvt.pack.sat.u8.s32.b32 %r9, 300, -300, %r1;", a), 0x4567_ff00);
    assert_eq!(run("cvt.pack.sat.u16.s32 %r9, %r1, 70000;", a), 0x0000_ffff);
    assert_eq!(run("mov.b32 {%h1, %h2}, %r1; mov.b32 %r9, {%h2, %h1};", a), 0x4567_8123);
    assert_eq!(
        run64("mov.b64 {%r2, %r3}, %rd1; mov.b64 %rd9, {%r3, %r2};", 0x1122_3344_5566_7788),
        0x5566_7788_1122_3344
    );
}

#[test]
fn floats() {
    let bits = |value: f32| value.to_bits();
    let x = 1.1f32;
    for (body, expected) in [
        ("add.f32 %f2, %f1, 0f3DCCCCCD;", x + 0.1),
        ("sub.rn.f32 %f2, %f1, 0f3DCCCCCD;", x - 0.1),
        ("mul.f32 %f2, %f1, %f1;", x * x),
        ("fma.rn.f32 %f2, %f1, %f1, 0fBF9AE148;", x.mul_add(x, -1.21)),
        ("div.rn.f32 %f2, 0f3F800000, %f1;", 1.0 / x),
        ("sqrt.rn.f32 %f2, %f1;", x.sqrt()),
        ("neg.f32 %f2, %f1;", -x),
        ("max.f32 %f2, %f1, 0f7FC00000;", x),
        ("min.f32 %f2, %f1, 0f3F000000;", 0.5),
        ("cvt.rzi.s32.f32 %r2, %f1; cvt.rn.f32.s32 %f2, %r2;", 1.0),
        ("cvt.rpi.f32.f32 %f2, %f1;", 2.0),
        ("cvt.f64.f32 %d2, %f1; add.f64 %d3, %d2, 0d3FF0000000000000; cvt.rn.f32.f64 %f2, %d3;", 2.1),
        ("cvt.rn.f16.f32 %h1, %f1; fma.rn.f16 %h2, %h1, %h1, %h1; cvt.f32.f16 %f2, %h2;", {
            let h = half::f16::from_f32(x).to_f64();
            half::f16::from_f64(h * h + h).to_f32()
        }),
        (
            "cvt.rn.bf16x2.f32 %r2, %f1, 0f40000000; add.rn.bf16x2 %r3, %r2, %r2; mov.b32 {%h1, %h2}, %r3; cvt.f32.bf16 %f2, %h2;",
            2.203_125,
        ),
        ("ex2.approx.f32 %f2, 0f40400000;", 8.0),
        ("selp.f32 %f2, 0f3F800000, 0f40000000, %p1;", 2.0),
        ("setp.gt.f32 %p2, %f1, 0f3F800000; selp.f32 %f2, 0f3F800000, 0f40000000, %p2;", 1.0),
        ("setp.ltu.f32 %p2|%p3, %f1, 0f7FC00000; selp.f32 %f2, 0f3F800000, 0f40000000, %p3;", 2.0),
        ("set.gt.f32.f32 %f2, %f1, 0f3F800000;", 1.0),
        ("slct.f32.f32 %f2, 0f40800000, %f1, 0f80000000;", 4.0),
    ] {
        assert_eq!(run(&format!("setp.eq.u32 %p1, 0, 1; {body} mov.b32 %r9, %f2;"), bits(x)), bits(expected), "{body}");
    }
}

#[test]
fn predicates() {
    let expected: Vec<u32> =
        (0..32).map(|lane| u32::from(lane < 20 && lane % 2 == 1) + 2 * u32::from(lane >= 20)).collect();
    let body = "and.b32 %r2, %r1, 1; setp.eq.u32 %p1, %r2, 1; setp.lt.and.s32 %p2|%p3, %r1, 20, %p1;\n\
                setp.ge.s32 %p4, %r1, 20; mov.u32 %r9, 0; @%p2 add.u32 %r9, %r9, 1; @%p4 add.u32 %r9, %r9, 2;\n\
                and.pred %p5, %p3, !%p4; xor.pred %p6, %p5, %p5; not.pred %p7, %p6; @!%p7 mov.u32 %r9, 77;\n\
                @%p5 mov.u32 %r9, 99;";
    assert_eq!(run_lanes(body, |lane| lane), expected);
}

#[test]
fn memory_spaces() {
    let body = "mov.u32 %r2, s; shl.b32 %r3, %r1, 3; add.u32 %r4, %r2, %r3; st.shared.v2.u32 [%r4], {%r1, %r3};\n\
                ld.shared.s8 %r5, [%r4+4]; cvt.u64.u32 %rd2, %r4; cvta.shared.u64 %rd3, %rd2; ld.u32 %r6, [%rd3];\n\
                isspacep.shared %p1, %rd3; isspacep.global %p2, %rd3; selp.u32 %r7, 1000, 0, %p1; @%p2 mov.u32 %r7, 7;\n\
                add.u32 %r9, %r5, %r6; add.u32 %r9, %r9, %r7;";
    let expected = |lane: u32| (i32::from((8 * lane) as i8) + lane as i32 + 1000) as u32;
    assert_eq!(run_lanes(body, |lane| lane), (0..32).map(expected).collect::<Vec<_>>());
    let body = "mov.u64 %rd2, l; and.b32 %r2, %r1, 7; mul.wide.u32 %rd3, %r2, 8; add.u64 %rd2, %rd2, %rd3;\n\
                st.local.u64 [%rd2], %rd1; cvta.local.u64 %rd4, %rd2; ld.u32 %r9, [%rd4];";
    assert_eq!(run_lanes(body, |lane| 3 * lane), (0..32).map(|lane| 3 * lane).collect::<Vec<_>>());
    let body = "mov.u64 %rd2, table; and.b32 %r2, %r1, 3; mul.wide.u32 %rd3, %r2, 4; add.u64 %rd2, %rd2, %rd3;\n\
                ld.const.u32 %r3, [%rd2]; ld.const.u32 %r4, [table+8]; add.u32 %r9, %r3, %r4;";
    assert_eq!(run_lanes(body, |lane| lane), (0..32).map(|lane| 10 * (lane % 4) + 40).collect::<Vec<_>>());
    assert_eq!(run("atom.global.add.u64 %rd2, [variable], 5; ld.global.u32 %r9, [variable];", 0), 7 + 32 * 5);
    let body = "{ .reg .b32 x; mov.u32 x, 5; { .reg .b32 x; mov.u32 x, 6; } mov.u32 %r9, x; }";
    assert_eq!(run(body, 0), 5);
}

#[test]
fn shuffles_votes_and_reductions() {
    let shuffled = |body: &str| run_lanes(body, |lane| 100 + lane);
    let each = |of: &dyn Fn(u32) -> u32| (0..32).map(of).collect::<Vec<u32>>();
    assert_eq!(shuffled("shfl.sync.bfly.b32 %r9, %r1, 5, 31, -1;"), each(&|l| 100 + (l ^ 5)));
    assert_eq!(shuffled("shfl.sync.up.b32 %r9, %r1, 3, 0, -1;"), each(&|l| 100 + if l >= 3 { l - 3 } else { l }));
    assert_eq!(shuffled("shfl.sync.down.b32 %r9, %r1, 3, 31, -1;"), each(&|l| 100 + if l < 29 { l + 3 } else { l }));
    assert_eq!(shuffled("shfl.sync.idx.b32 %r9, %r1, 35, 31, -1;"), each(&|_| 103));
    // Segments of 8 lanes: the segment mask is 0b11000 in bits 8 to 12.
    assert_eq!(shuffled("shfl.sync.idx.b32 %r9, %r1, 1, 0x181f, -1;"), each(&|l| 100 + (l & 24) + 1));
    assert_eq!(
        shuffled("shfl.sync.down.b32 %r9|%p1, %r1, 1, 0x181f, -1; @!%p1 mov.u32 %r9, 0;"),
        each(&|l| if l % 8 == 7 { 0 } else { 101 + l })
    );
    let ballot = "and.b32 %r2, %r1, 3; setp.eq.u32 %p1, %r2, 2; vote.sync.ballot.b32 %r9, %p1, -1;";
    assert_eq!(run_lanes(ballot, |lane| lane), each(&|_| 0x4444_4444));
    let any = "setp.eq.u32 %p1, %r1, 7; vote.sync.any.pred %p2, %p1, -1; vote.sync.all.pred %p3, %p1, -1;\n\
               vote.sync.uni.pred %p4, %p1, -1; selp.u32 %r9, 1, 0, %p2; @%p3 add.u32 %r9, %r9, 2; @%p4 add.u32 %r9, %r9, 4;";
    assert_eq!(run_lanes(any, |lane| lane)[5], 1);
    assert_eq!(run_lanes(any, |_| 7)[5], 7);
    assert_eq!(run_lanes("redux.sync.add.s32 %r9, %r1, -1;", |lane| lane), each(&|_| 496));
    assert_eq!(run_lanes("redux.sync.min.s32 %r9, %r1, -1;", |lane| lane.wrapping_sub(5)), each(&|_| -5i32 as u32));
    assert_eq!(run_lanes("redux.sync.or.b32 %r9, %r1, -1;", |lane| 1 << (lane % 9)), each(&|_| 0x1ff));
    assert_eq!(run_lanes("match.any.sync.b32 %r9, %r1, -1;", |lane| lane % 4), each(&|l| 0x1111_1111 << (l % 4)));
    assert_eq!(run_lanes("match.all.sync.b32 %r9|%p1, %r1, -1;", |_| 3), each(&|_| u32::MAX));
    assert_eq!(
        run_lanes("elect.sync %r9|%p1, -1; @!%p1 mov.u32 %r9, 9;", |lane| lane),
        each(&|l| if l == 0 { 0 } else { 9 })
    );
    let halves = "setp.lt.u32 %p1, %r1, 16; @%p1 bra A; activemask.b32 %r9; bra B; A: activemask.b32 %r9; B:";
    assert_eq!(run_lanes(halves, |lane| lane), each(&|l| if l < 16 { 0xffff } else { 0xffff_0000 }));
}

#[test]
fn atomics() {
    let body = |op: &str| {
        format!(
            "mov.u32 %r2, s; setp.eq.u32 %p1, %r30, 0; @%p1 st.shared.u32 [%r2], 40; bar.warp.sync -1;\n{op}\n\
             bar.warp.sync -1; ld.shared.u32 %r9, [%r2];"
        )
    };
    let after = |op: &str| run_lanes(&body(op), |lane| lane)[0];
    assert_eq!(after("atom.shared.add.u32 %r3, [%r2], %r1;"), 40 + 496);
    assert_eq!(after("red.shared.max.s32 [%r2], %r1;"), 40);
    assert_eq!(after("red.shared.min.u32 [%r2], %r1;"), 0);
    assert_eq!(after("red.shared.or.b32 [%r2], %r1;"), 40 | 31);
    assert_eq!(after("atom.shared.exch.b32 %r3, [%r2], %r1;"), 31);
    assert_eq!(after("atom.shared.inc.u32 %r3, [%r2], 50;"), (40 + 32) % 51);
    assert_eq!(after("atom.shared.dec.u32 %r3, [%r2], 50;"), 40 - 32);
    assert_eq!(after("atom.shared.cas.b32 %r3, [%r2], 40, %r1;"), 0);
    let float = "cvt.rn.f32.u32 %f2, %r1; mov.b32 %r4, %f2; mov.u32 %r2, s; setp.eq.u32 %p1, %r30, 0;\n\
                 @%p1 st.shared.u32 [%r2], 0; bar.warp.sync -1; red.shared.add.f32 [%r2], %f2; bar.warp.sync -1;\n\
                 ld.shared.f32 %f3, [%r2]; mov.b32 %r9, %f3;";
    assert_eq!(run_lanes(float, |lane| lane)[0], 496f32.to_bits());
}

#[test]
fn control_flow() {
    // The Collatz length of each lane's number: loops of 32 different lengths.
    let body = "mov.u32 %r9, 0; add.u32 %r2, %r1, 1;\nL: setp.eq.u32 %p1, %r2, 1; @%p1 bra E;\nand.b32 %r3, %r2, 1;\n\
                setp.eq.u32 %p2, %r3, 0; @%p2 bra EVEN; mad.lo.u32 %r2, %r2, 3, 1; bra N;\nEVEN: shr.u32 %r2, %r2, 1;\n\
                N: add.u32 %r9, %r9, 1; bra L;\nE: bar.warp.sync -1;";
    let length = |lane: u32| {
        let (mut n, mut steps) = (lane + 1, 0);
        while n != 1 {
            n = if n % 2 == 0 { n / 2 } else { 3 * n + 1 };
            steps += 1;
        }
        steps
    };
    assert_eq!(run_lanes(body, |lane| lane), (0..32).map(length).collect::<Vec<_>>());
    let table = "and.b32 %r2, %r1, 3; T: .branchtargets A, B, C, A; brx.idx %r2, T;\nA: mov.u32 %r9, 1; bra E;\n\
                 B: mov.u32 %r9, 2; bra E;\nC: mov.u32 %r9, 3;\nE: bar.warp.sync -1;";
    assert_eq!(run_lanes(table, |lane| lane), (0..32).map(|lane| [1, 2, 3, 1][lane % 4]).collect::<Vec<_>>());
    // Lanes that leave early do not come back at the meeting point.
    let early = "mov.u32 %r9, 5; setp.ge.u32 %p1, %r1, 8; @%p1 bra OUT; st.global.u64 [%rd32], %rd1; ret;\nOUT: mov.u32 %r9, 6;";
    let got = run_lanes(early, |lane| lane);
    assert_eq!(got, (0..32).map(|lane| if lane < 8 { lane } else { 6 }).collect::<Vec<_>>());
}

#[test]
fn matrix_registers() {
    // ldmatrix of a matrix whose element (row, column) is 8 * row + column; lane l gets two elements of row l / 4.
    let fill = "mov.u32 %r2, s; shl.b32 %r3, %r1, 2; add.u32 %r4, %r2, %r3; shl.b32 %r5, %r1, 1; add.u32 %r6, %r5, 1;\n\
                shl.b32 %r6, %r6, 16; or.b32 %r5, %r5, %r6; st.shared.u32 [%r4], %r5; bar.warp.sync -1;\n\
                and.b32 %r7, %r1, 7; shl.b32 %r7, %r7, 4; add.u32 %r7, %r2, %r7;\n";
    let plain = run_lanes(&format!("{fill}ldmatrix.sync.aligned.m8n8.x1.shared.b16 {{%r9}}, [%r7];"), |lane| lane);
    assert_eq!(plain, (0..32).map(|l| (2 * l) | (2 * l + 1) << 16).collect::<Vec<u32>>());
    let transposed = |l: u32| {
        let (column, row) = (l / 4, 2 * (l % 4));
        (8 * row + column) | (8 * (row + 1) + column) << 16
    };
    let expected: Vec<u32> = (0..32).map(transposed).collect();
    let got = run_lanes(&format!("{fill}ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {{%r9}}, [%r7];"), |lane| lane);
    assert_eq!(got, expected);
    let got = run_lanes(&format!("{fill}movmatrix.sync.aligned.m8n8.trans.b16 %r9, %r5;"), |lane| lane);
    assert_eq!(got, expected);
    let stored = format!(
        "{fill}bar.warp.sync -1; stmatrix.sync.aligned.m8n8.x1.trans.shared.b16 [%r7], {{%r5}}; bar.warp.sync -1; ld.shared.u32 %r9, [%r4];"
    );
    assert_eq!(run_lanes(&stored, |lane| lane), expected);
}
