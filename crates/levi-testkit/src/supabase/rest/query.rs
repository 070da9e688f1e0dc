//! The query string: filters, order, limits and other parameters of PostgREST.

use std::borrow::Cow;

use super::error::RestError;
use super::payload::cell_from_text;
use crate::supabase::schema::{Foreign, TableDef};
use crate::supabase::value::{Cell, Kind};

/// One item of `select=`: `name:column::cast`.
#[derive(Clone)]
pub(crate) struct Selected {
    pub(crate) column: usize,
    /// Its name in the answer.
    pub(crate) name: String,
    pub(crate) cast: Cast,
}

/// How a selected value is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cast {
    None,
    /// `::text`, which keeps large integers exact for readers whose numbers are doubles.
    Text,
}

/// A parsed query string.
#[derive(Default)]
pub(crate) struct Query {
    /// The columns of the answer in order. Empty for all columns.
    pub(crate) select: Vec<Selected>,
    /// `column operator ?`, joined by AND.
    pub(crate) conditions: Vec<String>,
    /// The values of the question marks.
    pub(crate) values: Vec<Cell<'static>>,
    /// Terms of ORDER BY.
    pub(crate) order: Vec<String>,
    pub(crate) limit: Option<u64>,
    pub(crate) offset: u64,
    pub(crate) on_conflict: Option<Vec<String>>,
    pub(crate) columns: Option<Vec<String>>,
}

impl Query {
    pub(crate) fn parse(table: &TableDef, text: &str) -> Result<Self, RestError> {
        let mut query = Self::default();
        let mut embedded = None;
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name), decode(value));
            match name.as_str() {
                "select" if value.contains('(') => embedded = Some(value),
                "select" => query.select = select(table, &value)?,
                "order" => query.order = order(table, &value)?,
                "limit" => query.limit = Some(count("limit", &value)?),
                "offset" => query.offset = count("offset", &value)?,
                "on_conflict" => query.on_conflict = Some(names(&value)),
                "columns" => query.columns = Some(names(&value)),
                // The gateway accepts the key here too.
                "apikey" => {}
                column => query.filter(table, column, &value)?,
            }
        }
        if let Some(embedded) = embedded {
            embedding(table, &embedded, query.limit)?;
        }
        Ok(query)
    }

    fn filter(&mut self, table: &TableDef, column: &str, filter: &str) -> Result<(), RestError> {
        let (negated, filter) = match filter.strip_prefix("not.") {
            Some(rest) => ("NOT ", rest),
            None => ("", filter),
        };
        let unreadable = || RestError::unreadable_query("filter", filter);
        let (operator, operand) = filter.split_once('.').ok_or_else(unreadable)?;
        let index = table.column(column).ok_or_else(|| RestError::no_such_column(table, column))?;
        let kind = table.columns[index].kind;
        let mut value = |text: &str| -> Result<(), RestError> {
            self.values.push(cell_from_text(kind, Cow::Owned(text.to_owned()))?);
            Ok(())
        };
        let condition = match operator {
            "eq" | "neq" | "gt" | "gte" | "lt" | "lte" => {
                value(operand)?;
                format!("{column} {} ?", sql_operator(operator))
            }
            "like" | "ilike" if kind != Kind::Text => {
                return Err(RestError::no_such_operator(kind, operator));
            }
            // SQLite's LIKE ignores the case of ASCII letters only.
            "ilike" => {
                value(&operand.replace('*', "%"))?;
                format!("{column} LIKE ?")
            }
            "in" => {
                let items = list(operand).ok_or_else(unreadable)?;
                for item in &items {
                    value(item)?;
                }
                format!("{column} IN ({})", vec!["?"; items.len()].join(", "))
            }
            "is" => match operand {
                "null" => format!("{column} IS NULL"),
                "not_null" => format!("{column} IS NOT NULL"),
                "true" => format!("{column} IS TRUE"),
                "false" => format!("{column} IS FALSE"),
                _ => return Err(unreadable()),
            },
            _ => return Err(unreadable()),
        };
        self.conditions.push(format!("{negated}({condition})"));
        Ok(())
    }
}

fn sql_operator(name: &str) -> &'static str {
    match name {
        "neq" => "<>",
        "gt" => ">",
        "gte" => ">=",
        "lt" => "<",
        "lte" => "<=",
        _ => "=",
    }
}

fn select(table: &TableDef, value: &str) -> Result<Vec<Selected>, RestError> {
    if value == "*" || value.is_empty() {
        return Ok(Vec::new());
    }
    value.split(',').map(|item| selected(table, item.trim())).collect()
}

fn selected(table: &TableDef, item: &str) -> Result<Selected, RestError> {
    let (item, cast) = match item.rsplit_once("::") {
        None => (item, Cast::None),
        Some((item, "text")) => (item, Cast::Text),
        Some(_) => return Err(RestError::unreadable_query("select parameter", item)),
    };
    let (name, column) = item.split_once(':').unwrap_or((item, item));
    let index = table.column(column).ok_or_else(|| RestError::no_such_column(table, column))?;
    Ok(Selected { column: index, name: name.to_owned(), cast })
}

/// `parent!hint(column)`. Only in reads of no rows, which tell whether there is such a foreign key.
fn embedding(table: &TableDef, item: &str, limit: Option<u64>) -> Result<(), RestError> {
    let unreadable = || RestError::unreadable_query("select parameter", item);
    let (target, column) =
        item.strip_suffix(')').and_then(|item| item.split_once('(')).ok_or_else(unreadable)?;
    let (parent, hint) = target.split_once('!').map_or((target, None), |(parent, hint)| (parent, Some(hint)));
    if limit != Some(0) || column.contains([',', '(']) {
        return Err(unreadable());
    }
    let matches = |key: &&Foreign| match hint {
        None => key.parent == parent,
        Some(hint) => key.parent == parent && (key.name == hint || key.columns == [hint]),
    };
    let parent_def = TableDef::named(parent);
    match (table.foreign.iter().filter(matches).count(), parent_def) {
        (1, Some(def)) => def.column(column).map(drop).ok_or_else(|| RestError::no_such_column(def, column)),
        (0, _) | (_, None) => Err(RestError::no_relationship(table, parent)),
        _ => Err(RestError::ambiguous_relationship(table, parent)),
    }
}

fn order(table: &TableDef, value: &str) -> Result<Vec<String>, RestError> {
    let term = |term: &str| {
        let mut words = term.split('.');
        let column = words.next().unwrap_or_default();
        table.column(column).ok_or_else(|| RestError::no_such_column(table, column))?;
        // PostgreSQL sorts nulls after all other values; SQLite sorts them before.
        let (mut direction, mut nulls) = ("ASC", None);
        for word in words {
            match word {
                "asc" => direction = "ASC",
                "desc" => direction = "DESC",
                "nullsfirst" => nulls = Some("FIRST"),
                "nullslast" => nulls = Some("LAST"),
                _ => return Err(RestError::unreadable_query("order", term)),
            }
        }
        let nulls = nulls.unwrap_or(if direction == "ASC" { "LAST" } else { "FIRST" });
        Ok(format!("{column} {direction} NULLS {nulls}"))
    };
    value.split(',').map(term).collect()
}

fn count(what: &str, value: &str) -> Result<u64, RestError> {
    value.parse().map_err(|_| RestError::unreadable_query(what, value))
}

fn names(value: &str) -> Vec<String> {
    let unquoted = |name: &str| name.trim().trim_matches('"').to_owned();
    value.split(',').filter(|name| !name.is_empty()).map(unquoted).collect()
}

/// `(a,b,"c,d")`
fn list(operand: &str) -> Option<Vec<String>> {
    let inner = operand.strip_prefix('(')?.strip_suffix(')')?;
    let (mut items, mut item, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for c in inner.chars() {
        match c {
            _ if escaped => {
                item.push(c);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => items.push(std::mem::take(&mut item)),
            _ => item.push(c),
        }
    }
    if quoted {
        return None;
    }
    if !inner.is_empty() {
        items.push(item);
    }
    Some(items)
}

/// Percent-decoding of `application/x-www-form-urlencoded`.
pub(crate) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => match after.get(..2).and_then(hex_byte) {
                Some(decoded) => {
                    bytes.push(decoded);
                    rest = &after[2..];
                }
                None => bytes.push(b'%'),
            },
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_may_quote_their_items() {
        let table = [
            ("(a,b)", Some(vec!["a", "b"])),
            ("()", Some(vec![])),
            (r#"("a,b",c)"#, Some(vec!["a,b", "c"])),
            (r#"("a\"b")"#, Some(vec![r#"a"b"#])),
            ("(a", None),
            (r#"("a)"#, None),
        ];
        for (text, expected) in table {
            let expected = expected.map(|items| items.into_iter().map(str::to_owned).collect());
            assert_eq!(list(text), expected, "{text}");
        }
    }

    #[test]
    fn percent_encoding_is_decoded_once() {
        for (text, expected) in
            [("a%20b+c", "a b c"), ("%2B%2b", "++"), ("%", "%"), ("%zz", "%zz"), ("%2525", "%25")]
        {
            assert_eq!(decode(text), expected, "{text}");
        }
    }
}
