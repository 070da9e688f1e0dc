use levi_types::{AccessToken, UserId, Wall};
use serde::Deserialize;

/// Whose token it is: the `sub` of its claims. `None` for text that is no JWT, and for a token of
/// no user, such as a project's own keys.
///
/// The signature is not checked, because only the server decides what a token permits. Levi uses
/// the claim only to decide what it does *not* send with the token.
pub fn user_of_token(token: &AccessToken) -> Option<UserId> {
    #[derive(Deserialize)]
    struct Claims {
        sub: String,
    }
    let Claims { sub } = serde_json::from_slice(&claims(token)?).ok()?;
    (!sub.is_empty()).then(|| sub.into())
}

/// When it expires, by the server's clock: the `exp` of its claims. `None` for text that is no JWT,
/// and for a token that does not say. Not checked, as for [`user_of_token`].
pub fn expiry_of_token(token: &AccessToken) -> Option<Wall> {
    #[derive(Deserialize)]
    struct Claims {
        /// Seconds since the Unix epoch.
        exp: i64,
    }
    let Claims { exp } = serde_json::from_slice(&claims(token)?).ok()?;
    Some(Wall::from_millis(exp.saturating_mul(1000)))
}

fn claims(token: &AccessToken) -> Option<Vec<u8>> {
    // Exposed to read its claims; the signature stays where it is.
    let mut parts = token.expose().split('.');
    let (_header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    base64_simd::URL_SAFE_NO_PAD.decode_to_vec(claims.trim_end_matches('=')).ok()
}

#[cfg(test)]
mod tests {
    use levi_types::Wall;

    use super::{expiry_of_token, user_of_token};

    #[test]
    fn a_token_names_its_user_or_nobody() {
        let token = |claims: &str| {
            let claims = base64_simd::URL_SAFE_NO_PAD.encode_to_string(claims);
            user_of_token(&format!("e30.{claims}.signature").into())
        };
        assert_eq!(token(r#"{"sub":"ada","role":"authenticated"}"#), Some("ada".into()));
        assert_eq!(token(r#"{"role":"service_role"}"#), None);
        assert_eq!(token(r#"{"sub":""}"#), None);
        assert_eq!(token(r#"{"sub":7}"#), None);
        let claims = base64_simd::URL_SAFE_NO_PAD.encode_to_string(r#"{"exp":1700000000}"#);
        let expiry = expiry_of_token(&format!("e30.{claims}.signature").into());
        assert_eq!(expiry, Some(Wall::from_millis(1_700_000_000_000)));
        for opaque in ["", "sb_publishable_x", "a.b.c", "e30.%%.x", "e30.e30"] {
            assert_eq!(user_of_token(&opaque.into()), None, "{opaque}");
            assert_eq!(expiry_of_token(&opaque.into()), None, "{opaque}");
        }
    }
}
