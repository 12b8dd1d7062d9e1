//! What a kernel can do wrong with tensor maps, and that it is found.

use crate::case::Case;
use crate::case::LOAD;
use crate::case::PARAMETER;
use crate::case::STORE;
use crate::case::map;
use ptx_sim::FindingKind;
use ptx_sim::Module;
use ptx_sim::Swizzle;

const UNCHANGED: (&str, &str) = ("ret;", "ret;");

/// A box of 4 rows of 128 bytes.
fn case() -> Case {
    Case { map: map(4, &[70, 9], &[288], &[32, 4], Swizzle::Bytes128), corner: vec![3, 2], place: 0 }
}

fn assert_load_found(change: (&str, &str), kinds: &[FindingKind], text: &str) {
    let found = case().run(LOAD, |_| Some(1), change).assert_found(kinds);
    assert!(found.contains(text), "{found}");
}

fn assert_store_found(change: (&str, &str), kinds: &[FindingKind], text: &str) {
    let found = case().run(STORE, |_| None, change).assert_found(kinds);
    assert!(found.contains(text), "{found}");
}

#[test]
fn nothing_is_found_without_a_mistake() {
    case().run(LOAD, |_| Some(1), UNCHANGED).assert_clean();
    case().run(STORE, |_| None, UNCHANGED).assert_clean();
}

#[test]
fn missing_waits() {
    let early = [FindingKind::MissingWait, FindingKind::Unwritten, FindingKind::Race];
    assert_load_found(("@!%p2 bra WAIT;", ""), &early, "");
    assert_store_found(("@%p1 cp.async.bulk.wait_group 0;", ""), &[FindingKind::MissingWait], "exits without waiting");
    let no_wait = "WAIT: mbarrier.try_wait.parity.shared.b64 %p2, [%r2], 0;\n    @!%p2 bra WAIT;";
    // A copy may be early in some orders, and is complete then.
    let reports = case().run(LOAD, |_| Some(1), (no_wait, "ret;")).reports;
    let messages = reports.iter().flat_map(|report| &report.findings).map(|finding| finding.message.as_str());
    assert!(messages.into_iter().any(|message| message.starts_with("the block ends while a bulk copy")));
    // Overwriting what a copy still reads.
    let overwrites =
        ("@%p1 cp.async.bulk.wait_group 0;", "@%p1 st.shared.u32 [%r4], 7; @%p1 cp.async.bulk.wait_group 0;");
    assert_store_found(overwrites, &[FindingKind::Race], "an asynchronous operation");
    // A second copy to where the first still writes.
    let copy = "@%p1 cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes \
                [%r4], [%rd1, {3, 2}], [%r2];";
    let twice = format!("@%p1 mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%r2], 512;\n{copy}\n{copy}");
    assert_load_found((copy, &twice), &[FindingKind::MissingWait, FindingKind::Race], "Write");
}

#[test]
fn missing_fence_before_a_store() {
    let fence = ("fence.proxy.async.shared::cta;", "");
    assert_store_found(fence, &[FindingKind::MissingFence], "no fence.proxy.async between");
    assert_store_found(("bar.sync 0;", ""), &[FindingKind::Race, FindingKind::MissingFence], "");
}

#[test]
fn wrong_number_of_bytes() {
    for bytes in ["496", "528"] {
        assert_load_found(
            ("%rd9, [%r2], 512;", &format!("%rd9, [%r2], {bytes};")),
            &[FindingKind::Deadlock],
            "mbarrier",
        );
    }
    // Elements outside the tensor count as those inside do.
    let outside = Case { corner: vec![60, 8], ..case() };
    outside.run(LOAD, |_| Some(1), UNCHANGED).assert_clean();
    let inside_bytes = 10 * 4;
    let change = ("%rd9, [%r2], 512;", &*format!("%rd9, [%r2], {inside_bytes};"));
    outside.run(LOAD, |_| Some(1), change).assert_found(&[FindingKind::Deadlock]);
    assert_load_found(("@%p1 mbarrier.init.shared.b64 [%r2], 1;", ""), &[FindingKind::Unwritten], "");
}

#[test]
fn maps_that_are_none() {
    let kinds = &[FindingKind::InvalidOperand];
    for offset in [64, 128] {
        let other = format!("ld.param.u64 %rd1, [map_copy]; add.u64 %rd1, %rd1, {offset};");
        assert_load_found((PARAMETER, &other), kinds, "no tensor map: 128 bytes that start with");
    }
    let misaligned = "ld.param.u64 %rd1, [map_copy]; add.u64 %rd1, %rd1, 16;";
    assert_load_found((PARAMETER, misaligned), &[FindingKind::Misaligned], "a tensor map at");
    assert_load_found((PARAMETER, "mov.u64 %rd1, 0;"), &[FindingKind::OutOfBounds], "outside every allocation");
    let in_shared = "mov.b64 %rd1, s; cvta.shared.u64 %rd1, %rd1;";
    assert_load_found((PARAMETER, in_shared), kinds, "a tensor map in Shared memory");
    let two = "2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r4], [%rd1, {3, 2}]";
    let three = "3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r4], [%rd1, {3, 2, 0}]";
    assert_load_found((two, three), kinds, "3 coordinates for a tensor of 2 dimensions");
}

#[test]
fn places_in_shared_memory() {
    let misaligned = Case { place: 64, ..case() };
    let found = misaligned.run(LOAD, |_| Some(1), UNCHANGED).assert_found(&[FindingKind::Misaligned]);
    assert!(found.contains("not a multiple of 128"), "{found}");
    misaligned.run(STORE, |_| None, UNCHANGED).assert_found(&[FindingKind::Misaligned]);
    let beyond = Case { place: 16384, ..case() };
    beyond.run(LOAD, |_| Some(1), UNCHANGED).assert_found(&[FindingKind::OutOfBounds]);
    // One row is not written; as it is outside the tensor, the other case does not read it.
    let three_rows = ("setp.ge.u32 %p3, %r5, 128;", "setp.ge.u32 %p3, %r5, 96;");
    assert_store_found(three_rows, &[FindingKind::Unwritten, FindingKind::Race], "");
    Case { corner: vec![3, 6], ..case() }.run(STORE, |_| None, three_rows).assert_clean();
}

#[test]
fn global_memory() {
    let hole = |at: &[u64]| (at != [20, 4]).then_some(1);
    let found = case().run(LOAD, hole, UNCHANGED).assert_found(&[FindingKind::Unwritten]);
    assert!(found.contains("bytes that nobody wrote"), "{found}");
    // The map says that the tensor has rows which are not in memory.
    let beyond = Case { corner: vec![3, 10], ..case() };
    for kernel in [LOAD, STORE] {
        let run = beyond.run_with_map(kernel, |_| Some(1), UNCHANGED, |map| map.dims[1] = 14);
        run.assert_found(&[FindingKind::OutOfBounds]);
    }
}

#[test]
fn what_is_not_known_is_a_parse_error() {
    let load = "shared::cluster.global.tile.mbarrier::complete_tx::bytes";
    let store = "global.shared::cta.tile.bulk_group";
    let refused = [
        (format!("cp.async.bulk.tensor.2d.{load}.multicast::cluster [%r4], [%rd1, {{0, 0}}], [%r2], %rs1"), "multicast"),
        (format!("cp.async.bulk.tensor.2d.{load}.cta_group::1 [%r4], [%rd1, {{0, 0}}], [%r2]"), "cta_group::1"),
        ("cp.async.bulk.tensor.3d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%r4], [%rd1, {0, 0, 0}], [%r2], {%rs1}".into(), "im2col"),
        ("cp.async.bulk.tensor.2d.shared::cta.global.tile::gather4.mbarrier::complete_tx::bytes [%r4], [%rd1, {0, 0, 0, 0, 0}], [%r2]".into(), "tile::gather4"),
        (format!("cp.reduce.async.bulk.tensor.2d.{store} [%rd1, {{0, 0}}], [%r4]"), "reduce"),
        (format!("cp.async.bulk.tensor.2d.{load} [%r4], [%rd1, {{0}}], [%r2]"), "1 coordinates, not 2"),
        (format!("cp.async.bulk.tensor.6d.{load} [%r4], [%rd1, {{0}}], [%r2]"), ".1d, .2d, .3d, .4d or .5d"),
        (format!("cp.async.bulk.tensor.2d.{load} [%r4], [%rd1], [%r2]"), "[map, {c0, ...}]"),
        (format!("cp.async.bulk.tensor.2d.{load} [%r4], [map, {{0, 0}}], [%r2]"), "generic address"),
        (format!("cp.async.bulk.tensor.2d.{load} [%r4], [%rd1, {{0, 0}}]"), "operands expected, got 2"),
        ("cp.async.bulk.tensor.2d.global.shared::cta.tile [%rd1, {0, 0}], [%r4]".into(), "completion mechanism"),
        ("cp.async.bulk.tensor.2d.shared::cta.shared::cta.bulk_group [%rd1, {0, 0}], [%r4]".into(), "other spaces"),
    ];
    for (instruction, names) in refused {
        let text = format!(
            ".version 9.0\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .align 64 .b8 map[128])\n{{\n\
             .reg .b16 %rs<3>; .reg .b32 %r<9>; .reg .b64 %rd<9>;\n{instruction};\nret;\n}}\n"
        );
        let error = Module::parse(&text).err().unwrap_or_else(|| panic!("{instruction}")).to_string();
        assert!(error.contains(names), "{error}");
    }
}
