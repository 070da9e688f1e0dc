//! Tokens that a server must refuse, and random ids.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};

use super::error::ContractError;

/// The token with one bit of its signature changed.
pub(super) fn with_broken_signature(token: &str) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    if let Some(signature) = parts.get_mut(2) {
        // The first character encodes six bits of the signature. The last one may encode padding
        // only.
        let flipped = if signature.starts_with('A') { "B" } else { "A" };
        signature.replace_range(..1, flipped);
    }
    parts.join(".")
}

/// The same claims issued two hours earlier, so that the token expired an hour ago, with a valid
/// signature (HS256). `None` if the token is not a JWT.
pub(super) fn expired(token: &str, jwt_secret: &str) -> Option<String> {
    let mut claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?).ok()?;
    let issued = claims.get("iat")?.as_u64()?;
    claims["iat"] = json!(issued.checked_sub(7200)?);
    claims["exp"] = json!(issued.checked_sub(3600)?);
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, jwt_secret.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    Some(format!("{signed}.{signature}"))
}

/// A random uuid (RFC 9562, version 4).
pub(super) fn uuid() -> Result<String, ContractError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| ContractError::Random)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expired_token_keeps_its_claims_and_is_signed() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"u","iat":10000,"exp":13600}"#);
        let token = expired(&format!("e30.{claims}.sig"), "secret").expect("a token");
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let read: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(read, json!({"sub": "u", "iat": 2800, "exp": 6400}));
        assert_eq!(token.split('.').nth(2).unwrap().len(), 43);
        assert_eq!(expired("opaque", "secret"), None);
    }

    #[test]
    fn a_broken_signature_breaks_nothing_else() {
        assert_eq!(with_broken_signature("a.b.Abc"), "a.b.Bbc");
        assert_eq!(with_broken_signature("a.b.xyz"), "a.b.Ayz");
    }

    #[test]
    fn uuids_are_version_4() {
        let uuid = uuid().unwrap();
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
        assert!(["8", "9", "a", "b"].contains(&&uuid[19..20]), "{uuid}");
    }
}
