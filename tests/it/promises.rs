//! The matrix instructions that kernels are written for: asserted in the machine code, and of each simulated launch.

use ptx_sim::Counts;

/// What a kernel multiplies with.
pub struct Promise {
    /// The beginning of the names of the kernels.
    pub kernels: &'static str,
    /// The end of the names of those among them that multiply nothing.
    pub except: &'static str,
    /// The architectures that have it.
    pub archs: &'static [&'static str],
    /// In SASS, without its types.
    pub instruction: &'static str,
    /// In PTX: the shape and types of the product, and of what else may be added to it.
    pub forms: &'static [&'static str],
}

const ALL: &[&str] = &["80", "89", "90a", "100", "120"];

const F16: &[&str] = &["m16n8k16.row.col.f32.f16.f16.f32"];
const BF16: &[&str] = &["m16n8k16.row.col.f32.bf16.bf16.f32"];
/// Codes, then the columns that LLM.int8() leaves in floating point.
const S8_F16: &[&str] = &["m16n8k32.row.col.s32.s8.s8.s32", F16[0]];
const S8_BF16: &[&str] = &["m16n8k32.row.col.s32.s8.s8.s32", BF16[0]];
const AFFINE_F16: &[&str] = &["m16n8k32.row.col.s32.s8.u8.s32", F16[0]];
const AFFINE_BF16: &[&str] = &["m16n8k32.row.col.s32.s8.u8.s32", BF16[0]];
/// Codes of int4_channel_group, widened to bytes, times those of x.
const U8_S8: &[&str] = &["m16n8k32.row.col.s32.u8.s8.s32"];

/// The same by wgmma, of any number of tokens.
const WGMMA_S8_F16: &[&str] = &["k32.s32.s8.s8", F16[0]];
const WGMMA_S8_BF16: &[&str] = &["k32.s32.s8.s8", BF16[0]];
const WGMMA_AFFINE_F16: &[&str] = &["k32.s32.u8.s8", F16[0]];
const WGMMA_AFFINE_BF16: &[&str] = &["k32.s32.u8.s8", BF16[0]];
const WGMMA_U8_S8: &[&str] = &["k32.s32.u8.s8"];

/// The architectures whose tensor cores multiply 4-bit codes.
const AMPERE_ADA: &[&str] = &["80", "89"];
const S4: &[&str] = &["m16n8k64.row.col.s32.s4.s4.s32"];

/// Every kernel with a product; of two that fit a name the first holds.
pub const PROMISES: &[Promise] = &[
    promise("gemm_dense_f16", "HMMA.16816", F16),
    promise("gemm_dense_bf16", "HMMA.16816", BF16),
    Promise { archs: AMPERE_ADA, ..promise("gemm_int4_f16", "IMMA.16864.S4.S4", S4) },
    Promise { archs: AMPERE_ADA, ..promise("gemm_int4_bf16", "IMMA.16864.S4.S4", S4) },
    promise("gemm_int8_f16_affine", "IMMA.16832", AFFINE_F16),
    promise("gemm_int8_bf16_affine", "IMMA.16832", AFFINE_BF16),
    promise("gemm_int8_f16", "IMMA.16832", S8_F16),
    promise("gemm_int8_bf16", "IMMA.16832", S8_BF16),
    hopper("gemm_int8_sm90_f16_affine", "IGMMA", WGMMA_AFFINE_F16),
    hopper("gemm_int8_sm90_bf16_affine", "IGMMA", WGMMA_AFFINE_BF16),
    hopper("gemm_int8_sm90_f16", "IGMMA", WGMMA_S8_F16),
    hopper("gemm_int8_sm90_bf16", "IGMMA", WGMMA_S8_BF16),
    promise("gemm_w4_f16", "HMMA.16816", F16),
    promise("gemm_w4_bf16", "HMMA.16816", BF16),
    promise("gemm_w4a8_f16", "IMMA.16832", U8_S8),
    promise("gemm_w4a8_bf16", "IMMA.16832", U8_S8),
    hopper("gemm_w4a8_sm90_f16", "IGMMA", WGMMA_U8_S8),
    hopper("gemm_w4a8_sm90_bf16", "IGMMA", WGMMA_U8_S8),
    hopper("gemm_w4_sm90_f16_m16", "HGMMA.64x16x16", &["m64n16k16.f32.f16.f16"]),
    hopper("gemm_w4_sm90_f16_m32", "HGMMA.64x32x16", &["m64n32k16.f32.f16.f16"]),
    hopper("gemm_w4_sm90_f16_m64", "HGMMA.64x64x16", &["m64n64k16.f32.f16.f16"]),
    hopper("gemm_w4_sm90_f16_m128", "HGMMA.64x128x16", &["m64n128k16.f32.f16.f16"]),
    hopper("gemm_w4_sm90_bf16_m16", "HGMMA.64x16x16", &["m64n16k16.f32.bf16.bf16"]),
    hopper("gemm_w4_sm90_bf16_m32", "HGMMA.64x32x16", &["m64n32k16.f32.bf16.bf16"]),
    hopper("gemm_w4_sm90_bf16_m64", "HGMMA.64x64x16", &["m64n64k16.f32.bf16.bf16"]),
    hopper("gemm_w4_sm90_bf16_m128", "HGMMA.64x128x16", &["m64n128k16.f32.bf16.bf16"]),
    promise("gemv_w4_f16", "HMMA.16816", F16),
    promise("gemv_w4_bf16", "HMMA.16816", BF16),
];

const fn promise(kernels: &'static str, instruction: &'static str, forms: &'static [&'static str]) -> Promise {
    Promise { kernels, except: "_sum", archs: ALL, instruction, forms }
}

/// Of code for sm_90a alone.
const fn hopper(kernels: &'static str, instruction: &'static str, forms: &'static [&'static str]) -> Promise {
    Promise { kernels, except: "_sum", archs: &["90a"], instruction, forms }
}

impl Promise {
    /// The promise about a kernel, if there is one.
    pub fn of<'a>(promises: &'a [Self], kernel: &str) -> Option<&'a Self> {
        promises.iter().find(|promise| kernel.starts_with(promise.kernels) && !kernel.ends_with(promise.except))
    }

    /// What a launch multiplied with instead.
    pub fn complaint(&self, counts: &Counts) -> Option<String> {
        let kept = |form: &String| self.forms.iter().any(|promised| form.ends_with(promised));
        let promised = counts.matrix_macs.keys().any(|form| form.ends_with(self.forms[0]));
        let others: Vec<&String> = counts.matrix_macs.keys().filter(|form| !kept(form)).collect();
        match (promised, others.is_empty()) {
            (true, true) => None,
            // With K = 0 there is no product.
            (false, true) if counts.scalar_macs == 0 => None,
            (false, _) => Some(format!("no multiply-accumulate by {}", self.forms[0])),
            (true, false) => Some(format!("multiply-accumulates by {others:?}, promised was {:?}", self.forms)),
        }
    }
}

#[test]
fn a_launch_that_breaks_its_promise_is_found() {
    let promise = Promise::of(PROMISES, "gemm_dense_f16_small").unwrap();
    let counts = |forms: &[&str]| Counts {
        matrix_macs: forms.iter().map(|form| (format!("mma.sync.aligned.{form}"), 1)).collect(),
        ..Counts::default()
    };
    assert_eq!(promise.complaint(&counts(F16)), None);
    assert_eq!(promise.complaint(&counts(&[])), None);
    assert!(promise.complaint(&Counts { scalar_macs: 1, ..Counts::default() }).is_some());
    assert!(promise.complaint(&counts(&[F16[0], BF16[0]])).is_some());
    assert!(Promise::of(PROMISES, "gemv_w4_f16_sum").is_none() && Promise::of(PROMISES, "gemm_dense_f32").is_none());
}
