//! Errors as PostgREST sends them: `{"code","details","hint","message"}`, with a status that
//! depends on the code.

use crate::supabase::http::Response;
use crate::supabase::role::Role;
use crate::supabase::schema::{Check, Column, Foreign, TableDef, Unique};
use crate::supabase::value::{Cell, Kind, write_json_text};

/// One error body and its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RestError {
    status: u16,
    code: &'static str,
    message: String,
    details: Option<String>,
    hint: Option<String>,
}

impl RestError {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: None, hint: None }
    }

    fn details(self, details: impl Into<String>) -> Self {
        Self { details: Some(details.into()), ..self }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(160);
        body.extend_from_slice(b"{\"code\":");
        write_json_text(self.code, &mut body);
        for (name, text) in [("details", &self.details), ("hint", &self.hint)] {
            body.extend_from_slice(format!(",\"{name}\":").as_bytes());
            match text {
                Some(text) => write_json_text(text, &mut body),
                None => body.extend_from_slice(b"null"),
            }
        }
        body.extend_from_slice(b",\"message\":");
        write_json_text(&self.message, &mut body);
        body.push(b'}');
        let response = Response::json(self.status, body)
            .header("Proxy-Status", format!("PostgREST; error={}", self.code));
        match (self.status, self.code) {
            (401, "PGRST301" | "PGRST303") => response.header(
                "WWW-Authenticate",
                format!("Bearer error=\"invalid_token\", error_description=\"{}\"", self.message),
            ),
            (401, _) => response.header("WWW-Authenticate", "Bearer"),
            _ => response,
        }
    }

    // Errors of PostgREST.

    pub(crate) fn unknown_table(name: &str) -> Self {
        let error = Self::new(
            404,
            "PGRST205",
            format!("Could not find the table 'public.{name}' in the schema cache"),
        );
        match crate::supabase::schema::ALL.iter().find(|def| alike(def.name, name)) {
            Some(def) => error.hint(format!("Perhaps you meant the table 'public.{}'", def.name)),
            None => error,
        }
    }

    pub(crate) fn unknown_column(table: &TableDef, column: &str) -> Self {
        let message = format!("Could not find the '{column}' column of '{}' in the schema cache", table.name);
        Self::new(400, "PGRST204", message)
    }

    pub(crate) fn unreadable_body() -> Self {
        Self::new(400, "PGRST102", "Empty or invalid json")
    }

    pub(crate) fn unequal_keys() -> Self {
        Self::new(400, "PGRST102", "All object keys must match")
    }

    pub(crate) fn unreadable_query(what: &str, near: &str) -> Self {
        Self::new(400, "PGRST100", format!("\"failed to parse {what} ({near})\" (line 1, column 1)"))
    }

    pub(crate) fn no_relationship(table: &TableDef, parent: &str) -> Self {
        let message = format!(
            "Could not find a relationship between '{}' and '{parent}' in the schema cache",
            table.name
        );
        Self::new(400, "PGRST200", message)
    }

    pub(crate) fn ambiguous_relationship(table: &TableDef, parent: &str) -> Self {
        let message = format!(
            "Could not embed because more than one relationship was found for '{}' and '{parent}'",
            table.name
        );
        Self::new(300, "PGRST201", message)
    }

    pub(crate) fn method_not_allowed(method: &str) -> Self {
        Self::new(405, "PGRST117", format!("Unsupported HTTP method: {method}"))
    }

    pub(crate) fn not_one_row(rows: usize) -> Self {
        Self::new(406, "PGRST116", "Cannot coerce the result to a single JSON object")
            .details(format!("The result contains {rows} rows"))
    }

    // Errors of tokens.

    pub(crate) fn not_a_jwt(parts: usize) -> Self {
        Self::new(401, "PGRST301", format!("Expected 3 parts in JWT; got {parts}"))
    }

    pub(crate) fn empty_jwt() -> Self {
        Self::new(401, "PGRST301", "Empty JWT is sent in Authorization header")
    }

    pub(crate) fn unknown_key() -> Self {
        Self::new(401, "PGRST301", "No suitable key or wrong key type")
            .details("None of the keys was able to decode the JWT")
    }

    pub(crate) fn jwt_expired() -> Self {
        Self::new(401, "PGRST303", "JWT expired")
    }

    // Errors of PostgreSQL, with PostgREST's status.

    pub(crate) fn bad_json() -> Self {
        Self::new(400, "22P02", "invalid input syntax for type json")
    }

    pub(crate) fn bad_utf8(byte: u8) -> Self {
        Self::new(400, "22021", format!("invalid byte sequence for encoding \"UTF8\": 0x{byte:02x}"))
    }

    pub(crate) fn nul_in_text() -> Self {
        Self::new(400, "22P05", "unsupported Unicode escape sequence")
            .details("\\u0000 cannot be converted to text.")
    }

    pub(crate) fn bad_value(kind: &str, text: &str) -> Self {
        Self::new(400, "22P02", format!("invalid input syntax for type {kind}: \"{text}\""))
    }

    pub(crate) fn out_of_range(kind: &str, text: &str) -> Self {
        Self::new(400, "22003", format!("value \"{text}\" is out of range for type {kind}"))
    }

    pub(crate) fn bad_date(kind: &str, text: &str) -> Self {
        Self::new(400, "22007", format!("invalid input syntax for type {kind}: \"{text}\""))
    }

    pub(crate) fn no_such_column(table: &TableDef, column: &str) -> Self {
        Self::new(400, "42703", format!("column {}.{column} does not exist", table.name))
    }

    /// `operator` is one of PostgREST's pattern matches, which only text has.
    pub(crate) fn no_such_operator(kind: Kind, operator: &str) -> Self {
        let operator = if operator == "ilike" { "~~*" } else { "~~" };
        Self::new(404, "42883", format!("operator does not exist: {} {operator} unknown", kind.name()))
            .hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
    }

    pub(crate) fn permission_denied(table: &TableDef, role: Role) -> Self {
        Self::new(forbidden(role), "42501", format!("permission denied for table {}", table.name))
    }

    pub(crate) fn row_level_security(table: &TableDef, role: Role) -> Self {
        let message = format!("new row violates row-level security policy for table \"{}\"", table.name);
        Self::new(forbidden(role), "42501", message)
    }

    /// An upsert found an existing row that its user may not change.
    pub(crate) fn row_level_security_using(table: &TableDef, role: Role) -> Self {
        let message = format!(
            "new row violates row-level security policy (USING expression) for table \"{}\"",
            table.name
        );
        Self::new(forbidden(role), "42501", message)
    }

    pub(crate) fn no_unique_key() -> Self {
        let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
        Self::new(400, "42P10", message)
    }

    pub(crate) fn twice_in_one_command() -> Self {
        Self::new(500, "21000", "ON CONFLICT DO UPDATE command cannot affect row a second time").hint(
            "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.",
        )
    }

    pub(crate) fn null_value(table: &TableDef, column: &Column, row: &[Cell<'_>]) -> Self {
        let message = format!(
            "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
            column.name, table.name
        );
        Self::new(400, "23502", message).details(failing_row(row))
    }

    pub(crate) fn check_violated(table: &TableDef, check: &Check, row: &[Cell<'_>]) -> Self {
        let (Check::OneOf(name, _) | Check::Between(name, ..) | Check::MaxBytes(name, _)) = check;
        let message = format!("new row for relation \"{}\" violates check constraint \"{name}\"", table.name);
        Self::new(400, "23514", message).details(failing_row(row))
    }

    pub(crate) fn not_unique(unique: &Unique, values: &[&Cell<'_>]) -> Self {
        Self::new(409, "23505", format!("duplicate key value violates unique constraint \"{}\"", unique.name))
            .details(format!("{} already exists.", key_equals(unique.columns, values)))
    }

    pub(crate) fn missing_parent(table: &TableDef, key: &Foreign, values: &[&Cell<'_>]) -> Self {
        let message = format!(
            "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
            table.name, key.name
        );
        let details =
            format!("{} is not present in table \"{}\".", key_equals(key.columns, values), key.parent);
        Self::new(409, "23503", message).details(details)
    }

    pub(crate) fn still_referenced(
        parent: &TableDef,
        child: &TableDef,
        key: &Foreign,
        values: &[&Cell<'_>],
    ) -> Self {
        let message = format!(
            "update or delete on table \"{}\" violates foreign key constraint \"{}\" on table \"{}\"",
            parent.name, key.name, child.name
        );
        let details = format!(
            "{} is still referenced from table \"{}\".",
            key_equals(key.parent_columns, values),
            child.name
        );
        Self::new(409, "23503", message).details(details)
    }
}

impl std::fmt::Display for RestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// SQLite failed with an error that PostgreSQL does not have, which is a bug of the fake Supabase.
impl From<rusqlite::Error> for RestError {
    fn from(error: rusqlite::Error) -> Self {
        Self::new(500, "XX000", format!("the fake Supabase's own database failed: {error}"))
    }
}

const fn forbidden(role: Role) -> u16 {
    if matches!(role, Role::Anon) { 401 } else { 403 }
}

fn key_equals(columns: &[&str], values: &[&Cell<'_>]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    format!("Key ({})=({})", columns.join(", "), values.join(", "))
}

/// PostgreSQL prints the first 64 bytes of each value.
fn failing_row(row: &[Cell<'_>]) -> String {
    let shown = row.iter().map(|cell| {
        let text = cell.to_string();
        match text.char_indices().nth(64) {
            Some((cut, _)) => format!("{}...", &text[..cut]),
            None => text,
        }
    });
    format!("Failing row contains ({}).", shown.collect::<Vec<_>>().join(", "))
}

/// Whether `asked` may be a misspelling of `known`. PostgREST compares trigrams; this compares
/// prefixes.
fn alike(known: &str, asked: &str) -> bool {
    let common = known.bytes().zip(asked.bytes()).take_while(|(a, b)| a == b).count();
    common * 4 >= known.len().max(asked.len()) * 3
}
