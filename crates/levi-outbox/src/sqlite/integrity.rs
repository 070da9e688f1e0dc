//! Whether the outbox adds up: the totals and the lanes compared with the rows.

use rusqlite::{Connection, Result};

use super::blocking::blocking_parent;

/// Each query counts violations of a rule; its text describes them.
const RULES: &[(&str, &str)] = &[
    (
        "SELECT count(*) FROM levi_totals WHERE (pending_rows, control_rows, pending_bytes) IS NOT \
         (SELECT count(*) FILTER (WHERE kind = 3), count(*) FILTER (WHERE kind <> 3), \
         coalesce(sum(length(payload)), 0) FROM levi_outbox JOIN levi_lanes USING (lane))",
        "the counts of pending rows are wrong",
    ),
    (
        "SELECT count(*) FROM levi_totals WHERE (parked_rows, parked_control_rows, parked_bytes) IS NOT \
         (SELECT count(*) FILTER (WHERE kind = 3), count(*) FILTER (WHERE kind <> 3), \
         coalesce(sum(length(payload)), 0) FROM levi_parked JOIN levi_lanes USING (lane))",
        "the counts of parked rows are wrong",
    ),
    (
        "SELECT count(*) FROM levi_totals WHERE lanes IS NOT (SELECT count(DISTINCT lane) FROM levi_outbox)",
        "the count of lanes is wrong",
    ),
    (
        "SELECT count(*) FROM levi_lanes AS l WHERE (due_at IS NOT NULL) IS NOT \
         EXISTS (SELECT 1 FROM levi_outbox AS o WHERE o.lane = l.lane)",
        "a lane with rows is never due, or one without rows is",
    ),
    (
        "SELECT count(*) FROM levi_lanes WHERE user NOT IN (SELECT user FROM levi_users) AND \
         (user <> 0 OR (SELECT user FROM levi_totals) <> 0)",
        "a lane waits for a user who is not known",
    ),
    (
        concat!(
            "SELECT count(*) FROM levi_lanes AS l WHERE blocked_by IS NOT ",
            blocking_parent!("l.kind", "l.subject", "l.repository_id")
        ),
        "a lane is not blocked by its parent, or is blocked by another lane",
    ),
    (
        "SELECT count(*) FROM levi_outbox WHERE bytes <> length(payload) OR lane NOT IN \
         (SELECT lane FROM levi_lanes)",
        "a pending row has a wrong length or no lane",
    ),
    (
        "SELECT count(*) FROM levi_parked AS p WHERE bytes <> length(payload) OR lane NOT IN \
         (SELECT lane FROM levi_lanes) OR id IN (SELECT id FROM levi_outbox) OR EXISTS (SELECT 1 FROM \
         levi_outbox AS o WHERE o.lane = p.lane AND o.sequence_number = p.sequence_number)",
        "a parked row has a wrong length, no lane, or the sequence number of a pending row",
    ),
];

/// Runs SQLite's own check and the rules above. Each line describes one kind of damage.
pub(super) fn problems(conn: &Connection) -> Result<Vec<String>> {
    let mut statement = conn.prepare("PRAGMA quick_check")?;
    let mut problems: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_>>()?;
    problems.retain(|line| line != "ok");
    for (rule, text) in RULES {
        let violations: i64 = conn.query_row(rule, [], |row| row.get(0))?;
        if violations > 0 {
            problems.push(format!("{text} ({violations})"));
        }
    }
    Ok(problems)
}
