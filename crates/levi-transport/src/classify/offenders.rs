use levi_types::SessionId;

use super::detail::CUT;
use crate::api_error::ApiError;

/// Those of `candidates` that the error's text names, so that a batch can be split at the offending
/// session at once. If it is empty, the caller has to search by halving the batch.
///
/// PostgreSQL quotes the value of a malformed uuid (22P02), puts the values of a missing or taken
/// key in parentheses (23503, 23505), and lists a failing row's values (23502, 23514). An id counts
/// only as a whole value there, not as part of another. Letter case is ignored, because PostgreSQL
/// writes a uuid in lower case.
///
/// ```
/// use levi_transport::{ApiError, Verdict, offenders};
/// use levi_types::SessionId;
///
/// let detail = "invalid input syntax for type uuid: \"draft-7\"";
/// let error = ApiError::new(Verdict::Rejected, "22P02", detail);
/// let sessions = ["draft".into(), "draft-7".into(), "7".into()];
/// assert_eq!(offenders(&error, &sessions), [&SessionId::from("draft-7")]);
/// ```
pub fn offenders<'a>(
    error: &ApiError,
    candidates: impl IntoIterator<Item = &'a SessionId>,
) -> Vec<&'a SessionId> {
    let detail = error.detail.to_ascii_lowercase();
    candidates.into_iter().filter(|id| is_named(&detail, &id.as_str().to_ascii_lowercase())).collect()
}

fn is_named(detail: &str, id: &str) -> bool {
    if id.is_empty() {
        return false;
    }
    let mut from = 0;
    while let Some(at) = detail.get(from..).and_then(|rest| rest.find(id)) {
        let start = from + at;
        let (before, after) = (&detail[..start], &detail[start + id.len()..]);
        if opens_value(before) && closes_value(after) {
            return true;
        }
        from = start + id.chars().next().map_or(1, char::len_utf8);
    }
    false
}

fn opens_value(before: &str) -> bool {
    before.ends_with(['"', '(']) || before.ends_with(", ")
}

/// Not so before a parenthesis with `=` after it, which closes a list of column names.
fn closes_value(after: &str) -> bool {
    let columns =
        after.split_once(')').is_some_and(|(list, rest)| rest.starts_with('=') && !list.contains('('));
    !columns && after.starts_with(['"', ')', ',']) && !after.starts_with(CUT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api_error::Verdict;

    const A: &str = "11111111-1111-4111-8111-111111111111";
    const B: &str = "11111111-1111-4111-8111-11111111111A";

    fn named(detail: &str, candidates: &[&str]) -> Vec<String> {
        let error = ApiError::new(Verdict::Rejected, "22P02", detail);
        let candidates: Vec<SessionId> = candidates.iter().map(|id| SessionId::from(*id)).collect();
        offenders(&error, &candidates).into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_forms_postgresql_names_a_value_in() {
        let table = [
            (r#"invalid input syntax for type uuid: "draft 7""#.to_owned(), vec!["draft 7"]),
            (format!("violates foreign key: Key (session_id)=({A}) is not present in table \"x\"."), vec![A]),
            (format!("duplicate: Key (session_id, sequence_number)=({A}, 5) already exists."), vec![A]),
            (format!("violates check: Failing row contains (7, {A}, YWJj, bm9u)."), vec![A]),
            (format!("Key (session_id)=({}) is not present", B.to_lowercase()), vec![B]),
            (format!("Failing row contains ({A}x, {B}y)."), vec![]),
            (format!("Failing row contains ({A}\u{2026}"), vec![]),
            (format!("a word about {A} in passing"), vec![]),
            (String::new(), vec![]),
        ];
        for (detail, expected) in table {
            assert_eq!(named(&detail, &[A, B, "draft", "draft 7", "7\"", ""]), expected, "{detail}");
        }
    }

    #[test]
    fn a_session_named_like_a_column_is_not_taken_for_it() {
        let detail = "Key (session_id, sequence_number)=(x, 5) already exists.";
        assert_eq!(named(detail, &["session_id", "sequence_number", "x"]), ["x"]);
    }

    #[test]
    fn overlapping_occurrences_are_all_checked() {
        assert_eq!(named("Failing row contains (aaaa, aa).", &["aa"]), ["aa"]);
        assert_eq!(
            named("Failing row contains (\u{e9}\u{e9}\u{e9}).", &["\u{e9}\u{e9}"]),
            Vec::<String>::new()
        );
    }
}
