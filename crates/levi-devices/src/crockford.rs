//! Crockford's base32 (<https://www.crockford.com/base32.html>): digits and letters without I, L, O
//! and U, most significant bit first. For texts that a person reads, types or scans.

use zeroize::Zeroizing;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Characters of one group. Groups are joined by hyphens.
pub(crate) const GROUP: usize = 4;

/// Whether a person may write `character` between groups.
pub(crate) fn is_separator(character: char) -> bool {
    character == '-' || character.is_whitespace()
}

/// The value of one character, 0 to 31. Lower case is the same, O is 0, and I and L are 1.
pub(crate) fn value(character: char) -> Option<u8> {
    let upper = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let position = ALPHABET.iter().position(|known| char::from(*known) == upper)?;
    u8::try_from(position).ok()
}

/// Splits bytes into symbols of five bits. The last symbol is filled up with zero bits.
pub(crate) fn symbols(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut symbols = Zeroizing::new(Vec::with_capacity((bytes.len() * 8).div_ceil(5)));
    let (mut buffer, mut bits) = (0_u16, 0);
    for byte in bytes {
        buffer = buffer << 8 | u16::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            symbols.push((buffer >> bits & 31) as u8);
        }
    }
    if bits > 0 {
        symbols.push((buffer << (5 - bits) & 31) as u8);
    }
    symbols
}

/// Joins symbols of five bits to bytes. The last byte is filled up with zero bits.
pub(crate) fn bytes(symbols: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity((symbols.len() * 5).div_ceil(8)));
    let (mut buffer, mut bits) = (0_u16, 0);
    for symbol in symbols {
        buffer = buffer << 5 | u16::from(*symbol);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits) as u8);
        }
    }
    if bits > 0 {
        bytes.push((buffer << (8 - bits)) as u8);
    }
    bytes
}

/// Writes symbols as characters, in groups of four with hyphens between them.
pub(crate) fn grouped(symbols: &[u8]) -> String {
    // Sized up front, because a growing buffer would leave copies of a secret in freed memory.
    let mut text = String::with_capacity(symbols.len() + symbols.len() / GROUP);
    for (index, symbol) in symbols.iter().enumerate() {
        if index > 0 && index % GROUP == 0 {
            text.push('-');
        }
        text.push(char::from(ALPHABET[usize::from(symbol & 31)]));
    }
    text
}

/// Why typed text does not have the form of a code of `N` characters. Groups count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FormError {
    /// A character outside the alphabet.
    Character { group: usize },
    /// A group that does not have four characters.
    GroupLength { group: usize, characters: usize },
    /// Too few or too many characters altogether.
    Length { characters: usize },
}

/// Reads the symbols of a code of `length` characters, with or without separators between the
/// groups.
pub(crate) fn parse(text: &str, length: usize) -> Result<Zeroizing<Vec<u8>>, FormError> {
    let groups: Vec<&str> = text.split(is_separator).filter(|group| !group.is_empty()).collect();
    if groups.len() > 1 {
        for (index, group) in groups.iter().enumerate() {
            let characters = group.chars().count();
            if characters != GROUP {
                return Err(FormError::GroupLength { group: index + 1, characters });
            }
        }
    }
    let mut symbols = Zeroizing::new(Vec::with_capacity(length));
    let mut characters = 0;
    for character in groups.iter().flat_map(|group| group.chars()) {
        let symbol = value(character).ok_or(FormError::Character { group: characters / GROUP + 1 })?;
        characters += 1;
        if symbols.len() < length {
            symbols.push(symbol);
        }
    }
    if characters == length { Ok(symbols) } else { Err(FormError::Length { characters }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_has_one_value_and_lookalikes_are_read_as_digits() {
        for (position, character) in ALPHABET.iter().enumerate() {
            let character = char::from(*character);
            assert_eq!(value(character).map(usize::from), Some(position));
            assert_eq!(value(character.to_ascii_lowercase()).map(usize::from), Some(position));
        }
        assert_eq!("oOiIlL".chars().map(value).collect::<Vec<_>>(), [0, 0, 1, 1, 1, 1].map(Some));
        assert!("uU*-\u{E4}".chars().all(|character| value(character).is_none()));
    }

    #[test]
    fn bytes_come_back_from_their_symbols() {
        for length in 0..40_u8 {
            let original: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(37).wrapping_add(200)).collect();
            assert_eq!(bytes(&symbols(&original))[..original.len()], original);
        }
    }

    #[test]
    fn the_error_names_the_group() {
        assert_eq!(parse("1234-5678", 8).unwrap()[..], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(parse(" 1234 5678\n", 8), parse("12345678", 8));
        assert_eq!(parse("1234-56U8", 8), Err(FormError::Character { group: 2 }));
        assert_eq!(parse("1234-567", 8), Err(FormError::GroupLength { group: 2, characters: 3 }));
        assert_eq!(parse("1234567", 8), Err(FormError::Length { characters: 7 }));
        assert_eq!(parse("1234-5678-9000", 8), Err(FormError::Length { characters: 12 }));
        assert_eq!(parse("", 8), Err(FormError::Length { characters: 0 }));
    }
}
