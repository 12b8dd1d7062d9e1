//! [`Recipe`]: a format, and how its scales are chosen.

use crate::formats::Format;

/// How the scale of a block is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ScaleRule {
    /// From the largest magnitude (or the range) of the block: what bitsandbytes does, bit for bit.
    #[default]
    Absmax,
    /// The scale that minimises the block's squared error. The files stay the same: a reader takes a stored scale as it is.
    /// For NF4, FP4 and INT4.
    Search,
}

/// What to make of a weight matrix. Built by [`Nf4`](crate::Nf4), [`Fp4`](crate::Fp4), [`Int8`](crate::Int8), ...
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Recipe {
    /// The format of the result.
    pub format: Format,
    /// How its scales are chosen.
    pub scale_rule: ScaleRule,
}

impl From<Format> for Recipe {
    /// The format with [`ScaleRule::Absmax`].
    fn from(format: Format) -> Self {
        Self { format, scale_rule: ScaleRule::Absmax }
    }
}

/// The setters that NF4 and FP4 share, and their conversion into a [`Recipe`].
macro_rules! codebook4_builder {
    ($name:ident) => {
        impl $name {
            /// Values per absmax, over the flattened matrix. 64 unless set, as in bitsandbytes.
            pub fn block_size(mut self, block_size: $crate::shape::BlockSize) -> Self {
                self.block_size = block_size;
                self
            }

            /// Stores the absmax values in 8 bits: bitsandbytes' `compress_statistics`, transformers'
            /// `bnb_4bit_use_double_quant`. Off unless set.
            pub fn double_quant(mut self, on: bool) -> Self {
                self.absmax = if on { $crate::formats::AbsmaxKind::Nested } else { $crate::formats::AbsmaxKind::F32 };
                self
            }

            /// Chooses each scale to minimise the squared error ([`ScaleRule::Search`]). Off unless set.
            ///
            /// [`ScaleRule::Search`]: crate::formats::ScaleRule::Search
            pub fn search(mut self, on: bool) -> Self {
                self.scale_rule =
                    if on { $crate::formats::ScaleRule::Search } else { $crate::formats::ScaleRule::Absmax };
                self
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    block_size: $crate::shape::BlockSize::B64,
                    absmax: $crate::formats::AbsmaxKind::F32,
                    scale_rule: $crate::formats::ScaleRule::Absmax,
                }
            }
        }

        impl From<$name> for $crate::formats::Recipe {
            fn from(builder: $name) -> Self {
                let $name { block_size, absmax, scale_rule } = builder;
                Self { format: $crate::formats::Format::$name { block_size, absmax }, scale_rule }
            }
        }
    };
}
pub(super) use codebook4_builder;
