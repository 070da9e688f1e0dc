//! Classifies the answers of the sign-in server (`/auth/v1/token`).

use levi_types::FinalWord;

use super::{ResponseHead, classify};
use crate::api_error::{ApiError, Verdict};
use crate::json;
use crate::sign_in::SignInError;

const OTHER_FLOW: &str = "sign in on the project's own page, and give Levi the tokens from there";

/// What a response other than tokens means. `docs/protocol.md`, *Sign-in*, has the table.
///
/// Only a [`FinalWord`], in the sign-in server's own format and with a status that goes with it,
/// ends a sign-in: a gateway that does not know the key, a proxy's page, a hook of the project, a
/// wrong address or a code that a later server adds must not.
///
/// ```
/// use levi_transport::{ResponseHead, SignInError, classify_sign_in};
///
/// let error = classify_sign_in(422, ResponseHead::default(), br#"{"error_code":"hook_timeout"}"#);
/// assert!(matches!(error, SignInError::Unavailable(_)));
/// ```
pub fn classify_sign_in(status: u16, head: ResponseHead<'_>, body: &[u8]) -> SignInError {
    let code = code_of(body);
    if matches!(status, 400 | 401 | 403 | 404 | 422)
        && let Some(word) = code.as_deref().and_then(FinalWord::from_code)
    {
        return SignInError::Refused(word);
    }
    let mut error = match classify(status, head, body) {
        Err(error) => error,
        Ok(()) => ApiError::new(Verdict::Unexpected, status.to_string(), ""),
    };
    // Only a final word says that the user is not signed in, and there is no row that could be
    // refused.
    if !matches!(error.verdict, Verdict::Busy | Verdict::Unreachable | Verdict::ProjectUnavailable) {
        error.verdict = Verdict::Unexpected;
    }
    let action = match &code {
        Some(code) => action_for_code(code),
        None => action_for_status(status),
    };
    error.code = code.unwrap_or(error.code);
    match action {
        Some(action) => SignInError::ActionNeeded { error, action },
        None => SignInError::Unavailable(error),
    }
}

/// Codes that name something for the user to do.
fn action_for_code(code: &str) -> Option<&'static str> {
    Some(match code {
        "email_not_confirmed" => "confirm the email address with the link that was sent to it",
        "phone_not_confirmed" => "confirm the phone number",
        "captcha_failed" => OTHER_FLOW,
        "insufficient_aal"
        | "mfa_verification_failed"
        | "mfa_verification_rejected"
        | "mfa_challenge_expired" => OTHER_FLOW,
        "email_address_invalid" => "check the email address",
        "email_address_not_authorized" => {
            "the project sends mail to its own team only; ask its owner for an account"
        }
        "over_email_send_rate_limit" => {
            "the project has sent enough mail for now; look for the last one, or wait"
        }
        "weak_password" => "choose a stronger password on the project's own page",
        "email_provider_disabled" | "phone_provider_disabled" | "provider_disabled" => OTHER_FLOW,
        "validation_failed" => "check the email address; if Levi was signed in already, sign in again",
        "no_authorization" => "check the publishable key",
        _ => return None,
    })
}

/// Answers of a gateway or another server in place of the sign-in server.
const fn action_for_status(status: u16) -> Option<&'static str> {
    match status {
        300..=399 | 404 | 405 => {
            Some("there is no sign-in server at this address; check the project's address")
        }
        401 | 403 => Some("check the publishable key"),
        _ => None,
    }
}

/// `error_code` (since 2024), `code` (the newest format), or `error` (OAuth's name, before that).
fn code_of(body: &[u8]) -> Option<String> {
    let [error_code, code, error] = json::fields(body, ["error_code", "code", "error"]).ok()??;
    let code = error_code.text.or(code.text).or(error.text)?;
    let is_code = code.len() <= 64
        && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    (is_code && !code.is_empty()).then(|| code.into_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answer(status: u16, body: &str) -> SignInError {
        let head = ResponseHead { retry_after: Some("60"), ..ResponseHead::default() };
        classify_sign_in(status, head, body.as_bytes())
    }

    #[test]
    fn only_final_words_end_a_sign_in() {
        let finals = [
            "refresh_token_not_found",
            "refresh_token_already_used",
            "session_not_found",
            "session_expired",
            "user_not_found",
            "user_banned",
            "invalid_grant",
            "invalid_credentials",
        ];
        for code in finals {
            for status in [400, 401, 403, 404, 422] {
                for key in ["error_code", "code", "error"] {
                    let body = format!(r#"{{"{key}":"{code}","msg":"m"}}"#);
                    let found = answer(status, &body);
                    assert!(matches!(found, SignInError::Refused(word) if word.code() == code), "{found:?}");
                }
            }
            for status in [302, 409, 418, 429, 500, 502, 503, 540] {
                let found = answer(status, &format!(r#"{{"error_code":"{code}"}}"#));
                assert!(!matches!(found, SignInError::Refused(_)), "{status} {code}: {found:?}");
            }
        }
    }

    #[test]
    fn everything_else_is_tried_again_and_keeps_the_wait_that_the_server_asks_for() {
        use Verdict::*;
        let table = [
            (422, r#"{"code":422,"error_code":"hook_timeout","msg":"m"}"#, Unexpected, "hook_timeout", ""),
            (
                422,
                r#"{"error_code":"hook_payload_over_size_limit"}"#,
                Unexpected,
                "hook_payload_over_size_limit",
                "",
            ),
            (400, r#"{"error":"server_error"}"#, Unexpected, "server_error", ""),
            (400, r#"{"error":"a sentence"}"#, Unexpected, "400", ""),
            (400, "{}", Unexpected, "400", ""),
            (400, "", Unexpected, "400", ""),
            (400, "<html></html>", Busy, "400", ""),
            (422, r#"{"error_code":"a_code_of_next_year"}"#, Unexpected, "a_code_of_next_year", ""),
            (401, r#"{"message":"Invalid API key"}"#, Unexpected, "401", "publishable key"),
            (403, "", Unexpected, "403", "publishable key"),
            (404, r#"{"message":"no Route matched"}"#, Unexpected, "404", "address"),
            (404, "<html>404</html>", Busy, "404", "address"),
            (405, "", Unexpected, "405", "address"),
            (302, "", Unexpected, "302", "address"),
            (429, r#"{"error_code":"over_request_rate_limit"}"#, Busy, "over_request_rate_limit", ""),
            (429, "", Busy, "429", ""),
            (500, r#"{"error_code":"unexpected_failure"}"#, Busy, "unexpected_failure", ""),
            (503, "<html></html>", Busy, "503", ""),
            (540, "", ProjectUnavailable, "540", ""),
            (400, r#"{"error_code":"email_not_confirmed"}"#, Unexpected, "email_not_confirmed", "confirm"),
            (400, r#"{"error_code":"captcha_failed"}"#, Unexpected, "captcha_failed", "tokens"),
            (403, r#"{"error_code":"insufficient_aal"}"#, Unexpected, "insufficient_aal", "tokens"),
            (422, r#"{"error_code":"weak_password"}"#, Unexpected, "weak_password", "stronger"),
            (422, r#"{"error_code":"validation_failed"}"#, Unexpected, "validation_failed", "sign in again"),
            (200, "[]", Unexpected, "200", ""),
        ];
        for (status, body, verdict, code, advice) in table {
            let (error, action) = match answer(status, body) {
                SignInError::ActionNeeded { error, action } => (error, action),
                SignInError::Unavailable(error) => (error, ""),
                SignInError::Refused(word) => panic!("{status} {body}: {word:?}"),
            };
            assert_eq!((error.verdict, error.code.as_str()), (verdict, code), "{status} {body}");
            assert!(action.contains(advice) && action.is_empty() == advice.is_empty(), "{body}: {action}");
            let asked = (!(200..300).contains(&status)).then_some(Duration::from_secs(60));
            assert_eq!(error.retry_after, asked, "{status} {body}");
        }
    }
}
