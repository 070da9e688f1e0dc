//! `/realtime/v1/websocket`: Phoenix channels with `postgres_changes` on the table of messages.

mod channel;
mod message;
mod socket;

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;

use levi_transport::Table;
use serde_json::Value;

use self::channel::{Channel, ChannelId};
pub(crate) use self::socket::serve;
use super::database::Database;
use super::fake_supabase::FakeSupabase;
use super::http::Request;
use super::lock;
use super::rest;
use super::schema::TableDef;
use super::server::Server;

/// What is wrong with Realtime, until another is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RealtimeFault {
    /// A join is not answered.
    IgnoresJoins,
    /// A join is answered with an error.
    RefusesJoins,
    /// A join is accepted, and the subscription to the table is not confirmed.
    NeverConfirms,
    /// A join is accepted, and the subscription to the table is reported to have failed, as for a
    /// table that is not in the publication.
    NotInPublication,
    /// Heartbeats are not answered.
    IgnoresHeartbeats,
    /// A join is accepted, and the connection ends.
    DropsAfterJoin,
    /// Nothing that is written is reported.
    ReportsNothing,
}

/// The counters of Realtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RealtimeStats {
    /// WebSocket connections that were opened.
    pub sockets: u64,
    /// Channels that were joined.
    pub joins: u64,
    /// Joins that were refused.
    pub refused: u64,
    /// Tokens that a channel was given after it was joined, and took.
    pub tokens: u64,
    /// Heartbeats.
    pub heartbeats: u64,
    /// Changes that were sent.
    pub events: u64,
}

/// A row of the messages that a request wrote.
#[derive(Clone, Copy)]
pub(crate) struct WrittenRow {
    pub(crate) arrival: i64,
    pub(crate) is_new: bool,
}

impl WrittenRow {
    const fn event(self) -> &'static str {
        if self.is_new { "INSERT" } else { "UPDATE" }
    }
}

/// The open sockets and their channels.
#[derive(Default)]
pub(crate) struct Realtime {
    channels: Mutex<HashMap<ChannelId, Channel>>,
    sockets: Mutex<HashMap<u64, TcpStream>>,
    fault: Mutex<Option<RealtimeFault>>,
}

/// Whether it asks for a WebSocket.
pub(crate) fn is_upgrade(request: &Request) -> bool {
    let upgrades = request.header("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    upgrades && request.path() == "/realtime/v1/websocket"
}

impl Realtime {
    fn fault(&self) -> Option<RealtimeFault> {
        *lock(&self.fault)
    }

    /// Sends each row to the channels that subscribe to it and whose user may see it.
    pub(crate) fn publish(&self, server: &Server, rows: &[WrittenRow]) {
        if rows.is_empty()
            || lock(&self.channels).is_empty()
            || self.fault() == Some(RealtimeFault::ReportsNothing)
        {
            return;
        }
        let Some(records) = records(&server.database, rows) else { return };
        self.end_expired(server);
        let channels = lock(&self.channels);
        for (row, record) in rows.iter().zip(&records) {
            for channel in channels.values() {
                let sent = channel.report(row.event(), record);
                server.record.realtime(|stats| stats.events += u64::from(sent));
            }
        }
    }

    /// Ends the channels whose token has expired.
    pub(crate) fn end_expired(&self, server: &Server) {
        let now = server.clock.now().wall;
        let auth = lock(&server.auth);
        lock(&self.channels).retain(|_, channel| {
            let is_valid = channel.is_valid(&auth, now);
            if !is_valid {
                channel.end_for("Token has expired");
            }
            is_valid
        });
    }

    /// Ends every socket.
    fn drop_sockets(&self) {
        for socket in lock(&self.sockets).values() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn records(database: &Database, rows: &[WrittenRow]) -> Option<Vec<Value>> {
    let arrivals: Vec<i64> = rows.iter().map(|row| row.arrival).collect();
    let json = rest::rows_of(database, TableDef::of(Table::Messages), &arrivals).ok()?;
    let records: Vec<Value> = serde_json::from_slice(&json).ok()?;
    // A row that was deleted meanwhile is not reported, nor are those with it.
    (records.len() == rows.len()).then_some(records)
}

impl FakeSupabase {
    /// Ends every WebSocket, without a closing handshake. Other connections stay.
    pub fn drop_realtime(&self) {
        self.server.realtime.drop_sockets();
    }

    /// What is wrong with Realtime from now on.
    pub fn realtime_fault(&self, fault: Option<RealtimeFault>) {
        *lock(&self.server.realtime.fault) = fault;
    }
}
