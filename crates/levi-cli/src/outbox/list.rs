//! `levi outbox list`.

use levi::core::SystemClock;
use levi::outbox::{Encryption, ListedRow, RowKind};
use levi::types::{Clock as _, Wall};
use levi::{SessionId, UserId};
use serde::Serialize;

use super::{ListArgs, each_row, outbox_path};
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::text::{bytes, plural, seconds};

#[derive(Serialize)]
struct Row<'a> {
    row: i64,
    #[serde(skip)]
    listed: &'a ListedRow,
    kind: &'static str,
    /// The queue that the row is in, such as `messages/ID`.
    lane: String,
    session_id: Option<&'a str>,
    sequence_number: i64,
    message_id: &'a str,
    /// For whom the row was recorded.
    user_id: Option<&'a str>,
    /// `pending`, `parked`, or `held` if it waits for another user than the one who signed in last.
    state: &'static str,
    encryption: &'static str,
    bytes: u32,
    age_seconds: f64,
    attempts: u32,
    due_in_seconds: Option<f64>,
    /// The lane that must be empty before this row is sent.
    blocked_by: Option<String>,
    code: Option<&'a str>,
    detail: Option<&'a str>,
}

pub(super) fn run(args: &ListArgs, console: Console) -> Result<Exit, CliError> {
    let inspector = levi::outbox::sqlite::Inspector::open(outbox_path(&args.data)?)?;
    let now = SystemClock::new().now().wall;
    let shown = each_row(
        &inspector,
        args,
        |_| true,
        |listed| {
            let row = Row::new(listed, now);
            console.json(&row)?;
            console.say(row.text())
        },
    )?;
    console.say(plural(shown, "row"))?;
    Ok(Exit::Done)
}

impl<'a> Row<'a> {
    fn new(row: &'a ListedRow, now: Wall) -> Self {
        Self {
            row: row.id.0,
            listed: row,
            kind: row.kind.name(),
            lane: row.lane.to_string(),
            session_id: row.lane.session_id().map(SessionId::as_str),
            sequence_number: row.sequence_number,
            message_id: row.message_id.as_str(),
            user_id: row.user_id.as_ref().map(UserId::as_str),
            state: match (row.parked, row.held) {
                (true, _) => "parked",
                (false, true) => "held",
                (false, false) => "pending",
            },
            encryption: match row.encryption {
                Encryption::SessionKey => "session_key",
                Encryption::DatabaseKey => "database_key",
                Encryption::None => "none",
            },
            bytes: row.bytes,
            age_seconds: now.since(row.enqueued_at).as_secs_f64(),
            attempts: row.attempts,
            due_in_seconds: row.due_at.map(|due| due.since(now).as_secs_f64()),
            blocked_by: row.blocked_by.as_ref().map(ToString::to_string),
            code: row.reason.as_ref().map(|reason| reason.code.as_str()),
            detail: row.reason.as_ref().map(|reason| reason.detail.as_str()),
        }
    }

    fn text(&self) -> String {
        let number = if self.listed.kind == RowKind::Message {
            self.sequence_number.to_string()
        } else {
            String::new()
        };
        let when = match (&self.blocked_by, self.due_in_seconds) {
            _ if self.listed.held && !self.listed.parked => {
                format!(", until user {} signs in", self.user_id.unwrap_or("unknown"))
            }
            (Some(lane), _) => format!(", after {lane}"),
            (None, Some(due)) if self.attempts > 0 => {
                format!(", {}, next in {}", plural(u64::from(self.attempts), "attempt"), seconds(due))
            }
            _ => String::new(),
        };
        let reason = match (self.code, self.detail) {
            (Some(code), Some(detail)) => format!("  {code} ({detail})"),
            _ => String::new(),
        };
        format!(
            "{:>8}  {:<47}  {number:>8}  {:<7}  {:>9}  for {}{when}{reason}",
            self.row,
            self.lane,
            self.state,
            bytes(u64::from(self.bytes)),
            seconds(self.age_seconds),
        )
    }
}
