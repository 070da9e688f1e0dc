//! The check of a recovery key: a Reed-Solomon code over GF(2^10).
//!
//! Not in constant time, because the person who types the key knows it.

use zeroize::Zeroizing;

use crate::crockford::GROUP;

/// Numbers of 10 bits in a key with its check.
const NUMBERS: usize = 28;

/// x^10 + x^3 + 1, which is primitive: the powers of x are all different up to the 1023rd.
const MODULUS: u16 = 0x409;

/// The four characters that make both sums zero.
pub(super) fn check_symbols(data: &[u8]) -> [u8; 4] {
    let (sum, weighted) = sums(data);
    // c_26 + c_27 = sum and c_26 x^26 + c_27 x^27 = weighted; addition is XOR.
    let divisor = power(NUMBERS - 2) ^ power(NUMBERS - 1);
    let last = divide(weighted ^ multiply(sum, power(NUMBERS - 2)), divisor);
    let first = sum ^ last;
    [first >> 5, first & 31, last >> 5, last & 31].map(|symbol| symbol as u8)
}

/// `Err` with the number of the group that is probably wrong, if that can be known.
pub(super) fn verify(symbols: &[u8]) -> Result<(), Option<usize>> {
    match sums(symbols) {
        (0, 0) => Ok(()),
        // Another number in place i changes the sum by d and the weighted sum by d x^i.
        (change, weighted) => {
            let place = (0..NUMBERS).find(|place| change != 0 && multiply(change, power(*place)) == weighted);
            Err(place.map(|place| place * 2 / GROUP + 1).or_else(|| exchanged(symbols)))
        }
    }
}

/// The group of the one exchange of neighbours that makes the check fit. Its first character is
/// meant, if the two are in different groups.
fn exchanged(symbols: &[u8]) -> Option<usize> {
    let mut tried = Zeroizing::new(symbols.to_vec());
    let mut found = None;
    for at in 1..symbols.len() {
        tried.swap(at - 1, at);
        if sums(&tried) == (0, 0) {
            if found.is_some() {
                return None;
            }
            found = Some((at - 1) / GROUP + 1);
        }
        tried.swap(at - 1, at);
    }
    found
}

/// The sum of all numbers, and the sum of the i-th times x^i.
fn sums(symbols: &[u8]) -> (u16, u16) {
    let numbers =
        symbols.chunks(2).map(|pair| pair.iter().fold(0, |number, symbol| number << 5 | u16::from(*symbol)));
    numbers.enumerate().fold((0, 0), |(sum, weighted), (place, number)| {
        (sum ^ number, weighted ^ multiply(number, power(place)))
    })
}

fn power(exponent: usize) -> u16 {
    (0..exponent).fold(1, |power, _| double(power))
}

const fn double(number: u16) -> u16 {
    let doubled = number << 1;
    if doubled & 0x400 == 0 { doubled } else { doubled ^ MODULUS }
}

fn multiply(mut a: u16, mut b: u16) -> u16 {
    let mut product = 0;
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        a = double(a);
        b >>= 1;
    }
    product
}

/// a / b = a b^1022, because b^1023 = 1.
fn divide(a: u16, b: u16) -> u16 {
    (0..1022).fold(a, |quotient, _| multiply(quotient, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x_generates_the_field() {
        let mut powers: Vec<u16> = (0..1023).map(power).collect();
        powers.sort_unstable();
        assert_eq!(powers, (1..1024).collect::<Vec<_>>());
        assert!((1..1024).all(|number| divide(multiply(517, number), number) == 517));
    }
}
