//! Low-bit linear layers: weights in 8 bits or 4, quantized, stored and multiplied.
pub mod cpu;
pub mod device;
pub mod error;
pub mod formats;
pub mod ops;
pub mod reference;
pub mod shape;
pub mod tensor;
pub mod values;

pub use device::Device;
pub use error::Error;
pub use error::Result;
pub use formats::AffineInt8;
pub use formats::Dynamic8;
pub use formats::Fp4;
pub use formats::Int4;
pub use formats::Int8;
pub use formats::Nf4;
pub use formats::QuantMatrix;
pub use formats::Recipe;
pub use shape::BlockSize;
pub use shape::Granularity;
pub use shape::GroupSize;
pub use shape::MatShape;
pub use tensor::Tensor;
pub use values::Dtype;
