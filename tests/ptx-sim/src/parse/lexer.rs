//! Text to tokens.

use crate::ParseError;

/// One token and the line it starts on.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub line: u32,
    pub kind: TokenKind,
}

/// Names keep their dots and their leading `%`, `$` or `.`: `.reg`, `%tid.x`, `ld.global.L1::no_allocate.v4.u32`.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenKind {
    Name(String),
    /// As spelled: `12`, `0x1F`, `0f3F800000`, `1.5`.
    Number(String),
    Text(String),
    Symbol(char),
}

/// Splits a PTX text.
pub fn tokens(text: &str) -> Result<Vec<Token>, ParseError> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let rest = &text[at..];
        let byte = bytes[at];
        let (kind, length) = match byte {
            b'\n' => {
                line += 1;
                at += 1;
                continue;
            }
            b' ' | b'\t' | b'\r' => {
                at += 1;
                continue;
            }
            b'/' if rest.starts_with("//") => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            b'/' if rest.starts_with("/*") => {
                let length = rest.find("*/").ok_or_else(|| ParseError::new(line, "comment without end"))? + 2;
                line += rest[..length].matches('\n').count() as u32;
                at += length;
                continue;
            }
            b'"' => {
                let end = rest[1..].find('"').ok_or_else(|| ParseError::new(line, "string without end"))?;
                (TokenKind::Text(rest[1..=end].to_owned()), end + 2)
            }
            b'0'..=b'9' => {
                let length = length_of(rest, |c| c.is_ascii_alphanumeric() || c == '.');
                (TokenKind::Number(rest[..length].to_owned()), length)
            }
            _ if starts_name(byte) => {
                let length = name_length(rest);
                (TokenKind::Name(rest[..length].to_owned()), length)
            }
            _ if byte.is_ascii() => (TokenKind::Symbol(byte as char), 1),
            _ => return Err(ParseError::new(line, "a character outside ASCII")),
        };
        found.push(Token { line, kind });
        at += length;
    }
    Ok(found)
}

fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$' | b'%' | b'.')
}

fn length_of(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// A name may contain `::` but not end in the `:` of a label; `.reg.b16` is two directives.
fn name_length(text: &str) -> usize {
    if let Some(rest) = text.strip_prefix('.') {
        return 1 + length_of(rest, |c| c.is_ascii_alphanumeric() || "_$%".contains(c));
    }
    let mut length = 0;
    loop {
        length += length_of(&text[length..], |c| c.is_ascii_alphanumeric() || "_$%.".contains(c));
        if !text[length..].starts_with("::") {
            return length;
        }
        length += 2;
    }
}
