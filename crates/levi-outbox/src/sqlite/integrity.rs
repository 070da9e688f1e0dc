//! Whether the outbox adds up: SQLite's own check, and the totals and the lanes compared with the rows.

use rusqlite::{Connection, Result};

use super::blocking::blocking_parent;
use super::{change, list, lone_failures, read, synced, users};

/// A query that counts violations, and the text that describes them.
type Rule = (&'static str, &'static str);

/// Rules about rows. A file that breaks one is damaged.
const OF_ROWS: &[Rule] = &[
    (
        "SELECT count(*) FROM levi_outbox NOT INDEXED WHERE bytes <> length(payload) OR version < 1 \
         OR protection NOT IN (0, 1, 2) OR lane NOT IN (SELECT lane FROM levi_lanes NOT INDEXED)",
        "a pending row has a wrong length, version or key, or no lane",
    ),
    (
        "SELECT count(*) FROM levi_parked AS p NOT INDEXED WHERE bytes <> length(payload) OR version < 1 \
         OR protection NOT IN (0, 1, 2) OR lane NOT IN (SELECT lane FROM levi_lanes NOT INDEXED) \
         OR id IN (SELECT id FROM levi_outbox) OR EXISTS (SELECT 1 FROM \
         levi_outbox AS o WHERE o.lane = p.lane AND o.sequence_number = p.sequence_number)",
        "a parked row has a wrong length, version or key, no lane, or the place of a pending row",
    ),
    (
        "SELECT (SELECT count(*) FROM levi_outbox NOT INDEXED WHERE id > 1 << 62) \
         + (SELECT count(*) FROM levi_parked NOT INDEXED WHERE id > 1 << 62) \
         + (SELECT count(*) FROM levi_lanes NOT INDEXED WHERE lane > 1 << 62) \
         + (SELECT count(*) FROM sqlite_sequence WHERE name IN ('levi_outbox', 'levi_lanes') AND seq > 1 << 62)",
        "an id leaves no room for further ones",
    ),
    USERS,
    SIGNED_IN,
    (
        "SELECT count(*) FROM levi_lanes NOT INDEXED WHERE kind NOT IN (0, 1, 2, 3) OR attempts NOT BETWEEN 0 \
         AND 4294967295 OR (reason_code IS NULL) IS NOT (reason_detail IS NULL)",
        "a lane has a wrong kind, count of attempts or reason",
    ),
];

/// Rules about counts and lanes, which follow from the rows.
const OF_COUNTS: &[Rule] = &[
    (
        "SELECT count(*) <> 1 OR min(id) <> 1 FROM levi_totals",
        "there are no counts, or more than one line of them",
    ),
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
    DUE,
    BLOCKED,
];

const USERS: Rule = (
    "SELECT count(*) FROM levi_lanes NOT INDEXED WHERE user NOT IN (SELECT user FROM levi_users NOT INDEXED) \
     AND (user <> 0 OR (SELECT user FROM levi_totals) <> 0)",
    "a lane waits for a user who is not known",
);

const SIGNED_IN: Rule = (
    "SELECT count(*) FROM levi_totals WHERE user <> 0 AND user NOT IN (SELECT user FROM levi_users NOT INDEXED)",
    "the user who signed in last is not known",
);

const DUE: Rule = (
    "SELECT count(*) FROM levi_lanes AS l NOT INDEXED WHERE (due_at IS NOT NULL) IS NOT \
     EXISTS (SELECT 1 FROM levi_outbox AS o WHERE o.lane = l.lane)",
    "a lane with rows is never due, or one without rows is",
);

const BLOCKED: Rule = (
    concat!(
        "SELECT count(*) FROM levi_lanes AS l NOT INDEXED WHERE blocked_by IS NOT ",
        blocking_parent!("l.kind", "l.subject", "l.repository_id")
    ),
    "a lane is not blocked by its parent, or is blocked by another lane",
);

/// Rules whose cost grows with the lanes, and with the rows only as far as an index is counted
/// through: an index that is older than its table, or a table that is older than the others, breaks
/// one of them.
const QUICK: &[Rule] = &[
    (
        "SELECT count(*) = 0 FROM levi_totals WHERE pending_rows + control_rows = \
         (SELECT count(*) FROM levi_outbox INDEXED BY levi_outbox_place) AND parked_rows + parked_control_rows = \
         (SELECT count(*) FROM levi_parked INDEXED BY levi_parked_place)",
        "the counts of rows are wrong",
    ),
    (
        "SELECT count(*) FROM levi_totals WHERE lanes IS NOT \
         (SELECT count(*) FROM levi_lanes NOT INDEXED WHERE due_at IS NOT NULL)",
        "the count of lanes is wrong",
    ),
    (
        "WITH RECURSIVE used (lane) AS (SELECT min(lane) FROM levi_outbox INDEXED BY levi_outbox_place UNION \
         SELECT (SELECT min(o.lane) FROM levi_outbox AS o INDEXED BY levi_outbox_place WHERE o.lane > used.lane) \
         FROM used WHERE used.lane IS NOT NULL) \
         SELECT count(*) FROM used WHERE lane NOT IN (SELECT lane FROM levi_lanes NOT INDEXED)",
        "a row has no lane",
    ),
    USERS,
    SIGNED_IN,
    DUE,
    BLOCKED,
];

/// Runs every check. Each line describes one kind of damage.
pub(super) fn problems(conn: &Connection) -> Result<Vec<String>> {
    let mut problems: Vec<String> = of_file(conn)?.into_iter().collect();
    for rules in [OF_ROWS, OF_COUNTS] {
        for rule in rules {
            problems.extend(violation(conn, rule)?);
        }
    }
    problems.extend(of_values(conn)?);
    Ok(problems)
}

/// SQLite's own check of the whole file, which compares every index with its table.
pub(super) fn of_file(conn: &Connection) -> Result<Option<String>> {
    sqlite_finds(conn, "PRAGMA integrity_check(1)")
}

/// The rows, each by itself.
pub(super) fn of_rows(conn: &Connection) -> Result<Option<String>> {
    first_violation(conn, OF_ROWS)
}

/// The values, each by itself. Whatever the readers of the outbox decode is decoded here by the same functions, so that
/// no value passes for sound that stops one of them.
pub(super) fn of_values(conn: &Connection) -> Result<Option<String>> {
    match decode_values(conn) {
        Ok(()) => Ok(None),
        // SQLite has read the value.
        Err(error) if error.sqlite_error().is_none() => {
            Ok(Some(format!("a value is of no kind that is written: {error}")))
        }
        Err(error) => Err(error),
    }
}

fn decode_values(conn: &Connection) -> Result<()> {
    list::decode_all(conn)?;
    users::decode_all(conn)?;
    synced::decode_all(conn)?;
    lone_failures::all(conn)?;
    lone_failures::parked(conn)?;
    read::writer(conn)?;
    change::paused_until(conn).map(drop)
}

/// What follows from the rows.
pub(super) fn of_counts(conn: &Connection) -> Result<Option<String>> {
    first_violation(conn, OF_COUNTS)
}

/// Checks whose cost is little even for a million rows.
pub(super) fn quick(conn: &Connection) -> Result<Option<String>> {
    match sqlite_finds(conn, "PRAGMA integrity_check(levi_lanes)")? {
        Some(problem) => Ok(Some(problem)),
        None => first_violation(conn, QUICK),
    }
}

fn sqlite_finds(conn: &Connection, check: &str) -> Result<Option<String>> {
    let found: String = conn.query_row(check, [], |row| row.get(0))?;
    Ok((found != "ok").then_some(found))
}

fn first_violation(conn: &Connection, rules: &[Rule]) -> Result<Option<String>> {
    for rule in rules {
        if let Some(problem) = violation(conn, rule)? {
            return Ok(Some(problem));
        }
    }
    Ok(None)
}

fn violation(conn: &Connection, (rule, text): &Rule) -> Result<Option<String>> {
    let violations: i64 = conn.query_row(rule, [], |row| row.get(0))?;
    Ok((violations > 0).then(|| format!("{text} ({violations})")))
}

/// Makes the counts and the lanes follow from the rows again. Lanes that have rows and were not due
/// are due at once.
pub(super) fn mend(conn: &Connection) -> Result<()> {
    conn.execute_batch(MEND)?;
    super::blocking::refresh_all(conn)
}

const MEND: &str = "
    DELETE FROM levi_totals WHERE id <> 1;
    UPDATE levi_lanes SET due_at = 0 WHERE due_at IS NULL
        AND EXISTS (SELECT 1 FROM levi_outbox AS o WHERE o.lane = levi_lanes.lane);
    UPDATE levi_lanes SET due_at = NULL WHERE due_at IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM levi_outbox AS o WHERE o.lane = levi_lanes.lane);
    INSERT INTO levi_totals (id, pending_rows, pending_bytes, parked_rows, parked_bytes, control_rows,
            parked_control_rows, lanes)
        SELECT 1, o.messages, o.bytes, p.messages, p.bytes, o.control_rows, p.control_rows, o.lanes
        FROM (SELECT count(*) FILTER (WHERE kind = 3) AS messages, count(*) FILTER (WHERE kind <> 3) AS control_rows,
                coalesce(sum(bytes), 0) AS bytes, count(DISTINCT lane) AS lanes
                FROM levi_outbox JOIN levi_lanes USING (lane)) AS o,
            (SELECT count(*) FILTER (WHERE kind = 3) AS messages, count(*) FILTER (WHERE kind <> 3) AS control_rows,
                coalesce(sum(bytes), 0) AS bytes
                FROM levi_parked JOIN levi_lanes USING (lane)) AS p
        WHERE true
        ON CONFLICT (id) DO UPDATE SET pending_rows = excluded.pending_rows,
            pending_bytes = excluded.pending_bytes, parked_rows = excluded.parked_rows,
            parked_bytes = excluded.parked_bytes, control_rows = excluded.control_rows,
            parked_control_rows = excluded.parked_control_rows, lanes = excluded.lanes;";
