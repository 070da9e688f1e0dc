//! Whether the outbox adds up: what the counts say against what is there.

use rusqlite::{Connection, Result};

use super::tasks::is_held;

/// Each query counts rows that must not be; its text is for people.
const RULES: &[(&str, &str)] = &[
    (
        "SELECT count(*) FROM levi_totals WHERE (pending_rows, pending_bytes) IS NOT \
         (SELECT count(*), coalesce(sum(length(payload)), 0) FROM levi_outbox WHERE id <= counted_to)",
        "the counts of waiting rows are wrong",
    ),
    (
        "SELECT count(*) FROM levi_totals WHERE (parked_rows, parked_bytes) IS NOT \
         (SELECT count(*), coalesce(sum(length(payload)), 0) FROM levi_parked)",
        "the counts of parked rows are wrong",
    ),
    (
        "SELECT count(*) FROM levi_totals WHERE lanes IS NOT (SELECT count(DISTINCT lane) FROM levi_outbox) \
         OR tasks IS NOT (SELECT count(*) FROM levi_tasks)",
        "the counts of lanes or tasks are wrong",
    ),
    (
        "SELECT count(*) FROM levi_lanes AS l WHERE (due_at IS NOT NULL) IS NOT \
         EXISTS (SELECT 1 FROM levi_outbox AS o WHERE o.lane = l.lane)",
        "a lane with rows is never due, or one without is",
    ),
    (
        concat!("SELECT count(*) FROM levi_lanes AS l WHERE held IS NOT ", is_held!("l.session_id")),
        "a lane is held by no task, or is not held by one",
    ),
    (
        "SELECT count(*) FROM levi_tasks AS t WHERE waits IS NOT \
         EXISTS (SELECT 1 FROM levi_tasks AS p WHERE p.name = t.parent)",
        "a task waits for none, or does not wait for its parent",
    ),
    (
        "SELECT count(*) FROM levi_outbox WHERE bytes <> length(payload) OR lane NOT IN \
         (SELECT lane FROM levi_lanes)",
        "a waiting row has a wrong length or no lane",
    ),
    (
        "SELECT count(*) FROM levi_parked AS p WHERE bytes <> length(payload) OR lane NOT IN \
         (SELECT lane FROM levi_lanes) OR id IN (SELECT id FROM levi_outbox) OR EXISTS (SELECT 1 FROM \
         levi_outbox AS o WHERE o.lane = p.lane AND o.sequence_number = p.sequence_number)",
        "a parked row has a wrong length, no lane, or a place that is also waiting",
    ),
];

/// What does not add up, one line each.
pub(super) fn problems(conn: &Connection) -> Result<Vec<String>> {
    let mut statement = conn.prepare("PRAGMA quick_check")?;
    let mut problems: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_>>()?;
    problems.retain(|line| line != "ok");
    for (rule, text) in RULES {
        let broken: i64 = conn.query_row(rule, [], |row| row.get(0))?;
        if broken > 0 {
            problems.push(format!("{text} ({broken})"));
        }
    }
    Ok(problems)
}
