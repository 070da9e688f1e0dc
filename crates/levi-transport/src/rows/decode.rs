use serde::Deserialize;

use crate::api_error::{ApiError, Verdict};

/// Parses the body of a select.
///
/// # Errors
/// [`ApiError`] with the code `bad_response`: its verdict is [`Verdict::SchemaMismatch`] if the
/// body is JSON of other rows, because a column has another type then, or is NULL, and
/// [`Verdict::Unreachable`] if it is not JSON. The detail gives the position and quotes nothing.
pub fn decode_rows<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<Vec<T>, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        let (verdict, what) = match error.classify() {
            serde_json::error::Category::Eof => (Verdict::Unreachable, "the response ends too early"),
            serde_json::error::Category::Data => {
                (Verdict::SchemaMismatch, "a column of the rows has another type than in Levi's migrations")
            }
            _ => (Verdict::Unreachable, "the response is not JSON"),
        };
        let detail = format!("{what} (line {}, column {})", error.line(), error.column());
        ApiError::new(verdict, "bad_response", detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{DeviceRow, MessageRow};

    #[test]
    fn garbage_is_a_bad_response_that_quotes_nothing() {
        let bodies: [(&[u8], Verdict); 6] = [
            (b"", Verdict::Unreachable),
            (b"<html>hidden words</html>", Verdict::Unreachable),
            (b"{\"hidden words\":1}", Verdict::SchemaMismatch),
            (b"[{\"id\":\"hidden words\"", Verdict::Unreachable),
            (b"[{\"id\":\"d\",\"is_active\":\"hidden words\"}]", Verdict::SchemaMismatch),
            (b"[\xff\xfe]", Verdict::Unreachable),
        ];
        for (body, verdict) in bodies {
            let error = decode_rows::<DeviceRow>(body).unwrap_err();
            assert_eq!((error.verdict, error.code.as_str()), (verdict, "bad_response"));
            assert!(!error.detail.contains("hidden"), "{}", error.detail);
        }
        assert_eq!(decode_rows::<MessageRow>(b" [] "), Ok(vec![]));
    }
}
