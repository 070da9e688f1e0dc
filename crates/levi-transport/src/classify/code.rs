use crate::api_error::Verdict;

/// What a `code` means; `None` if the status has to decide.
///
/// The status matters in one case: PostgREST reports both a missing sign-in (401) and a refused row
/// as 42501, and a 401 says nothing about a row, whatever its code.
pub(super) fn verdict(code: &str, status: u16) -> Option<Verdict> {
    let verdict = postgrest(code).or_else(|| sqlstate(code))?;
    match verdict {
        Verdict::Rejected | Verdict::Forbidden if status == 401 => Some(Verdict::SignedOut),
        other => Some(other),
    }
}

fn postgrest(code: &str) -> Option<Verdict> {
    Some(match code {
        // No database connection, no schema cache, no free connection.
        "PGRST000" | "PGRST001" | "PGRST002" | "PGRST003" => Verdict::Busy,
        // Token malformed or expired; anonymous access is off; claims are wrong or, since v13,
        // expired.
        "PGRST301" | "PGRST302" | "PGRST303" => Verdict::SignedOut,
        // The body is not an array of rows with the named columns.
        "PGRST102" => Verdict::Rejected,
        // Schema not exposed, column unknown, table unknown.
        "PGRST106" | "PGRST204" | "PGRST205" => Verdict::SchemaMismatch,
        _ => return None,
    })
}

fn sqlstate(code: &str) -> Option<Verdict> {
    let is_sqlstate =
        code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if !is_sqlstate {
        return None;
    }
    Some(match code {
        "21000" => Verdict::DuplicateInBatch,
        "23503" => Verdict::MissingParent,
        "25006" => Verdict::ProjectUnavailable,
        "42501" => Verdict::Forbidden,
        // Unknown table, column, schema, type, function; a column of another type; and 42P10: no
        // unique key for `on_conflict`. All say that the migrations were not applied as they are.
        "42P01" | "42703" | "3F000" | "42704" | "42883" | "42804" | "42P10" => Verdict::SchemaMismatch,
        // Raised by a trigger; a generated column; a value too large for an index.
        "P0001" | "428C9" | "54000" => Verdict::Rejected,
        _ => match code.get(..2)? {
            // Connection, rollback, resources, object state, operator intervention, system,
            // internal.
            "08" | "40" | "53" | "55" | "57" | "58" | "XX" => Verdict::Busy,
            // Data, integrity constraint, and check option of a view.
            "22" | "23" | "44" => Verdict::Rejected,
            _ => return None,
        },
    })
}
