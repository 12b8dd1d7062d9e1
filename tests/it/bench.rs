//! `lowbit bench`: its command line, its output, and that a wrong product is found. No speed is asserted.

use std::fs;
use std::process::Command;
use std::process::Output;

use lowbit::Activations;
use lowbit::Device;
use lowbit::Dtype;
use lowbit::Error;
use lowbit::Int8;
use lowbit::MatShape;
use lowbit::Nf4;
use lowbit::QuantMatrix;
use lowbit::Recipe;
use lowbit::Strategy;
use lowbit::Tensor;
use lowbit::bench::check::Expected;
use lowbit::values::OwnedValues;
use lowbit::values::Values;
use serde_json::Value;

fn bench(args: &[&str]) -> Output {
    let device: &[&str] = if args.contains(&"--device") { &[] } else { &["--device", "cpu"] };
    let args = [&["bench", "--min-time", "0"], device, args].concat();
    Command::new(env!("CARGO_BIN_EXE_lowbit")).args(args).output().unwrap()
}

/// The lines that a run with `--json` prints.
fn rows(args: &[&str]) -> Vec<Value> {
    let output = bench(&[args, &["--json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The message of a run that fails with `code`.
fn refused(args: &[&str], code: i32) -> String {
    let output = bench(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    stderr
}

#[test]
fn what_cannot_be_meant_is_refused() {
    assert!(refused(&["--batch", "1,0"], 2).contains("must be a number of rows from 1"));
    assert!(refused(&["--batch", "2000000"], 2).contains("1048576"));
    let models = refused(&["--models", "llama-9"], 2);
    assert!(models.contains("llama-3-8b") && models.contains("qwen2.5-72b"), "{models}");
    for shape in ["64", "64x", "x64", "64x64x64", "-1x4", "0x64"] {
        let shape = format!("--shape={shape}");
        assert!(refused(&[&shape], 2).contains("--shape"), "{shape}");
    }
    assert!(refused(&["--format", "nf5"], 2).contains("known formats: nf4"));
    assert!(refused(&["--samples", "0"], 2).contains("--samples"));
    assert!(refused(&["--device", "gpu"], 2).contains("must be cpu, cuda"));
    assert!(refused(&["--shape", "8x8", "--shape", "8x16", "--svg", "a.svg"], 2).contains("name a folder"));
    // A format whose codes are not integers.
    assert!(refused(&["--shape", "64x64", "--format", "nf4", "--activations", "int8"], 1).contains("integer codes"));
}

#[test]
fn one_line_a_row_with_numbers_that_belong_together() {
    let args = ["--shape", "64x128", "--batch", "1,3", "--samples", "3", "--format", "nf4,int8"];
    let rows = rows(&args);
    let named = |row: &Value| format!("{} {} {}", row["m"], row["format"], row["strategy"]).replace('"', "");
    // The rows of INT8 are streamed too: their activations are rounded.
    let expected: Vec<String> = ["1", "3"]
        .iter()
        .flat_map(|m| {
            let low_bit = ["nf4", "int8"].into_iter().flat_map(|format| {
                ["dequantize-then-multiply", "gemv", "fused", "auto"].map(|strategy| format!("{format} {strategy}"))
            });
            std::iter::once("f32 dense".to_string()).chain(low_bit).map(move |row| format!("{m} {row}"))
        })
        .collect();
    assert_eq!(rows.iter().map(named).collect::<Vec<_>>(), expected);
    for row in &rows {
        check_row(row);
    }
    let auto = rows.iter().find(|row| row["strategy"] == "auto").unwrap();
    assert_eq!(auto["chosen"], "gemv");
    assert_eq!(
        rows.iter().find(|row| row["format"] == "int8").unwrap()["activations"],
        "int8 activations with threshold 6"
    );
}

fn check_row(row: &Value) {
    let number = |key: &str| row[key].as_f64().unwrap_or_else(|| panic!("{key} of {row}"));
    let [median, min, max] = ["median", "min", "max"].map(|key| row["seconds"][key].as_f64().unwrap());
    assert!(0.0 < min && min <= median && median <= max, "{row}");
    assert_eq!((row["n"].as_u64(), row["k"].as_u64(), row["samples"].as_u64()), (Some(64), Some(128), Some(3)));
    let m = row["m"].as_u64().unwrap();
    assert_eq!(number("operations"), (2 * m * 64 * 128) as f64);
    // Codes, and a scale of 4 bytes for each block of 64 or row.
    let weight_bytes = match row["format"].as_str().unwrap() {
        "f32" => 64 * 128 * 4,
        "nf4" => 64 * 128 / 2 + 64 * 128 / 64 * 4,
        "int8" => 64 * 128 + 64 * 4,
        other => panic!("{other}"),
    };
    assert_eq!(row["weight_bytes"].as_u64(), Some(weight_bytes), "{row}");
    assert_eq!(row["bytes"].as_u64(), Some(weight_bytes + 4 * m * (64 + 128)));
    let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1e-9;
    assert!(near(number("bytes_per_second"), number("bytes") / median));
    assert!(near(number("operations_per_second"), number("operations") / median));
    let ceiling = |key: &str| row["ceiling"][key].as_f64().unwrap();
    let floor = number("bytes") / ceiling("bytes_per_second");
    let floor = floor.max(number("operations") / ceiling("operations_per_second"));
    assert!(near(number("share_of_ceiling"), floor / median), "{row}");
    match row["strategy"].as_str().unwrap() {
        "dense" => assert_eq!((&row["chosen"], number("speedup_over_dense")), (&"gemm".into(), 1.0)),
        "dequantize-then-multiply" => assert_eq!(number("speedup_over_dequantize"), 1.0),
        _ => assert!(number("speedup_over_dense") > 0.0 && number("speedup_over_dequantize") > 0.0),
    }
    // Matrices so small are in the cache however many take turns.
    assert_eq!((row["weight_copies"].as_u64(), row["weights_from_memory"].as_bool()), (Some(256), Some(false)));
    assert!(row["command"].as_str().unwrap().starts_with("lowbit bench --min-time 0 --device cpu"));
    assert!(row["device"].as_str().unwrap().starts_with("CPU"));
}

#[test]
fn a_strategy_that_does_not_exist_has_no_row() {
    let args = ["--shape", "32x64", "--batch", "16,17", "--samples", "1", "--format", "nf4", "--strategy", "gemv"];
    let rows = rows(&args);
    let strategies: Vec<&str> = rows.iter().map(|row| row["strategy"].as_str().unwrap()).collect();
    assert_eq!(strategies, ["dense", "gemv", "dense"]);
    let said = String::from_utf8(bench(&args).stderr).unwrap();
    assert!(said.contains("32x64 batch 17: no gemv of nf4") && said.contains("M = 17 is above 16"), "{said}");
}

#[test]
fn a_plot_has_a_line_for_each_format_and_strategy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plot.svg");
    let path = file.to_str().unwrap();
    let args = ["--shape", "48x64", "--batch", "1,2,5", "--samples", "2", "--format", "nf4,int8", "--svg", path];
    assert!(bench(&args).status.success());
    let text = fs::read_to_string(&file).unwrap();
    check_xml(&text);
    // Two formats by three strategies; auto is one of those.
    let points = |line: &str| line.split("points=\"").nth(1).unwrap().split('"').next().unwrap().matches(',').count();
    let lines = text.split("<polyline").skip(1).filter(|line| points(line) == 3).count();
    assert_eq!(lines, 6, "lines through the three batch sizes");
    for format in ["nf4", "int8"] {
        for strategy in ["dequantize-then-multiply", "gemv", "fused"] {
            let label = format!("{format} {strategy}");
            assert_eq!(text.matches(&label).count(), 1, "{label}");
        }
    }
    assert!(text.contains("N = 48 x K = 64") && text.contains("dense (1.0)"));
    let taken = refused(&args, 1);
    assert!(taken.contains("plot.svg") && taken.contains("exists"), "{taken}");
    assert!(bench(&[&args[..], &["--force"]].concat()).status.success());

    let plots = folder.path().join("plots");
    let two = ["--shape", "8x8,8x16", "--batch", "1", "--samples", "1", "--format", "nf4", "--svg"];
    assert!(bench(&[&two[..], &[plots.to_str().unwrap()]].concat()).status.success());
    assert!(plots.join("8x8.svg").exists() && plots.join("8x16.svg").exists());
}

/// Every element is closed, in order, and no text holds a bare `<` or `&`.
fn check_xml(text: &str) {
    let mut open: Vec<&str> = Vec::new();
    for part in text.split('<').skip(1) {
        let (tag, content) = part.split_once('>').unwrap_or_else(|| panic!("no end of <{part}"));
        assert!(content.split('&').skip(1).all(|rest| rest.contains(';')), "{content}");
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap();
        match (tag.starts_with('/'), tag.ends_with('/'), tag.starts_with(['?', '!'])) {
            (true, ..) => assert_eq!(open.pop(), Some(name)),
            (_, true, _) | (.., true) => {}
            _ => open.push(name),
        }
    }
    assert_eq!(open, Vec::<&str>::new());
}

#[test]
fn text_is_a_table_a_shape() {
    let output = bench(&["--shape", "16x64,8x64", "--batch", "1", "--samples", "1", "--format", "nf4"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("ceilings: read ") && text.contains("N 16 x K 64") && text.contains("N 8 x K 64"), "{text}");
    assert_eq!(text.matches("auto (gemv)").count(), 2, "{text}");
}

fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / 8_388_608.0 - 1.0
    };
    (0..len).map(|_| draw()).collect()
}

fn quantized(recipe: impl Into<Recipe>, n: usize, k: usize) -> QuantMatrix {
    let shape = MatShape::new(n, k).unwrap();
    lowbit::ops::quantize(Values::F32(&noise(1, n * k)), shape, recipe, &Device::cpu()).unwrap()
}

/// Right products pass on every strategy and type; one wrong element, code, scale or row does not.
#[test]
fn a_wrong_product_is_found() {
    let (n, k, m) = (130, 192, 5);
    let device = Device::cpu();
    let llm_int8 = Activations::Int8 { threshold: 6.0 };
    for (matrix, activations) in
        [(quantized(Nf4::default(), n, k), Activations::Float), (quantized(Int8::default(), n, k), llm_int8)]
    {
        let expected = Expected::of_matrix(&matrix, activations);
        let prepared = lowbit::ops::prepare(matrix.clone().into(), None, activations, &device).unwrap();
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            let host = OwnedValues::from_f32(dtype, &noise(2, m * k));
            let x = Tensor::new(host.clone(), &[m, k]).unwrap();
            for strategy in [Strategy::Fused, Strategy::Gemv, Strategy::DequantizeThenMultiply] {
                let y = lowbit::ops::matmul(&x, &prepared, strategy).unwrap();
                expected.check(host.as_values(), &y, &device).unwrap_or_else(|e| panic!("{dtype} {strategy}: {e}"));
                planted(&expected, &host, &y, n, &device);
            }
        }
    }
}

/// Errors in the last element, in a whole tile of 64 columns, and rows that changed places.
fn planted(expected: &Expected, x: &OwnedValues, y: &Tensor, n: usize, device: &Device) {
    let right = y.values().unwrap().to_f32();
    let found = |change: &dyn Fn(&mut Vec<f32>)| {
        let mut wrong = right.clone();
        change(&mut wrong);
        let wrong = Tensor::new(OwnedValues::from_f32(y.dtype(), &wrong), y.shape()).unwrap();
        matches!(expected.check(x.as_values(), &wrong, device), Err(Error::WrongProduct { .. }))
    };
    assert!(!found(&|_| {}));
    assert!(found(&|y| *y.last_mut().unwrap() += 4.0));
    assert!(found(&|y| y[0] = f32::NAN));
    assert!(found(&|y| (0..right.len()).filter(|i| i % n / 64 == 1).for_each(|i| y[i] = 0.0)));
    assert!(found(&|y| y.rotate_left(n)));
}

/// The code and the scale of one weight that the check looks at.
#[test]
fn a_wrong_weight_is_found() {
    let (n, k) = (8, 64);
    let device = Device::cpu();
    let matrix = quantized(Nf4::default(), n, k);
    let mut parts = matrix.clone().into_parts();
    parts.codes[0] ^= 0xf0;
    let changed = QuantMatrix::from_parts(matrix.format(), matrix.shape(), Dtype::F32, parts).unwrap();
    let x = Tensor::new(noise(3, k), &[1, k]).unwrap();
    let prepared = lowbit::ops::prepare(changed.into(), None, Activations::Float, &device).unwrap();
    let y = lowbit::ops::matmul(&x, &prepared, Strategy::Auto).unwrap();
    let checked = Expected::of_matrix(&matrix, Activations::Float).check(x.values().unwrap(), &y, &device);
    assert!(matches!(checked, Err(Error::WrongProduct { row: 0, column: 0, .. })), "{checked:?}");
}

#[test]
fn every_model_has_shapes() {
    for model in lowbit::bench::models::MODELS {
        let shapes = lowbit::bench::models::shapes(&[model], &[]).unwrap();
        assert!(!shapes.is_empty(), "{}", model.name);
    }
    let shared = ["llama-3-8b", "mistral-7b"].map(|name| lowbit::bench::models::find(name).unwrap());
    let shapes = lowbit::bench::models::shapes(&shared, &[MatShape::new(4096, 14336).unwrap()]).unwrap();
    assert_eq!(shapes.len(), 4, "the same shapes, each once");
    assert_eq!(shapes[1].layers, ["llama-3-8b o", "mistral-7b o"]);
}
