//! PTX text to the decoded form: tokens, then statements with names, then instructions without.

mod ast;
mod body;
mod cursor;
mod directives;
mod error;
mod lexer;
mod lower;
pub(crate) mod types;

pub use error::ParseError;

/// Parses and decodes a module; its id is still to be given.
pub(crate) fn module(text: &str) -> Result<crate::Module, ParseError> {
    let mut cursor = cursor::Cursor::new(lexer::tokens(text)?);
    let (raw, files) = directives::module(&mut cursor)?;
    lower::module(&raw, &files)
}
