//! The delivery of messages: one row for each session and one for each message that is not sent.

use levi_types::{Delivery, DeliveryReport, MessageId, SessionId};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};

use super::failure::Failure;

/// How much of a session is on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The highest sequence number on the server.
    pub last_sent: i64,
    /// The number of messages on the server. Each is counted once, however often it is reported. Not counted: a message
    /// that was enqueued after a later one of its session had been sent.
    pub sent: u64,
}

/// A message that is not on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsent {
    /// Its position in the session.
    pub sequence_number: i64,
    /// The daemon's own id for it.
    pub message_id: MessageId,
    /// Whether Levi retries.
    pub state: UnsentState,
    /// The code of the last error, as in [`Delivery`].
    pub code: String,
}

/// Whether Levi retries a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnsentState {
    /// Levi retries it.
    Failed,
    /// Levi does not retry it; an operator has to act.
    Parked,
}

impl UnsentState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Parked => "parked",
        }
    }
}

/// Records the reports in one transaction, in order.
pub(super) fn record(connection: &mut Connection, reports: &[DeliveryReport]) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for run in reports.chunk_by(is_one_run) {
        match run {
            [first, ..] if first.delivery == Delivery::Sent => sent(&transaction, &first.session_id, run)?,
            others => others.iter().try_for_each(|report| unsent_report(&transaction, report))?,
        }
    }
    Ok(transaction.commit()?)
}

/// Whether two reports are of sent messages of one session, so that they are recorded together: a batch has hundreds.
fn is_one_run(one: &DeliveryReport, next: &DeliveryReport) -> bool {
    let are_sent = one.delivery == Delivery::Sent && next.delivery == Delivery::Sent;
    are_sent && one.session_id == next.session_id
}

/// Counts sent messages of one session. A report may arrive twice, so one at or below `last_sent` counts only if the
/// message was recorded as unsent.
fn sent(
    transaction: &Transaction<'_>,
    session: &SessionId,
    reports: &[DeliveryReport],
) -> Result<(), Failure> {
    let before = progress(transaction, session)?;
    let has_unsent: bool = transaction
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM levi_store_unsent WHERE session_id = ?1)")?
        .query_row([session.as_str()], |row| row.get(0))?;
    let mut last_sent = before.map(|progress| progress.last_sent);
    let mut counted = before.map_or(0, |progress| progress.sent);
    for report in reports {
        let number = report.sequence_number;
        let is_higher = last_sent.is_none_or(|last| number > last);
        let was_unsent = has_unsent && delete_unsent(transaction, session, number)?;
        counted = counted.saturating_add(u64::from(is_higher || was_unsent));
        last_sent = last_sent.max(Some(number));
    }
    // SQLite has no larger number.
    let counted = i64::try_from(counted).unwrap_or(i64::MAX);
    transaction
        .prepare_cached(
            "INSERT INTO levi_store_progress (session_id, last_sent, sent) VALUES (?1, ?2, ?3)
             ON CONFLICT (session_id) DO UPDATE SET last_sent = excluded.last_sent, sent = excluded.sent",
        )?
        .execute((session.as_str(), last_sent, counted))?;
    Ok(())
}

/// Returns whether the message was recorded as unsent.
fn delete_unsent(transaction: &Transaction<'_>, session: &SessionId, number: i64) -> Result<bool, Failure> {
    let mut delete = transaction
        .prepare_cached("DELETE FROM levi_store_unsent WHERE session_id = ?1 AND sequence_number = ?2")?;
    Ok(delete.execute((session.as_str(), number))? > 0)
}

fn unsent_report(transaction: &Transaction<'_>, report: &DeliveryReport) -> Result<(), Failure> {
    match &report.delivery {
        Delivery::Failed { code } => not_sent(transaction, report, UnsentState::Failed, code),
        Delivery::Parked { code } => not_sent(transaction, report, UnsentState::Parked, code),
        // `Sent` is in a run of its own; a later version may add states.
        _ => Ok(()),
    }
}

fn not_sent(
    transaction: &Transaction<'_>,
    report: &DeliveryReport,
    state: UnsentState,
    code: &str,
) -> Result<(), Failure> {
    transaction
        .prepare_cached(
            "INSERT INTO levi_store_unsent (session_id, sequence_number, message_id, state, code)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (session_id, sequence_number) DO UPDATE SET
                 message_id = excluded.message_id, state = excluded.state, code = excluded.code",
        )?
        .execute((
            report.session_id.as_str(),
            report.sequence_number,
            report.message_id.as_str(),
            state.as_str(),
            code,
        ))?;
    Ok(())
}

pub(super) fn progress(connection: &Connection, session: &SessionId) -> Result<Option<Progress>, Failure> {
    let mut statement =
        connection.prepare_cached("SELECT last_sent, sent FROM levi_store_progress WHERE session_id = ?1")?;
    let found = statement
        .query_row([session.as_str()], |row| {
            Ok(Progress { last_sent: row.get(0)?, sent: row.get::<_, i64>(1)?.cast_unsigned() })
        })
        .optional()?;
    Ok(found)
}

pub(super) fn unsent(connection: &Connection, session: &SessionId) -> Result<Vec<Unsent>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT sequence_number, message_id, state = 'parked', code FROM levi_store_unsent
         WHERE session_id = ?1 ORDER BY sequence_number",
    )?;
    let rows = statement.query_map([session.as_str()], |row| {
        Ok(Unsent {
            sequence_number: row.get(0)?,
            message_id: row.get::<_, String>(1)?.into(),
            state: if row.get(2)? { UnsentState::Parked } else { UnsentState::Failed },
            code: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn remove_session(connection: &mut Connection, session: &SessionId) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for statement in [
        "DELETE FROM levi_store_sessions WHERE id = ?1",
        "DELETE FROM levi_store_secrets WHERE id = ?1",
        "DELETE FROM levi_store_received WHERE session_id = ?1",
        "DELETE FROM levi_store_progress WHERE session_id = ?1",
        "DELETE FROM levi_store_unsent WHERE session_id = ?1",
    ] {
        transaction.execute(statement, [session.as_str()])?;
    }
    Ok(transaction.commit()?)
}
