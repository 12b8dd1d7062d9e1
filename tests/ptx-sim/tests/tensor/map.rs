//! What a tensor map may hold, by the rules of `cuTensorMapEncodeTiled`.

use ptx_sim::Swizzle;
use ptx_sim::TensorMap;

/// 100 rows of 256 f16 values, of which 64 × 64 are copied.
fn valid() -> TensorMap {
    TensorMap {
        global_address: 0x7f00_0000_1230,
        element_bytes: 2,
        dims: vec![256, 100],
        strides_bytes: vec![512],
        box_dims: vec![64, 64],
        element_strides: vec![1, 1],
        swizzle: Swizzle::Bytes128,
    }
}

fn assert_refused(change: impl Fn(&mut TensorMap), message: &str) {
    let mut map = valid();
    change(&mut map);
    let error = map.encode().unwrap_err().to_string();
    assert_eq!(error, message, "{map:?}");
}

fn assert_accepted(change: impl Fn(&mut TensorMap)) {
    let mut map = valid();
    change(&mut map);
    let bytes = map.encode().unwrap_or_else(|error| panic!("{error}: {map:?}"));
    assert_eq!(TensorMap::decode(&bytes).unwrap(), map);
}

#[test]
fn everything_at_its_limits() {
    assert_accepted(|_| {});
    let five = TensorMap {
        global_address: u64::MAX - 15,
        element_bytes: 8,
        dims: vec![1 << 32; 5],
        strides_bytes: vec![(1 << 40) - 16; 4],
        box_dims: vec![256; 5],
        element_strides: vec![8; 5],
        swizzle: Swizzle::None,
    };
    assert_eq!(TensorMap::decode(&five.encode().unwrap()).unwrap(), five);
    assert_accepted(|map| {
        map.dims = vec![1];
        map.strides_bytes.clear();
        map.box_dims = vec![64];
        map.element_strides = vec![1];
    });
    for (swizzle, columns) in [(Swizzle::None, 8), (Swizzle::None, 256), (Swizzle::Bytes32, 16), (Swizzle::Bytes64, 32)]
    {
        assert_accepted(|map| (map.swizzle, map.box_dims[0]) = (swizzle, columns));
    }
}

#[test]
fn ranks_and_lengths() {
    let lengths = |map: &mut TensorMap, rank: usize| {
        map.dims.resize(rank, 8);
        map.strides_bytes.resize(rank.saturating_sub(1), 512);
        map.box_dims.resize(rank, 1);
        map.element_strides.resize(rank, 1);
    };
    assert_refused(|map| lengths(map, 0), "a tensor of 0 dimensions, not 1 to 5");
    assert_refused(|map| lengths(map, 6), "a tensor of 6 dimensions, not 1 to 5");
    let expected = "a tensor of 2 dimensions takes 1 strides and 2 box sizes and element strides, not ";
    assert_refused(|map| map.strides_bytes.clear(), &format!("{expected}0, 2 and 2"));
    assert_refused(|map| map.box_dims.push(1), &format!("{expected}1, 3 and 2"));
    assert_refused(|map| map.element_strides.truncate(1), &format!("{expected}1, 2 and 1"));
}

#[test]
fn addresses_and_strides() {
    assert_refused(|map| map.global_address += 8, "an address of 0x7f0000001238, not a multiple of 16");
    assert_refused(|map| map.strides_bytes[0] = 520, "520 bytes of stride, not a multiple of 16 below 2^40");
    let limit = "1099511627776 bytes of stride, not a multiple of 16 below 2^40";
    assert_refused(|map| map.strides_bytes[0] = 1 << 40, limit);
}

#[test]
fn elements_and_dimensions() {
    assert_refused(|map| map.element_bytes = 16, "elements of 16 bytes, not 1, 2, 4 or 8");
    assert_refused(|map| map.element_bytes = 0, "elements of 0 bytes, not 1, 2, 4 or 8");
    assert_refused(|map| map.dims[1] = 0, "0 elements of the tensor, not 1 to 2^32");
    assert_refused(|map| map.dims[0] = (1 << 32) + 1, "4294967297 elements of the tensor, not 1 to 2^32");
    assert_refused(|map| map.element_strides[1] = 0, "0 as element stride, not 1 to 8");
    assert_refused(|map| map.element_strides[0] = 9, "9 as element stride, not 1 to 8");
}

#[test]
fn boxes() {
    assert_refused(|map| map.box_dims[1] = 0, "0 elements of the box, not 1 to 256");
    assert_refused(|map| map.box_dims[1] = 257, "257 elements of the box, not 1 to 256");
    let unaligned = "a box of 120 bytes along dimension 0, not a multiple of 16";
    assert_refused(|map| map.box_dims[0] = 60, unaligned);
    for (swizzle, width) in [(Swizzle::Bytes32, 32), (Swizzle::Bytes64, 64), (Swizzle::Bytes128, 128)] {
        let wide = format!("a box of {} bytes along dimension 0, with a swizzle of {width}", width + 16);
        assert_refused(|map| (map.swizzle, map.box_dims[0]) = (swizzle, width / 2 + 8), &wide);
        let narrow = format!(
            "a box of {} bytes along dimension 0 with a wider swizzle, of {width} bytes, is not simulated",
            width - 16
        );
        assert_refused(|map| (map.swizzle, map.box_dims[0]) = (swizzle, width / 2 - 8), &narrow);
    }
}

#[test]
fn bytes_that_are_no_map() {
    let error = TensorMap::decode(&[0xAB; 128]).unwrap_err().to_string();
    assert!(error.starts_with("no tensor map: 128 bytes that start with [ab, ab, "), "{error}");
    let mut damaged = valid().encode().unwrap();
    // The mark takes eight bytes and the address as many: the rank follows.
    damaged[16] = 9;
    assert_eq!(TensorMap::decode(&damaged).unwrap_err().to_string(), "a tensor of 9 dimensions, not 1 to 5");
}
