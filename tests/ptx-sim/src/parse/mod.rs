//! PTX text to the decoded form.

mod error;
pub use error::ParseError;
