use serde::de::DeserializeOwned;

use crate::api_error::{ApiError, Verdict};

/// Parses the body of a select.
///
/// # Errors
/// [`ApiError`] with [`Verdict::Unreachable`] and the code `bad_response` if the body is not a JSON array
/// of such rows. The detail gives the position and quotes nothing.
pub fn decode_rows<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Eof => "the response ends too early",
            serde_json::error::Category::Data => "the response holds other rows than asked for",
            _ => "the response is not JSON",
        };
        let detail = format!("{what} (line {}, column {})", error.line(), error.column());
        ApiError::new(Verdict::Unreachable, "bad_response", detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{DeviceRow, MessageRow};

    #[test]
    fn garbage_is_a_bad_response_that_quotes_nothing() {
        let bodies: [&[u8]; 6] = [
            b"",
            b"<html>hidden words</html>",
            b"{\"hidden words\":1}",
            b"[{\"id\":\"hidden words\"",
            b"[{\"id\":\"d\",\"is_active\":\"hidden words\"}]",
            b"[\xff\xfe]",
        ];
        for body in bodies {
            let error = decode_rows::<DeviceRow>(body).unwrap_err();
            assert_eq!((error.verdict, error.code.as_str()), (Verdict::Unreachable, "bad_response"));
            assert!(!error.detail.contains("hidden"), "{}", error.detail);
        }
        assert_eq!(decode_rows::<MessageRow>(b" [] "), Ok(vec![]));
    }
}
