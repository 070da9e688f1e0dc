//! The servers' answers side by side, recorded under `interop/answers` and shown in
//! `docs/supabase.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::harness::write;
use crate::failure::Failure;
use crate::metadata::root;

/// The servers in the table: the name of the report's file, and the heading.
const SERVERS: [(&str, &str); 3] =
    [("fake-supabase", "fake Supabase"), ("lite", "Supabase Lite"), ("lite-postgres", "Lite on PostgreSQL")];

const PAGE: &str = "docs/supabase.md";
const BEGIN: &str = "<!-- contract: begin (written by `cargo xtask interop --write`) -->\n";
const END: &str = "<!-- contract: end -->";

/// What to do if new answers differ from the recorded ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    Compare,
    Write,
}

#[derive(Deserialize)]
struct Report {
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    group: String,
    name: String,
    expected: String,
    status: u16,
    code: String,
    understood: String,
    outcome: String,
    #[serde(default)]
    note: String,
}

/// Compares the new answers in `folder` with the recorded ones, or records them.
pub(super) fn compare_or_record_all(folder: &Path, record: Record) -> Result<(), Failure> {
    let reports = SERVERS.map(|(file, _)| answers(folder, file, record));
    let reports = reports.into_iter().collect::<Result<Vec<_>, _>>()?;
    let table = table(&reports);
    let page = root().join(PAGE);
    let old = read(&page)?;
    let new = with_table(&old, &table).ok_or_else(|| Failure::Tool {
        what: PAGE.to_owned(),
        detail: "the marks around the table of answers are gone".to_owned(),
    })?;
    compare_or_record(&page, &old, &new, record)
}

fn answers(folder: &Path, server: &str, record: Record) -> Result<Report, Failure> {
    let fresh = read(&folder.join(format!("{server}.json")))?;
    let on_record = root().join(format!("interop/answers/{server}.json"));
    compare_or_record(&on_record, &read(&on_record).unwrap_or_default(), &fresh, record)?;
    serde_json::from_str(&fresh)
        .map_err(|error| Failure::Tool { what: format!("{server}.json"), detail: error.to_string() })
}

fn compare_or_record(path: &Path, old: &str, new: &str, record: Record) -> Result<(), Failure> {
    if old == new {
        return Ok(());
    }
    if record == Record::Write {
        println!("    written: {}", path.display());
        return write(path, new);
    }
    let differing = old.lines().zip(new.lines()).find(|(old, new)| old != new);
    let (old, new) = differing.unwrap_or(("(shorter or longer)", ""));
    let detail = format!(
        "on record: {}\n  now: {}\n  `cargo xtask interop --write` records it",
        old.trim(),
        new.trim()
    );
    Err(Failure::Tool { what: path.display().to_string(), detail })
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(Failure::io(path.display().to_string()))
}

fn with_table(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{table}{END}{after}"))
}

/// One report for each of [`SERVERS`]. All are of the same suite, so line by line they are the same
/// cases.
fn table(reports: &[Report]) -> String {
    let mut text = String::from("| case | Levi must understand |");
    for (_, title) in SERVERS {
        // Writing to a String cannot fail.
        let _ = write!(text, " {title} |");
    }
    text.push_str("\n| --- | --- |");
    SERVERS.iter().for_each(|_| text.push_str(" --- |"));
    text.push('\n');
    let mut notes: Vec<&str> = Vec::new();
    let Some((first, others)) = reports.split_first() else { return text };
    for (index, line) in first.lines.iter().enumerate() {
        let Line { group, name, expected, .. } = line;
        let _ = write!(text, "| {group}: {name} | {expected} |");
        for line in std::iter::once(line).chain(others.iter().filter_map(|report| report.lines.get(index))) {
            let _ = write!(text, " {} |", cell(line, &mut notes));
        }
        text.push('\n');
    }
    text.push_str("\nKnown differences:\n\n");
    for (index, note) in notes.iter().enumerate() {
        let _ = writeln!(text, "{}. {note}.", index + 1);
    }
    text
}

/// Status and code; where the server differs, also what Levi makes of it, and the number of the
/// reason.
fn cell<'r>(line: &'r Line, notes: &mut Vec<&'r str>) -> String {
    let status = line.status.to_string();
    let answer = if line.code == status { status } else { format!("{status} {}", line.code) };
    if line.outcome == "as-documented" {
        return answer;
    }
    let known = notes.iter().position(|note| *note == line.note);
    let number = known.unwrap_or_else(|| {
        notes.push(&line.note);
        notes.len() - 1
    });
    format!("{answer}, {} ({})", line.understood, number + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(code: &str, outcome: &str, note: &str) -> Line {
        let text = str::to_owned;
        Line {
            group: text("g"),
            name: text("n"),
            expected: text("Rejected 23514"),
            status: 400,
            code: text(code),
            understood: text("Busy"),
            outcome: text(outcome),
            note: text(note),
        }
    }

    #[test]
    fn a_difference_is_shown_with_its_reason_once() {
        let same =
            || Report { lines: vec![line("23514", "as-documented", ""), line("400", "as-documented", "")] };
        let other = Report {
            lines: vec![line("SUP", "known-difference", "why"), line("X", "known-difference", "why")],
        };
        let table = table(&[same(), other, same()]);
        assert!(
            table.contains("| g: n | Rejected 23514 | 400 23514 | 400 SUP, Busy (1) | 400 23514 |"),
            "{table}"
        );
        assert!(table.contains("| 400 | 400 X, Busy (1) | 400 |"), "{table}");
        assert!(table.ends_with("1. why.\n"), "{table}");
    }

    #[test]
    fn the_table_goes_between_the_marks() {
        let page = format!("before\n{BEGIN}old\n{END}\nafter");
        assert_eq!(with_table(&page, "new\n"), Some(format!("before\n{BEGIN}new\n{END}\nafter")));
        assert_eq!(with_table("no marks", "new"), None);
    }
}
