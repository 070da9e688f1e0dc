//! The plans behind "O(log n)". A plan that scans or sorts turns 30 microseconds into seconds at a
//! million rows.

use rusqlite::{Connection, StatementStatus, ToSql};

use super::{due as due_lanes, in_memory, repository, session};
use crate::sqlite::{
    SqliteOutbox, blocking, change, control_row, counters, due, enqueue, lane, lane_cache, list, overwrites,
    read, synced, users,
};
use crate::store::OutboxStore;

/// The steps of a query's plan, joined.
fn plan(conn: &Connection, sql: &str) -> String {
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let nulls = vec![&None::<i64> as &dyn ToSql; statement.parameter_count()];
    let steps = statement.query_map(nulls.as_slice(), |row| row.get::<_, String>(3)).unwrap();
    steps.collect::<Result<Vec<_>, _>>().unwrap().join("; ")
}

#[test]
fn no_plan_scans_or_sorts() {
    let table = [
        (due::DUE, "SEARCH levi_lanes USING INDEX levi_lanes_due (user=? AND due_at<?)"),
        (due::DUE_BEYOND, "SEARCH levi_lanes USING INDEX levi_lanes_due (user=? AND due_at>?)"),
        (
            due::NEXT_DUE,
            "SEARCH levi_lanes USING COVERING INDEX levi_lanes_due (user=? AND due_at>? AND due_at<?)",
        ),
        (
            due::DUE_HEADS,
            "SEARCH levi_outbox USING INDEX levi_outbox_place (lane=?); CORRELATED SCALAR SUBQUERY 1; SEARCH w USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        (users::FIND, "SEARCH levi_users USING COVERING INDEX sqlite_autoindex_levi_users_1 (user_id=?)"),
        (users::NAME, "SEARCH levi_users USING INTEGER PRIMARY KEY (rowid=?)"),
        (
            due::FIRST_HEADS,
            "SEARCH levi_outbox USING INDEX levi_outbox_place (lane=?); SCALAR SUBQUERY 2; SEARCH levi_lanes \
             USING INTEGER PRIMARY KEY (rowid=?); CORRELATED SCALAR SUBQUERY 1; SEARCH w USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        (
            due::HEADS,
            "SEARCH levi_outbox USING INDEX levi_outbox_place (lane=? AND sequence_number>?); \
             SCALAR SUBQUERY 2; SEARCH levi_lanes USING INTEGER PRIMARY KEY (rowid=?); CORRELATED SCALAR SUBQUERY 1; SEARCH w USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        (
            counters::OLDEST,
            "SEARCH levi_outbox USING INTEGER PRIMARY KEY (rowid=?); SCALAR SUBQUERY 1; SEARCH levi_outbox",
        ),
        (
            read::UNDER_DATABASE_KEY,
            "SEARCH levi_outbox USING INDEX levi_outbox_at_rest (lane=?); CORRELATED SCALAR SUBQUERY 1; SEARCH w USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        (
            lane_cache::FIND_LANE,
            "SEARCH l USING INDEX sqlite_autoindex_levi_lanes_1 (kind=? AND subject=?); CORRELATED SCALAR SUBQUERY 1; \
             SEARCH o USING COVERING INDEX levi_outbox_place (lane=?)",
        ),
        (change::PENDING_BYTES, "SEARCH levi_outbox USING INTEGER PRIMARY KEY (rowid=?)"),
        (change::REMOVE, "SEARCH levi_outbox USING INTEGER PRIMARY KEY (rowid=?)"),
        (counters::LOAD, "SEARCH levi_totals USING INTEGER PRIMARY KEY (rowid=?)"),
        (blocking::UNBLOCK, "SEARCH levi_lanes USING INDEX levi_lanes_blocked (blocked_by=?)"),
        (blocking::BLOCK_REPOSITORY, "SEARCH levi_lanes USING INDEX levi_lanes_repository (repository_id=?)"),
        (lane::SETTLE, "SEARCH levi_lanes USING INTEGER PRIMARY KEY (rowid=?)"),
        (
            list::LIST_PENDING,
            "SEARCH o USING INTEGER PRIMARY KEY (rowid>?); \
             SEARCH levi_lanes USING INTEGER PRIMARY KEY (rowid=?); CORRELATED SCALAR SUBQUERY 1; SEARCH w USING INTEGER PRIMARY KEY (rowid=?)",
        ),
    ];
    let outbox = in_memory(1_000);
    for (sql, expected) in table {
        let plan = plan(&outbox.conn, sql);
        assert_eq!(plan, expected, "{sql}");
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}

/// With another value for a LIMIT, say: compiling takes longer than running.
#[test]
fn no_statement_is_compiled_again_because_another_value_is_bound() {
    let outbox = in_memory(1_000);
    let often = [
        due::DUE,
        due::NEXT_DUE,
        due::DUE_HEADS,
        due::FIRST_HEADS,
        due::HEADS,
        lane_cache::FIND_LANE,
        change::PENDING_BYTES,
    ];
    for sql in often {
        let mut statement = outbox.conn.prepare(sql).unwrap();
        for value in 0..3_i64 {
            for parameter in 1..=statement.parameter_count() {
                statement.raw_bind_parameter(parameter, value).unwrap();
            }
            statement.raw_query().next().unwrap();
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
    }
}

#[test]
fn everything_else_that_runs_for_a_row_or_a_lane_searches_too() {
    // All but RETRY_ALL, which is for everything that is deferred, and rare.
    let statements = [
        blocking::BLOCK_SESSION,
        blocking::BLOCKS_ROWS,
        blocking::WAITING_ROWS,
        lane::DEFER,
        lane::DRAIN,
        change::FIND_PARKED,
        change::FIND_PENDING,
        change::HAS_EARLIER,
        control_row::PENDING_CONTROL_ROW,
        lane::STATE,
        change::LENGTH,
        change::PARK,
        lane::REMOVE_IF_EMPTY,
        lane::REMOVE,
        change::RESEAL,
        lane::RESET_ATTEMPTS,
        lane::RETRY,
        lane::REVIVE,
        change::SAME_CONTROL_ROW,
        change::UNPARK,
        enqueue::PARKED_AT,
        enqueue::PENDING_AT,
        enqueue::REMOVE_PARKED,
        enqueue::REPLACE,
        enqueue::RESTART_LANE,
        lane_cache::FILL_LANE,
        lane_cache::LAST_PARKED,
        lane_cache::NEW_LANE,
        list::BLOCKER,
        overwrites::EDITED,
        overwrites::SET,
        overwrites::USED,
        synced::ADD,
        synced::CHANGE,
        synced::DROP_OLDEST,
        synced::FIND,
        synced::FORGET,
        synced::LAST,
        users::TAKE_OVER,
        list::LIST_PARKED,
        read::PARKED_PAYLOAD,
        read::PAYLOAD,
    ];
    let outbox = in_memory(1_000);
    for sql in statements {
        // A SELECT of constants and subqueries "scans" its one row, and a recursive one its own
        // results.
        let plan = plan(&outbox.conn, sql).replace("SCAN CONSTANT ROW", "").replace("SCAN below", "");
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}

/// Offline, each new session of a repository writes the repository's row again.
#[test]
fn a_parent_that_is_written_again_writes_to_none_of_its_children() {
    let mut outbox = in_memory(u64::MAX);
    let sessions: Vec<_> = (0..50).map(|number| session(&format!("s{number}"))).collect();
    outbox.commit(&[], &[repository("r")]).unwrap();
    outbox.commit(&[], &sessions).unwrap();
    let rows_written = |outbox: &SqliteOutbox| -> i64 {
        outbox.conn.query_row("SELECT total_changes()", [], |row| row.get(0)).unwrap()
    };
    let before = rows_written(&outbox);
    outbox.commit(&[], &[repository("r")]).unwrap();
    assert!(rows_written(&outbox) - before < 5, "{} rows", rows_written(&outbox) - before);
    assert_eq!(due_lanes(&outbox, 9_000).len(), 1, "all of them still wait");
    assert_eq!(outbox.problems().unwrap(), Vec::<String>::new());
}
