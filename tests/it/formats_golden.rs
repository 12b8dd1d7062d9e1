//! Quantizing and dequantizing, held bit for bit against what bitsandbytes 0.50.2 produces (tests/data/bitsandbytes).

use lowbit::Device;
use lowbit::MatShape;
use lowbit::QuantMatrix;
use lowbit::formats::AbsmaxKind;
use lowbit::formats::Format;
use lowbit::formats::NestedAbsmax;
use lowbit::formats::Parts;
use lowbit::formats::Scales;
use lowbit::functional;
use lowbit::functional::CompressStatistics;
use lowbit::functional::QuantType;
use lowbit::shape::BlockSize;
use lowbit::values::Dtype;
use lowbit::values::OwnedValues;

use crate::support::Vectors;
use crate::support::devices;
use crate::support::same;
use crate::support::same_bits;

/// One input and block size of a vector file.
struct Case {
    /// `<case>/<dtype>`.
    input: String,
    /// `<case>/<dtype>/.../bs<B>`.
    prefix: String,
    block_size: BlockSize,
}

/// The cases that have the tensor `<prefix>/<tensor>`.
fn cases(file: &Vectors, tensor: &str) -> Vec<Case> {
    let cases: Vec<Case> = file
        .names()
        .iter()
        .filter_map(|name| {
            let prefix = name.strip_suffix(tensor)?.strip_suffix('/')?;
            let (head, size) = prefix.rsplit_once("/bs")?;
            let input = head.split('/').take(2).collect::<Vec<_>>().join("/");
            let block_size = BlockSize::new(size.parse().ok()?).unwrap();
            Some(Case { input, prefix: prefix.to_string(), block_size })
        })
        .collect();
    assert!(cases.len() > 10, "{tensor}: only {} cases", cases.len());
    cases
}

/// FP4's two codes of zero made one.
fn one_zero(packed: &[u8], quant_type: QuantType) -> Vec<u8> {
    let fold = |code: u8| if quant_type == QuantType::Fp4 && code == 8 { 0 } else { code };
    packed.iter().map(|b| fold(b >> 4) << 4 | fold(b & 15)).collect()
}

fn dequantize(matrix: &QuantMatrix, dtype: Dtype, device: &Device) -> OwnedValues {
    let mut out = OwnedValues::zeros(dtype, matrix.shape().num_values());
    functional::dequantize_4bit(matrix, out.as_values_mut(), device).unwrap();
    out
}

/// Every `dequant_<dtype>` the file has for `prefix` equals ours, bit for bit; FP4's zeros may differ in sign.
fn check_dequantized(file: &Vectors, prefix: &str, matrix: &QuantMatrix, device: &Device) -> Result<(), String> {
    for (name, dtype) in [("f32", Dtype::F32), ("f16", Dtype::F16), ("bf16", Dtype::Bf16)] {
        let name = format!("{prefix}/dequant_{name}");
        if file.has(&name) {
            let values = |values: OwnedValues| match matrix.format() {
                // Adding 0.0 turns -0.0 into 0.0.
                Format::Fp4 { .. } => values.as_values().to_f32().iter().map(|v| v + 0.0).collect(),
                _ => values.as_values().to_f32(),
            };
            same_bits(&name, &values(file.values(&name)), &values(dequantize(matrix, dtype, device)))?;
        }
    }
    Ok(())
}

fn check_plain(file: &Vectors, case: &Case, matrix: &QuantMatrix, quant_type: QuantType) -> Result<(), String> {
    let packed: Vec<u8> = file.get(&format!("{}/packed", case.prefix));
    same(&case.prefix, &one_zero(&packed, quant_type), &one_zero(matrix.codes(), quant_type))?;
    let absmax: Vec<f32> = file.get(&format!("{}/absmax", case.prefix));
    same_bits(&format!("{}/absmax", case.prefix), &absmax, &matrix.scales().to_f32())
}

fn four_bit_file(quant_type: QuantType) -> Vectors {
    Vectors::open(match quant_type {
        QuantType::Nf4 => "bitsandbytes/bnb_nf4.safetensors",
        QuantType::Fp4 => "bitsandbytes/bnb_fp4.safetensors",
    })
}

fn four_bit_format(quant_type: QuantType, block_size: BlockSize, absmax: AbsmaxKind) -> Format {
    match quant_type {
        QuantType::Nf4 => Format::Nf4 { block_size, absmax },
        QuantType::Fp4 => Format::Fp4 { block_size, absmax },
    }
}

fn quantize(file: &Vectors, case: &Case, quant_type: QuantType, device: &Device) -> QuantMatrix {
    let input = file.values(&format!("{}/input", case.input));
    functional::quantize_4bit(input.as_values(), case.block_size, CompressStatistics::No, quant_type, device).unwrap()
}

#[test]
fn codebooks_are_bitsandbytes() {
    for quant_type in [QuantType::Nf4, QuantType::Fp4] {
        let file = four_bit_file(quant_type);
        let format = four_bit_format(quant_type, BlockSize::B64, AbsmaxKind::F32);
        // -0.0 and 0.0 are the same value of code 8.
        same("code", &file.get::<f32>("code"), &format.codebook().unwrap()).unwrap();
        same_bits("nested_code", &file.get::<f32>("nested_code"), &NestedAbsmax::default_map()[..]).unwrap();
    }
}

#[test]
fn four_bit_codes_and_absmax_are_bitsandbytes() {
    for quant_type in [QuantType::Nf4, QuantType::Fp4] {
        let file = four_bit_file(quant_type);
        for device in devices() {
            for case in cases(&file, "packed") {
                let matrix = quantize(&file, &case, quant_type, &device);
                check_plain(&file, &case, &matrix, quant_type).unwrap_or_else(|e| panic!("{}: {e}", device.name()));
            }
        }
    }
}

/// The matrix that bitsandbytes' own arrays describe.
fn stored(file: &Vectors, case: &Case, quant_type: QuantType, nested: bool) -> QuantMatrix {
    let codes: Vec<u8> = file.get(&format!("{}/packed", case.prefix));
    let n = file.shape(&format!("{}/input", case.input))[0];
    let (absmax, scales) = if nested {
        let nested = format!("{}/nested", case.prefix);
        let scales = Scales::Nested(NestedAbsmax {
            codes: file.get(&format!("{nested}/absmax")),
            absmax: file.get(&format!("{nested}/nested_absmax")),
            offset: file.get::<f32>(&format!("{nested}/offset"))[0],
            map: NestedAbsmax::default_map(),
        });
        (AbsmaxKind::Nested, scales)
    } else {
        (AbsmaxKind::F32, Scales::F32(file.get(&format!("{}/absmax", case.prefix))))
    };
    let format = four_bit_format(quant_type, case.block_size, absmax);
    let parts = Parts { codes, scales, zero_points: None, map: None, steps: None };
    QuantMatrix::from_parts(format, MatShape::new(1, n).unwrap(), Dtype::F32, parts).unwrap()
}

#[test]
fn four_bit_dequantizes_as_bitsandbytes() {
    for quant_type in [QuantType::Nf4, QuantType::Fp4] {
        let file = four_bit_file(quant_type);
        for device in devices() {
            for case in cases(&file, "packed") {
                let plain = stored(&file, &case, quant_type, false);
                check_dequantized(&file, &case.prefix, &plain, &device).unwrap();
                let nested = format!("{}/nested", case.prefix);
                if file.has(&format!("{nested}/absmax")) {
                    let matrix = stored(&file, &case, quant_type, true);
                    check_dequantized(&file, &nested, &matrix, &device).unwrap();
                }
            }
        }
    }
}

/// The distance between two floats of one sign in units of the last place.
fn ulps(a: f32, b: f32) -> u32 {
    a.to_bits().abs_diff(b.to_bits())
}

/// bitsandbytes' mean is a f32 sum, ours an f64 one: 2 ulp. Where they agree, everything else is exact.
#[test]
fn double_quantization_is_bitsandbytes() {
    let (mut same_offset, mut all) = (0, 0);
    for quant_type in [QuantType::Nf4, QuantType::Fp4] {
        let file = four_bit_file(quant_type);
        for device in devices() {
            for case in cases(&file, "packed") {
                let nested = format!("{}/nested", case.prefix);
                if !file.has(&format!("{nested}/absmax")) {
                    continue;
                }
                let input = file.values(&format!("{}/input", case.input));
                let compress = CompressStatistics::Yes;
                let values = input.as_values();
                let matrix = functional::quantize_4bit(values, case.block_size, compress, quant_type, &device).unwrap();
                let Scales::Nested(ours) = matrix.scales() else { panic!("{nested}: not nested") };
                let offset = file.get::<f32>(&format!("{nested}/offset"))[0];
                assert!(ulps(offset, ours.offset) <= 2, "{nested}: offset {}, expected {offset}", ours.offset);
                all += 1;
                if offset == ours.offset {
                    same_offset += 1;
                    same(&nested, &file.get::<u8>(&format!("{nested}/absmax_nearest")), &ours.codes).unwrap();
                    let absmax: Vec<f32> = file.get(&format!("{nested}/nested_absmax"));
                    same_bits(&nested, &absmax, &ours.absmax).unwrap();
                }
                // Given bitsandbytes' offset the rest is exact whatever our mean is.
                let plain: Vec<f32> = file.get(&format!("{}/absmax", case.prefix));
                let centred: Vec<f32> = plain.iter().map(|a| a - offset).collect();
                let again = functional::quantize_blockwise(centred[..].into(), None, BlockSize::B256, &device).unwrap();
                same(&nested, &file.get::<u8>(&format!("{nested}/absmax_nearest")), again.codes()).unwrap();
                let absmax: Vec<f32> = file.get(&format!("{nested}/nested_absmax"));
                same_bits(&nested, &absmax, &again.scales().to_f32()).unwrap();
            }
        }
    }
    assert!(same_offset * 10 > all * 8, "only {same_offset} of {all} offsets are the same");
}

#[test]
fn blockwise_8_bit_is_bitsandbytes() {
    let file = Vectors::open("bitsandbytes/bnb_blockwise8.safetensors");
    for device in devices() {
        for case in cases(&file, "q_nearest") {
            let code = case.prefix.split('/').nth(2).unwrap();
            let map: [f32; 256] = file.get::<f32>(&format!("code/{code}")).try_into().unwrap();
            let input = file.values(&format!("{}/input", case.input));
            for map in [Some(&map), None] {
                if map.is_none() && code != "dynamic" {
                    continue;
                }
                let matrix = functional::quantize_blockwise(input.as_values(), map, case.block_size, &device).unwrap();
                let codes: Vec<u8> = file.get(&format!("{}/q_nearest", case.prefix));
                same(&case.prefix, &codes, matrix.codes()).unwrap();
                let absmax: Vec<f32> = file.get(&format!("{}/absmax", case.prefix));
                same_bits(&case.prefix, &absmax, &matrix.scales().to_f32()).unwrap();
            }
            // bitsandbytes dequantized the codes of its table kernel.
            let mut parts =
                Parts::new(file.get(&format!("{}/q", case.prefix)), file.get(&format!("{}/absmax", case.prefix)));
            parts.map = Some(Box::new(map));
            let shape = MatShape::new(1, parts.codes.len()).unwrap();
            let format = Format::Dynamic8 { block_size: case.block_size };
            let stored = QuantMatrix::from_parts(format, shape, Dtype::F32, parts).unwrap();
            check_dequantized(&file, &case.prefix, &stored, &device).unwrap();
        }
    }
}

#[test]
fn int8_rows_are_bitsandbytes() {
    let file = Vectors::open("bitsandbytes/bnb_int8.safetensors");
    let mut checked = 0;
    for device in devices() {
        for name in file.names() {
            let Some(prefix) = name.strip_suffix("/input") else { continue };
            let (input, shape) = (file.values(&name), file.shape(&name));
            let shape = MatShape::new(shape[0], shape[1]).unwrap();
            let matrix = lowbit::ops::quantize(input.as_values(), shape, lowbit::Int8::default(), &device).unwrap();
            same(prefix, &file.get::<i8>(&format!("{prefix}/q")), matrix.codes_i8()).unwrap();
            let absmax: Vec<f32> = file.get(&format!("{prefix}/row_absmax"));
            same_bits(prefix, &absmax, &matrix.scales().to_f32()).unwrap();
            check_dequantized(&file, prefix, &matrix, &device).unwrap();
            // Activations take the same rule.
            let rows = functional::int8_vectorwise_quant(input.as_values(), shape.k(), 0.0, &device).unwrap();
            same(prefix, matrix.codes_i8(), &rows.codes).unwrap();
            same_bits(prefix, &absmax, &rows.absmax).unwrap();
            checked += 1;
        }
    }
    assert!(checked >= 13);
}

/// The checks above can fail: one flipped code, one swapped scale, one value an ulp off.
#[test]
fn a_planted_error_is_found() {
    for quant_type in [QuantType::Nf4, QuantType::Fp4] {
        let file = four_bit_file(quant_type);
        let case = cases(&file, "packed").into_iter().find(|c| c.prefix == "normal/f32/bs64").unwrap();
        let good = quantize(&file, &case, quant_type, &Device::cpu());
        check_plain(&file, &case, &good, quant_type).unwrap();
        check_dequantized(&file, &case.prefix, &good, &Device::cpu()).unwrap();

        let rebuilt = |change: &dyn Fn(&mut Parts)| {
            let mut parts = good.clone().into_parts();
            change(&mut parts);
            QuantMatrix::from_parts(good.format(), good.shape(), good.dtype(), parts).unwrap()
        };
        let swap = |parts: &mut Parts| match &mut parts.scales {
            Scales::F32(scales) => scales.swap(0, 1),
            Scales::Nested(_) => unreachable!(),
        };
        for bad in [rebuilt(&|parts| parts.codes[100] ^= 0x11), rebuilt(&swap)] {
            assert!(check_plain(&file, &case, &bad, quant_type).is_err());
            assert!(check_dequantized(&file, &case.prefix, &bad, &Device::cpu()).is_err());
        }
    }
    assert!(same_bits("", &[1.0], &[1.0000001]).is_err() && same_bits("", &[0.0], &[-0.0]).is_err());
}
