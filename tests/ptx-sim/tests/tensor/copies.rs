//! `cp.async.bulk.tensor` of boxes inside, across and outside a tensor, against loops over their elements.

use crate::case::Case;
use crate::case::LOAD;
use crate::case::PARAMETER;
use crate::case::STORE;
use crate::case::indices;
use crate::case::map;
use ptx_sim::Swizzle;
use ptx_sim::TensorMap;

const UNCHANGED: (&str, &str) = ("ret;", "ret;");
const SWIZZLES: [Swizzle; 3] = [Swizzle::Bytes32, Swizzle::Bytes64, Swizzle::Bytes128];

/// The value of an element: never zero, and different for neighbours in every dimension.
fn value(at: &[u64]) -> u64 {
    at.iter().fold(1, |hash, at| (hash * 37 + at) % 127) + 1
}

fn assert_loads(case: &Case, change: (&str, &str)) {
    let run = case.run(LOAD, |at| Some(value(at)), change);
    run.assert_clean();
    let mut inside = 0;
    for (number, index) in indices(&case.extents()).iter().enumerate() {
        let coordinates = case.coordinates(index);
        inside += u64::from(coordinates.is_some());
        let got = run.value(run.out + case.shared_offset(number) as u64, case.map.element_bytes);
        assert_eq!(got, coordinates.as_deref().map_or(0, value), "{:?} from {:?}: {index:?}", case.map, case.corner);
    }
    assert_eq!(run.reports[0].counts.bulk_copy_bytes, inside * u64::from(case.map.element_bytes));
}

fn assert_stores(case: &Case) {
    // The box is words, so that the number in each says which it is.
    assert_eq!(case.map.element_bytes, 4);
    let run = case.run(STORE, |_| None, UNCHANGED);
    run.assert_clean();
    let mut expected = vec![None; case.map.dims.iter().product::<u64>() as usize];
    let all = indices(&case.map.dims);
    for (number, index) in indices(&case.extents()).iter().enumerate() {
        if let Some(at) = case.coordinates(index) {
            let position = all.iter().position(|other| *other == at).unwrap();
            expected[position] = Some(case.shared_offset(number) as u64 / 4 + 1);
        }
    }
    for (at, expected) in all.iter().zip(expected) {
        let address = run.tensor + case.offset(at);
        let got = run.memory.is_written(address, 4).unwrap().then(|| run.value(address, 4));
        assert_eq!(got, expected, "{:?} to {:?}: {at:?}", case.map, case.corner);
    }
}

#[test]
fn rows_are_swizzled_by_the_bits_of_their_address() {
    for swizzle in SWIZZLES {
        let width = swizzle.row_bytes();
        for place in [0, 1024, 128, 640] {
            let map = map(2, &[150, 70], &[304], &[width / 2, 33], swizzle);
            assert_loads(&Case { map, corner: vec![17, 5], place }, UNCHANGED);
        }
    }
}

#[test]
fn the_pattern_of_128_bytes_is_that_of_the_programming_guide() {
    // Row 3 of the pattern: chunks 3 2 1 0 7 6 5 4.
    let map = map(2, &[64, 8], &[128], &[64, 8], Swizzle::Bytes128);
    let case = Case { map, corner: vec![0, 0], place: 0 };
    let run = case.run(LOAD, |at| Some(at[1] * 64 + at[0]), UNCHANGED);
    run.assert_clean();
    for (place, chunk) in [3, 2, 1, 0, 7, 6, 5, 4].into_iter().enumerate() {
        assert_eq!(run.value(run.out + 3 * 128 + 16 * place as u64, 2), 3 * 64 + 8 * chunk);
    }
}

#[test]
fn elements_outside_the_tensor_are_zeros() {
    let corners = [[-3, -2], [40, 3], [-1, 4], [69, 0], [70, 0], [0, 5], [-64, 0], [0, -6], [i32::MIN, i32::MAX]];
    for corner in corners {
        let corner = corner.map(i64::from).to_vec();
        for swizzle in [Swizzle::None, Swizzle::Bytes128] {
            let map = map(2, &[70, 5], &[144], &[64, 6], swizzle);
            assert_loads(&Case { map, corner: corner.clone(), place: 256 }, UNCHANGED);
        }
    }
}

#[test]
fn tensors_of_one_to_five_dimensions() {
    let one = map(1, &[1000], &[], &[256], Swizzle::None);
    assert_loads(&Case { map: one, corner: vec![900], place: 0 }, UNCHANGED);
    let of_words = map(4, &[10, 6, 5], &[48, 400], &[8, 5, 4], Swizzle::None);
    assert_loads(&Case { map: of_words.clone(), corner: vec![1, -2, 3], place: 0 }, UNCHANGED);
    let stepping = TensorMap { element_strides: vec![1, 2, 3], ..of_words };
    assert_loads(&Case { map: stepping.clone(), corner: vec![1, 2, 0], place: 0 }, UNCHANGED);
    let with_inner_step = TensorMap { element_strides: vec![7, 2, 3], ..stepping };
    assert_loads(&Case { map: with_inner_step, corner: vec![1, 2, 0], place: 0 }, UNCHANGED);
    let four = map(8, &[3, 2, 3, 4], &[32, 64, 256], &[2, 2, 2, 3], Swizzle::None);
    assert_loads(&Case { map: four, corner: vec![2, 0, -1, 1], place: 0 }, UNCHANGED);
    let five = map(2, &[40, 2, 3, 2, 2], &[80, 160, 480, 960], &[16, 1, 2, 2, 2], Swizzle::Bytes32);
    assert_loads(&Case { map: five, corner: vec![24, 1, 1, 0, 1], place: 0 }, UNCHANGED);
}

#[test]
fn boxes_go_back_to_the_tensor() {
    for swizzle in [Swizzle::None, Swizzle::Bytes32, Swizzle::Bytes64, Swizzle::Bytes128] {
        let columns = if swizzle == Swizzle::None { 12 } else { swizzle.row_bytes() / 4 };
        for corner in [[2, 1], [-3, 4], [9, -2], [30, 7], [37, 0]] {
            let map = map(4, &[37, 9], &[160], &[columns, 6], swizzle);
            assert_stores(&Case { map, corner: corner.to_vec(), place: 384 });
        }
    }
    let stepping =
        TensorMap { element_strides: vec![1, 2, 1], ..map(4, &[10, 6, 5], &[48, 400], &[8, 5, 2], Swizzle::None) };
    assert_stores(&Case { map: stepping, corner: vec![4, -1, 4], place: 0 });
}

#[test]
fn maps_in_constant_and_global_memory() {
    let case = Case { map: map(2, &[70, 5], &[144], &[16, 4], Swizzle::None), corner: vec![3, 2], place: 0 };
    let sources = [
        "mov.b64 %rd1, constant_map; cvta.const.u64 %rd1, %rd1;",
        "ld.param.u64 %rd1, [map_copy]; prefetch.tensormap [%rd1];",
        "cvta.param.u64 %rd1, map; cp.async.bulk.prefetch.tensor.2d.L2.global.tile [%rd1, {3, 2}];",
    ];
    for source in sources {
        assert_loads(&case, (PARAMETER, source));
    }
}

#[test]
fn other_spellings() {
    let case = Case { map: map(2, &[70, 5], &[144], &[16, 4], Swizzle::None), corner: vec![3, 2], place: 0 };
    assert_loads(&case, ("shared::cluster.global.tile", "shared::cta.global"));
    let copy = "@%p1 cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes \
                [%r4], [%rd1, {3, 2}], [%r2];";
    let other = "sub.u64 %rd1, %rd1, 64; mov.u32 %r30, 2; createpolicy.fractional.L2::evict_first.b64 %rd7, 1.0;\n\
                 @%p1 cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint \
                 [%r4], [%rd1+64, {3, %r30}], [%r2], %rd7;";
    assert_loads(&case, (copy, other));
}
