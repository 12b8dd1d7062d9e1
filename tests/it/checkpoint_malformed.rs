//! Hostile safetensors headers: each rule broken once, each message with file, tensor and values.

use std::fs;
use std::fs::OpenOptions;

use lowbit::checkpoint;

use crate::files;
use crate::files::assert_names;
use crate::files::open_error;
use crate::files::with_header;

/// The message when a file with these bytes is opened.
fn message(bytes: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bad.safetensors");
    fs::write(&path, bytes).unwrap();
    let message = open_error(&path);
    assert_names(&message, &["bad.safetensors"]);
    message
}

#[test]
fn a_file_too_short_for_its_header_is_refused() {
    assert_names(&message(&[]), &["is 0 bytes long", "8 bytes of header length"]);
    assert_names(&message(&[1, 2, 3, 4, 5, 6, 7]), &["is 7 bytes long"]);
    let mut bytes = 3u64.to_le_bytes().to_vec();
    bytes.extend(b"{}");
    assert_names(&message(&bytes), &["header length 3 runs past the end of the file, which has 10 bytes"]);
    assert_names(&message(&u64::MAX.to_le_bytes()), &["header length 18446744073709551615 runs past"]);
}

#[test]
fn a_header_above_the_limit_is_refused_before_it_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bad.safetensors");
    fs::write(&path, 100_000_001u64.to_le_bytes()).unwrap();
    // A hole: the file takes no space.
    OpenOptions::new().write(true).open(&path).unwrap().set_len(200_000_000).unwrap();
    let expected = "header length 100000001 is above the limit of 100000000 bytes";
    assert_names(&open_error(&path), &["bad.safetensors", expected]);
}

#[test]
fn a_header_that_is_not_a_json_object_is_refused() {
    let mut bytes = with_header("{\"a\": 1}", &[]);
    bytes[10] = 0xc0;
    assert_names(&message(&bytes), &["not UTF-8: invalid byte at 10"]);
    for text in ["", "{", "{\"a\":}", "nonsense", "{} {}", "{\"a\": 1e999}"] {
        assert_names(&message(&with_header(text, &[])), &["header is not JSON"]);
    }
    // Nested deeper than any stack allows.
    assert_names(&message(&with_header(&"[".repeat(100_000), &[])), &["header is not"]);
    assert_names(&message(&with_header(&("{\"a\":".to_string() + &"[".repeat(100_000)), &[])), &["header is not JSON"]);
    for text in ["[]", "3", "\"a\"", "null"] {
        assert_names(&message(&with_header(text, &[])), &["header is not a JSON object"]);
    }
}

#[test]
fn a_name_that_comes_twice_is_refused() {
    let entry = r#"{"dtype":"U8","shape":[1],"data_offsets":[0,1]}"#;
    let twice = format!(r#"{{"w":{entry},"w":{entry}}}"#);
    assert_names(&message(&with_header(&twice, &[0])), &["two entries named w"]);
    let metadata = r#"{"__metadata__":{},"__metadata__":{}}"#;
    assert_names(&message(&with_header(metadata, &[])), &["two entries named __metadata__"]);
}

#[test]
fn an_entry_without_a_field_or_with_a_wrong_one_is_refused() {
    for (entry, expected) in [
        ("3", "tensor w: entry must be an object, found 3"),
        (r#"{"shape":[1],"data_offsets":[0,1]}"#, "tensor w: dtype must be a string, found nothing"),
        (r#"{"dtype":8,"shape":[1],"data_offsets":[0,1]}"#, "tensor w: dtype must be a string, found 8"),
        (r#"{"dtype":"U8","data_offsets":[0,1]}"#, "tensor w: shape must be an array, found nothing"),
        (r#"{"dtype":"U8","shape":1,"data_offsets":[0,1]}"#, "tensor w: shape must be an array, found 1"),
        (
            r#"{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}"#,
            "shape must be non-negative 64-bit integers, found [-1]",
        ),
        (r#"{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}"#, "found [1.5]"),
        (r#"{"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,1]}"#, "found [1.8446744073709552e+19]"),
        (r#"{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}"#, r#"found ["1"]"#),
        (r#"{"dtype":"U8","shape":[1]}"#, "data_offsets must be two non-negative 64-bit integers, found nothing"),
        (r#"{"dtype":"U8","shape":[1],"data_offsets":[0]}"#, "found [0]"),
        (r#"{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}"#, "found [0,1,2]"),
        (r#"{"dtype":"U8","shape":[1],"data_offsets":[0,-1]}"#, "found [0,-1]"),
        (r#"{"dtype":"U8","shape":[1],"data_offsets":[0,99999999999999999999]}"#, "found [0,1e+20]"),
        (r#"{"dtype":"U9","shape":[1],"data_offsets":[0,1]}"#, r#"tensor w: unknown dtype "U9""#),
    ] {
        assert_names(&message(&with_header(&format!(r#"{{"w":{entry}}}"#), &[0])), &[expected]);
    }
}

/// A header of U8 tensors with these names, lengths and offsets.
fn header(tensors: &[(&str, &str, u64, u64)]) -> String {
    let entries: Vec<String> = tensors
        .iter()
        .map(|(name, shape, begin, end)| {
            format!(r#""{name}":{{"dtype":"U8","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
        })
        .collect();
    format!("{{{}}}", entries.join(","))
}

#[test]
fn offsets_that_do_not_fit_file_or_shape_are_refused() {
    for (tensors, expected) in [
        (vec![("w", "[1]", 3, 2)], "tensor w: data offsets [3, 2] are reversed"),
        (vec![("w", "[5]", 0, 5)], "tensor w: data offsets [0, 5] run past the data section of 4 bytes"),
        (vec![("w", "[1]", 0, u64::MAX)], "data offsets [0, 18446744073709551615] run past"),
        (vec![("w", "[3]", 0, 4)], "tensor w: data offsets hold 4 bytes, but U8 of shape [3] has 3"),
        (vec![("w", "[]", 0, 4)], "U8 of shape [] has 1"),
        (vec![("w", "[4294967296,4294967296]", 0, 4)], "tensor w: U8 of shape [4294967296, 4294967296] has more bytes"),
        (vec![("a", "[3]", 0, 3), ("b", "[2]", 2, 4)], "tensor b begins at 2, before tensor a ends at 3"),
        (vec![("a", "[4]", 0, 4), ("b", "[4]", 0, 4)], "tensor b begins at 0, before tensor a ends at 4"),
        (vec![("a", "[1]", 0, 1), ("b", "[2]", 2, 4)], "tensor b begins at 2, but the data before it ends at 1"),
        (vec![("a", "[3]", 1, 4)], "tensor a begins at 1, but the data before it ends at 0"),
        (vec![("a", "[3]", 0, 3)], "data section has 4 bytes, but the tensors end at 3"),
        (vec![], "data section has 4 bytes, but the tensors end at 0"),
    ] {
        assert_names(&message(&with_header(&header(&tensors), &[0; 4])), &[expected]);
    }
    let half_byte = r#"{"w":{"dtype":"F4","shape":[7],"data_offsets":[0,4]}}"#;
    assert_names(&message(&with_header(half_byte, &[0; 4])), &["F4 of shape [7] is 28 bits, not whole bytes"]);
}

#[test]
fn metadata_other_than_text_by_text_is_refused() {
    for (metadata, expected) in [("3", "found 3"), ("[]", "found []"), (r#"{"a":1}"#, r#"found 1 for "a""#)] {
        let text = format!(r#"{{"__metadata__":{metadata}}}"#);
        assert_names(&message(&with_header(&text, &[])), &["__metadata__ must map strings to strings", expected]);
    }
}

#[test]
fn odd_but_well_formed_files_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("good.safetensors");
    // Tensors without bytes, scalars, names out of order, spaces after the header, an empty name.
    let text = header(&[("z", "[2]", 0, 2), ("", "[0,7]", 2, 2), ("a", "[]", 2, 3), ("b", "[0]", 0, 0)]);
    fs::write(&path, with_header(&(text + "   "), &[1, 2, 3])).unwrap();
    let checkpoint = checkpoint::open(&path).unwrap();
    assert_eq!(checkpoint.tensors().count(), 4);
    assert_eq!(checkpoint.read("z").unwrap(), [1, 2]);
    assert_eq!((checkpoint.read("a").unwrap(), checkpoint.read("").unwrap()), (vec![3], vec![]));
    fs::write(&path, with_header("{}", &[])).unwrap();
    assert_eq!(checkpoint::open(&path).unwrap().tensors().count(), 0);
}

#[test]
fn reads_of_what_is_not_there_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.safetensors");
    files::write(&path, &[files::tensor("w", "I32", &[2], vec![0; 8])]);
    let checkpoint = checkpoint::open(&path).unwrap();
    assert_names(&checkpoint.read("v").unwrap_err().to_string(), &["m.safetensors", "no tensor named v"]);
    assert_names(&checkpoint.read_values("w").unwrap_err().to_string(), &["tensor w", "I32", "F32, F16 or BF16"]);
    assert_names(&checkpoint.load_matrix("w").unwrap_err().to_string(), &["no quantized linear layer named w"]);
    let beyond = checkpoint.read_at("w", 5, &mut [0; 4]).unwrap_err().to_string();
    assert_names(&beyond, &["tensor w", "4 bytes from 5 of 8"]);
    assert!(checkpoint.read_at("w", u64::MAX, &mut [0; 4]).is_err());
    assert_names(&open_error(&directory.path().join("none")), &["none", "cannot open"]);
}

#[test]
fn a_file_that_is_cut_after_opening_is_an_error_that_names_the_tensor() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.safetensors");
    let values = files::noise(1000, 1);
    files::write(&path, &[files::f32_tensor("l.weight", &[10, 100], &values)]);
    let checkpoint = checkpoint::open(&path).unwrap();
    let length = fs::metadata(&path).unwrap().len();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
    for error in [checkpoint.read("l.weight").unwrap_err(), checkpoint.read_values("l.weight").unwrap_err()] {
        assert_names(&error.to_string(), &["m.safetensors", "tensor l.weight: bytes 0 to 4000 are missing"]);
    }
}
