//! [`Isa`]: which instruction set the kernels use, chosen at run time.

#[cfg(target_arch = "x86_64")]
use crate::cpu::arch::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use crate::cpu::arch::avx512::Avx512;
use crate::cpu::arch::scalar::Scalar;
use crate::cpu::simd::Op;
use crate::cpu::simd::Simd;

/// An instruction set that this CPU has: a value is proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512<false>),
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16(Avx512<true>),
}

impl Isa {
    /// All that this CPU has, the slowest first. Plain Rust is always there.
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut))]
        let mut all = vec![Self(Kind::Scalar)];
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(Avx2::detect().map(|token| Self(Kind::Avx2(token))));
            all.extend(Avx512::detect().map(|token| Self(Kind::Avx512(token))));
            all.extend(Avx512::detect().map(|token| Self(Kind::Avx512Bf16(token))));
        }
        all
    }

    /// The fastest one.
    pub fn best() -> Self {
        Self::available().pop().unwrap_or(Self(Kind::Scalar))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Scalar => "CPU (scalar)",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => "CPU (AVX2)",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => "CPU (AVX-512 VNNI)",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Bf16(_) => "CPU (AVX-512 VNNI BF16)",
        }
    }

    /// Whether it multiplies pairs of bf16 values in one instruction.
    pub(crate) fn multiplies_bf16(self) -> bool {
        struct NativeBf16;
        impl Op for NativeBf16 {
            type Output = bool;
            fn eval<S: Simd>(self, _: S) -> bool {
                S::NATIVE_BF16
            }
        }
        self.run(NativeBf16)
    }

    /// Evaluates `op`, compiled for this instruction set.
    pub(crate) fn run<O: Op>(self, op: O) -> O::Output {
        match self.0 {
            Kind::Scalar => op.eval(Scalar),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(token) => token.run(op),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(token) => token.run(op),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Bf16(token) => token.run(op),
        }
    }
}
