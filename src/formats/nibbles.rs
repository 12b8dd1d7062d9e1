//! The order of 4-bit codes in bytes: bitsandbytes', used by every 4-bit format here.
//!
//! ```text
//! byte j    bits 7..4           bits 3..0
//!           value 2j            value 2j + 1
//! ```
//! Values are those of the flattened matrix, so a row with odd K begins in the low half of a byte. An odd number of values
//! leaves the last low half as padding; it is ignored when read.

/// The code of value `index`.
///
/// # Panics
/// When `packed` is too short.
pub fn get(packed: &[u8], index: usize) -> u8 {
    let byte = packed[index / 2];
    if index.is_multiple_of(2) { byte >> 4 } else { byte & 15 }
}

/// Sets the code of value `index` to `code`, of which only the low four bits count.
///
/// # Panics
/// When `packed` is too short.
pub fn set(packed: &mut [u8], index: usize, code: u8) {
    let byte = &mut packed[index / 2];
    *byte = if index.is_multiple_of(2) { (*byte & 15) | (code << 4) } else { (*byte & 0xf0) | (code & 15) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_even_value_is_in_the_high_half() {
        let mut packed = [0xff; 2];
        for (i, code) in [1, 2, 3].into_iter().enumerate() {
            set(&mut packed, i, code);
        }
        assert_eq!(packed, [0x12, 0x3f]);
        assert_eq!([0, 1, 2, 3].map(|i| get(&packed, i)), [1, 2, 3, 15]);
    }
}
