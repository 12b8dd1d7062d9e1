//! Walks over tokens.

use crate::ParseError;
use crate::parse::ast::Number;
use crate::parse::lexer::Token;
use crate::parse::lexer::TokenKind;

/// A position in a list of tokens.
pub struct Cursor {
    tokens: Vec<Token>,
    at: usize,
}

impl Cursor {
    pub fn new(tokens: Vec<Token>) -> Self {
        Self { tokens, at: 0 }
    }

    pub fn peek(&self) -> Option<&TokenKind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    pub fn peek_second(&self) -> Option<&TokenKind> {
        self.tokens.get(self.at + 1).map(|token| &token.kind)
    }

    /// The line of the next token, or of the last.
    pub fn line(&self) -> u32 {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |token| token.line)
    }

    pub fn error(&self, expected: &str) -> ParseError {
        let got = match self.peek() {
            Some(TokenKind::Name(text) | TokenKind::Number(text)) => text.clone(),
            Some(TokenKind::Text(text)) => format!("{text:?}"),
            Some(TokenKind::Symbol(symbol)) => symbol.to_string(),
            None => "the end of the text".to_owned(),
        };
        ParseError::new(self.line(), format!("expected {expected}, got {got}"))
    }

    pub fn advance(&mut self) {
        self.at += 1;
    }

    pub fn next_is(&self, symbol: char) -> bool {
        self.peek() == Some(&TokenKind::Symbol(symbol))
    }

    /// Takes the symbol if it is next.
    pub fn take(&mut self, symbol: char) -> bool {
        let found = self.next_is(symbol);
        self.at += usize::from(found);
        found
    }

    pub fn expect(&mut self, symbol: char) -> Result<(), ParseError> {
        if self.take(symbol) { Ok(()) } else { Err(self.error(&format!("'{symbol}'"))) }
    }

    /// Takes the name if it is next.
    pub fn take_name(&mut self, name: &str) -> bool {
        let found = matches!(self.peek(), Some(TokenKind::Name(next)) if next == name);
        self.at += usize::from(found);
        found
    }

    pub fn peek_name(&self) -> Option<&str> {
        match self.peek() {
            Some(TokenKind::Name(name)) => Some(name),
            _ => None,
        }
    }

    pub fn name(&mut self, what: &str) -> Result<String, ParseError> {
        match self.peek_name().map(str::to_owned) {
            Some(name) => {
                self.at += 1;
                Ok(name)
            }
            None => Err(self.error(what)),
        }
    }

    /// A literal with an optional sign.
    pub fn number(&mut self) -> Result<Number, ParseError> {
        let negative = self.take('-');
        let Some(TokenKind::Number(text)) = self.peek() else { return Err(self.error("a number")) };
        let number = parse_number(text, negative).ok_or_else(|| self.error("a number"))?;
        self.at += 1;
        Ok(number)
    }

    pub fn integer(&mut self) -> Result<u64, ParseError> {
        match self.number()? {
            Number::Integer(value) => Ok(value),
            _ => Err(self.error("an integer")),
        }
    }

    pub fn unsigned(&mut self) -> Result<u32, ParseError> {
        let line = self.line();
        let value = self.integer()?;
        u32::try_from(value).map_err(|_| ParseError::new(line, format!("{value} does not fit 32 bits")))
    }

    /// Skips what is between `{` and its `}`.
    pub fn skip_braces(&mut self) -> Result<(), ParseError> {
        self.expect('{')?;
        let mut depth = 1;
        while depth > 0 {
            match self.peek() {
                Some(TokenKind::Symbol('{')) => depth += 1,
                Some(TokenKind::Symbol('}')) => depth -= 1,
                Some(_) => {}
                None => return Err(self.error("'}'")),
            }
            self.at += 1;
        }
        Ok(())
    }
}

fn parse_number(text: &str, negative: bool) -> Option<Number> {
    let sign = |magnitude: u64| if negative { magnitude.wrapping_neg() } else { magnitude };
    if let Some(digits) = text.strip_prefix("0f").or(text.strip_prefix("0F")) {
        let bits = u32::from_str_radix(digits, 16).ok()?;
        return Some(Number::Single(bits ^ (u32::from(negative) << 31)));
    }
    if let Some(digits) = text.strip_prefix("0d").or(text.strip_prefix("0D")) {
        let bits = u64::from_str_radix(digits, 16).ok()?;
        return Some(Number::Double(bits ^ (u64::from(negative) << 63)));
    }
    let lower = text.to_ascii_lowercase();
    let integer = lower.trim_end_matches('u');
    if let Some(digits) = integer.strip_prefix("0x") {
        return Some(Number::Integer(sign(u64::from_str_radix(digits, 16).ok()?)));
    }
    if let Some(digits) = integer.strip_prefix("0b") {
        return Some(Number::Integer(sign(u64::from_str_radix(digits, 2).ok()?)));
    }
    if lower.contains('.') {
        let value: f64 = lower.parse().ok()?;
        return Some(Number::Double((if negative { -value } else { value }).to_bits()));
    }
    if integer.len() > 1 && integer.starts_with('0') {
        return Some(Number::Integer(sign(u64::from_str_radix(integer, 8).ok()?)));
    }
    Some(Number::Integer(sign(integer.parse().ok()?)))
}
