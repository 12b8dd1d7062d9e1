//! Conversions that fail: the message says why, and nothing is left behind or lost.

use std::fs;
use std::path::Path;

use lowbit::Device;
use lowbit::Dtype;
use lowbit::Int4;
use lowbit::Nf4;
use lowbit::checkpoint;
use lowbit::convert;
use lowbit::convert::DequantizeOptions;
use lowbit::convert::QuantizeOptions;

use crate::files;
use crate::files::RawTensor;
use crate::files::assert_names;

fn quantize(source: &Path, output: &Path, overwrite: bool) -> lowbit::Result<()> {
    let options = QuantizeOptions { overwrite, ..QuantizeOptions::new(Nf4::default()) };
    convert::quantize(&checkpoint::open(source)?, output, &options, &Device::cpu(), &mut |_| {}).map(drop)
}

fn message(result: lowbit::Result<()>) -> String {
    result.expect_err("this conversion must fail").to_string()
}

/// A directory `in` with a model of two layers and a head, the last of which may be spoilt.
fn model(spoil: impl Fn(&mut Vec<RawTensor>)) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("in");
    fs::create_dir(&input).unwrap();
    let mut tensors = vec![
        files::f16_tensor("lm_head.weight", &[8, 64], 3),
        files::f32_tensor("l.0.weight", &[8, 64], &files::noise(512, 1)),
        files::f32_tensor("l.1.weight", &[8, 64], &files::noise(512, 2)),
    ];
    spoil(&mut tensors);
    files::write(&input.join("model.safetensors"), &tensors);
    fs::write(input.join("config.json"), "{}").unwrap();
    directory
}

fn with_nan(tensors: &mut [RawTensor]) {
    tensors[2].bytes[400..404].copy_from_slice(&f32::NAN.to_le_bytes());
}

#[test]
fn a_weight_that_is_not_finite_names_file_and_tensor_and_leaves_nothing() {
    let directory = model(|tensors| with_nan(tensors));
    let (input, output) = (directory.path().join("in"), directory.path().join("out"));
    let expected = ["model.safetensors", "tensor l.1.weight", "element 100 is NaN"];
    assert_names(&message(quantize(&input, &output, false)), &expected);
    assert_eq!(files::names_in(directory.path()), ["in"]);
    let (file, single) = (input.join("model.safetensors"), directory.path().join("out.safetensors"));
    assert_names(&message(quantize(&file, &single, false)), &expected);
    assert_eq!(files::names_in(directory.path()), ["in"]);
}

#[test]
fn an_empty_linear_layer_is_an_error_that_names_it() {
    let directory = model(|tensors| tensors.push(files::f16_tensor("l.2.weight", &[0, 64], 1)));
    let (input, output) = (directory.path().join("in"), directory.path().join("out"));
    assert_names(&message(quantize(&input, &output, false)), &["tensor l.2.weight", "empty", "[0, 64]"]);
    assert_eq!(files::names_in(directory.path()), ["in"]);
}

#[test]
fn an_existing_output_is_refused_and_survives_a_failing_run() {
    let good = model(|_| {});
    let (input, output) = (good.path().join("in"), good.path().join("out"));
    quantize(&input, &output, false).unwrap();
    let before = fs::read(output.join("model.safetensors")).unwrap();
    assert_names(&message(quantize(&input, &output, false)), &["out: exists already"]);

    let spoilt = model(|tensors| with_nan(tensors));
    assert_names(&message(quantize(&spoilt.path().join("in"), &output, true)), &["l.1.weight"]);
    assert!(fs::read(output.join("model.safetensors")).unwrap() == before);
    assert_eq!(files::names_in(good.path()), ["in", "out"]);

    fs::write(output.join("old.txt"), "old").unwrap();
    quantize(&input, &output, true).unwrap();
    assert_eq!(files::names_in(&output), ["config.json", "model.safetensors"]);
    assert_eq!(files::names_in(good.path()), ["in", "out"]);
}

#[test]
fn an_existing_file_is_refused_and_survives_a_failing_run() {
    let (good, spoilt) = (model(|_| {}), model(|tensors| with_nan(tensors)));
    let output = good.path().join("out.safetensors");
    fs::write(&output, "mine").unwrap();
    let input = |directory: &tempfile::TempDir| directory.path().join("in/model.safetensors");
    assert_names(&message(quantize(&input(&good), &output, false)), &["out.safetensors: exists already"]);
    message(quantize(&input(&spoilt), &output, true));
    assert_eq!(fs::read(&output).unwrap(), b"mine");
    quantize(&input(&good), &output, true).unwrap();
    assert!(checkpoint::open(&output).unwrap().load_matrix("l.1").is_ok());
    assert_eq!(files::names_in(good.path()), ["in", "out.safetensors"]);
}

#[test]
fn outputs_that_would_harm_the_input_or_other_things_are_refused() {
    let directory = model(|_| {});
    let input = directory.path().join("in");
    let file = input.join("model.safetensors");
    fs::create_dir(directory.path().join("home")).unwrap();
    fs::write(directory.path().join("home/letter.txt"), "dear").unwrap();
    let before = fs::read(&file).unwrap();
    for (source, output, expected) in [
        (&input, input.clone(), "it is the input"),
        (&file, file.clone(), "it is the input"),
        (&input, input.join("out"), "it lies inside the input"),
        (&input, directory.path().join("in/../in/out"), "it lies inside the input"),
        (&input, directory.path().to_path_buf(), "lies inside it"),
        (&file, input.clone(), "lies inside it"),
        (&input, directory.path().join("home"), "something else than a model"),
        (&file, directory.path().join("home"), "it is a directory, and a file is to be written"),
        (&input, directory.path().join("home/letter.txt"), "it is a file, and a directory is to be written"),
        (&input, directory.path().join("none/out"), "cannot find the directory for the output"),
    ] {
        assert_names(&message(quantize(source, &output, true)), &[expected]);
    }
    assert_eq!(files::names_in(directory.path()), ["home", "in"]);
    assert_eq!(files::names_in(&input), ["config.json", "model.safetensors"]);
    assert!(fs::read(&file).unwrap() == before);
    assert_eq!(fs::read(directory.path().join("home/letter.txt")).unwrap(), b"dear");
}

#[cfg(unix)]
#[test]
fn a_link_to_the_input_is_the_input() {
    let directory = model(|_| {});
    let (input, link) = (directory.path().join("in"), directory.path().join("link"));
    std::os::unix::fs::symlink(&input, &link).unwrap();
    assert_names(&message(quantize(&input, &link, true)), &["it is the input"]);
    assert_names(&message(quantize(&input, &link.join("out"), true)), &["it lies inside the input"]);
    quantize(&link, &directory.path().join("out"), false).unwrap();
}

#[test]
fn a_checkpoint_with_nothing_to_do_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out");
    let quantized = files::data("bnb_nf4");
    let expected = ["bnb_nf4", "14 of 14 linear layers are quantized already"];
    assert_names(&message(quantize(&quantized, &output, false)), &expected);
    let options = QuantizeOptions { skip: &|_| true, ..QuantizeOptions::new(Int4::default()) };
    let source = checkpoint::open(files::data("f16")).unwrap();
    let result = convert::quantize(&source, &output, &options, &Device::cpu(), &mut |_| {}).map(drop);
    assert_names(&message(result), &["no linear layer to quantize: all 14 are skipped"]);
    let options = DequantizeOptions::new(Dtype::F16);
    let result = convert::dequantize(&source, &output, &options, &Device::cpu(), &mut |_| {}).map(drop);
    assert_names(&message(result), &["f16", "no linear layer to dequantize", "21 tensors"]);
    assert_eq!(files::names_in(directory.path()).len(), 0);
}

#[test]
fn a_file_cut_during_the_conversion_is_an_error_and_leaves_nothing() {
    let directory = model(|_| {});
    let (input, output) = (directory.path().join("in"), directory.path().join("out"));
    let source = checkpoint::open(&input).unwrap();
    let file = fs::OpenOptions::new().write(true).open(input.join("model.safetensors")).unwrap();
    file.set_len(file.metadata().unwrap().len() - 10).unwrap();
    let options = QuantizeOptions::new(Nf4::default());
    let result = convert::quantize(&source, &output, &options, &Device::cpu(), &mut |_| {}).map(drop);
    assert_names(&message(result), &["model.safetensors", "tensor l.1.weight", "became shorter"]);
    assert_eq!(files::names_in(directory.path()), ["in"]);
}

#[cfg(unix)]
#[test]
fn a_directory_that_cannot_be_written_is_an_error() {
    use std::os::unix::fs::PermissionsExt;
    let directory = model(|_| {});
    let closed = directory.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(closed.join("probe"), "").is_ok() {
        eprintln!("skipped: this user may write anywhere");
        return;
    }
    let result = quantize(&directory.path().join("in"), &closed.join("out"), false);
    assert_names(&message(result), &["closed", "cannot create"]);
}
