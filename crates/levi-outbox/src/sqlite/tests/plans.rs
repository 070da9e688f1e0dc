//! The plans behind "O(log n)". A plan that scans or sorts turns 30 microseconds into seconds at a million rows.

use rusqlite::{Connection, StatementStatus, ToSql};

use super::in_memory;
use crate::sqlite::{change, due, enqueue, lanes, ledger, read, tasks};

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
        (due::DUE, "SEARCH levi_lanes USING INDEX levi_lanes_due (due_at<?)"),
        (due::DUE_BEYOND, "SEARCH levi_lanes USING INDEX levi_lanes_due (due_at>?)"),
        (due::NEXT_DUE, "SEARCH levi_lanes USING COVERING INDEX levi_lanes_due (due_at>? AND due_at<?)"),
        (due::FIRST_HEADS, "SEARCH levi_outbox USING INDEX levi_outbox_place (lane=?)"),
        (due::HEADS, "SEARCH levi_outbox USING INDEX levi_outbox_place (lane=? AND sequence_number>?)"),
        (tasks::DUE, "SEARCH levi_tasks USING INDEX levi_tasks_due (due_at<?)"),
        (tasks::DUE_BEYOND, "SEARCH levi_tasks USING INDEX levi_tasks_due (due_at>?)"),
        (tasks::NEXT_DUE, "SEARCH levi_tasks USING COVERING INDEX levi_tasks_due (due_at>? AND due_at<?)"),
        (
            ledger::OLDEST,
            "SEARCH levi_outbox USING INTEGER PRIMARY KEY (rowid=?); SCALAR SUBQUERY 1; SEARCH levi_outbox",
        ),
        (read::AT_REST, "SEARCH levi_outbox USING INDEX levi_outbox_at_rest (lane=?)"),
        (
            lanes::FIND_LANE,
            "SEARCH l USING INDEX sqlite_autoindex_levi_lanes_1 (session_id=?); CORRELATED SCALAR SUBQUERY 1; \
             SEARCH o USING COVERING INDEX levi_outbox_place (lane=?)",
        ),
        (change::TAKEN_BYTES, "SEARCH levi_outbox USING INTEGER PRIMARY KEY (rowid=?)"),
        (change::TAKE, "SEARCH levi_outbox USING INTEGER PRIMARY KEY (rowid=?)"),
        (change::SETTLE, "SEARCH levi_lanes USING INTEGER PRIMARY KEY (rowid=?)"),
        (
            read::LIST_PENDING,
            "SEARCH o USING INTEGER PRIMARY KEY (rowid>?); \
             SEARCH levi_lanes USING INTEGER PRIMARY KEY (rowid=?)",
        ),
    ];
    let outbox = in_memory(1_000);
    for (sql, expected) in table {
        let plan = plan(&outbox.conn, sql);
        assert_eq!(plan, expected, "{sql}");
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}

#[test]
fn counts_are_read_from_one_row_and_the_few_behind_it() {
    let outbox = in_memory(1_000);
    let plan = plan(&outbox.conn, ledger::LOAD);
    let steps: Vec<&str> = plan.split("; ").filter(|step| step.contains("levi_")).collect();
    let one = "SEARCH levi_totals USING INTEGER PRIMARY KEY (rowid=?)";
    assert_eq!(steps, ["SEARCH levi_outbox USING INTEGER PRIMARY KEY (rowid>?)", one, one], "{plan}");
}

/// With another value for a LIMIT, say: compiling takes longer than running.
#[test]
fn no_statement_is_compiled_again_because_another_value_is_bound() {
    let outbox = in_memory(1_000);
    let often =
        [due::DUE, due::NEXT_DUE, due::FIRST_HEADS, due::HEADS, lanes::FIND_LANE, change::TAKEN_BYTES];
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
    // All but RETRY_LANES and RETRY, which are for everything that is deferred, and rare.
    let statements = [
        change::DEFER,
        change::DROP_EMPTY_LANE,
        change::SET_ASIDE,
        change::PUT_BACK,
        change::DROP_PARKED,
        change::REVIVE_LANE,
        change::DISCARD,
        change::HAS_ROWS,
        change::EMPTY_LANE,
        change::WAS_EMPTY,
        change::HAS_EARLIER,
        change::FORGIVE_LANE,
        change::LENGTH,
        change::RESEAL,
        change::RETRY_LANE,
        enqueue::REPLACE,
        lanes::FILL_LANE,
        lanes::PARKED_TAIL,
        enqueue::PENDING_AT,
        enqueue::PARKED_AT,
        read::PAYLOAD,
        read::PARKED_PAYLOAD,
        read::LIST_PARKED,
        tasks::FIND,
        tasks::MAKE_CHILDREN_WAIT,
        tasks::FINISH,
        tasks::DEFER,
        tasks::PARK,
        tasks::REFRESH_HELD,
        tasks::HELD_BY_CHILDREN,
    ];
    let outbox = in_memory(1_000);
    for sql in statements {
        // A SELECT of constants and subqueries "scans" its one row.
        let plan = plan(&outbox.conn, sql).replace("SCAN CONSTANT ROW", "");
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}
