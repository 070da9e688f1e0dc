//! Fault injection: which requests get which fault, and how often.

mod fault;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use levi_transport::Table;

pub use self::fault::{Canned, Fault, ReadFault};
use super::http::Request;
use super::{lock, rest};

/// Which requests a fault applies to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    method: Option<&'static str>,
    path: Path,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Path {
    #[default]
    Any,
    Rest,
    Auth,
    Root,
    Realtime,
    Table(Table),
}

impl Scope {
    /// Every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests to `/rest/v1`.
    pub const fn rest() -> Self {
        Self { method: None, path: Path::Rest }
    }

    /// Requests to `/auth/v1`.
    pub const fn auth() -> Self {
        Self { method: None, path: Path::Auth }
    }

    /// Requests to `/rest/v1/` itself, which describes the tables.
    pub const fn root() -> Self {
        Self { method: None, path: Path::Root }
    }

    /// Requests for a WebSocket of Realtime.
    pub const fn realtime() -> Self {
        Self { method: None, path: Path::Realtime }
    }

    /// Requests to one table.
    pub const fn table(table: Table) -> Self {
        Self { method: None, path: Path::Table(table) }
    }

    /// Restricts the scope to one method, such as `"POST"`.
    #[must_use]
    pub const fn method(self, method: &'static str) -> Self {
        Self { method: Some(method), ..self }
    }

    fn covers(&self, request: &Request) -> bool {
        let path = request.path();
        let here = match self.path {
            Path::Any => true,
            Path::Rest => path.starts_with("/rest/v1/"),
            Path::Auth => path.starts_with("/auth/v1/"),
            Path::Root => path == "/rest/v1/",
            Path::Realtime => path.starts_with("/realtime/v1/"),
            Path::Table(table) => rest::table_of(path).is_some_and(|def| def.table == table),
        };
        here && self.method.is_none_or(|method| method == request.method)
    }
}

/// How many requests a fault affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// The next requests in its scope, this many.
    Next(u64),
    /// All requests in its scope, until [`Faults::clear`].
    Always,
}

/// The planned faults of a fake Supabase. A request gets at most one fault: the first planned one
/// whose scope covers it.
#[derive(Default)]
pub struct Faults {
    plan: Mutex<VecDeque<Planned>>,
    latency_nanos: AtomicU64,
    fired: AtomicU64,
    reads: Mutex<Option<ReadFault>>,
    releases: Mutex<u64>,
    pub(crate) request_cut: RequestCut,
    pub(crate) released: std::sync::Condvar,
}

struct Planned {
    fault: Fault,
    scope: Scope,
    times: Times,
}

impl Faults {
    /// Plans `fault` for requests that `scope` covers.
    pub fn plan(&self, scope: Scope, times: Times, fault: Fault) {
        if times != Times::Next(0) {
            lock(&self.plan).push_back(Planned { fault, scope, times });
        }
    }

    /// Plans `fault` for the next `times` requests of any kind.
    pub fn next(&self, times: u64, fault: Fault) {
        self.plan(Scope::any(), Times::Next(times), fault);
    }

    /// Delays every answer from now on. Delayed requests do not block each other.
    pub fn latency(&self, delay: Duration) {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.latency_nanos.store(nanos, Ordering::SeqCst);
    }

    /// Makes every read faulty from now on.
    pub fn reads(&self, fault: ReadFault) {
        *lock(&self.reads) = Some(fault);
    }

    pub(crate) fn read_fault(&self) -> Option<ReadFault> {
        *lock(&self.reads)
    }

    /// Resets the connection of the next request after `after_bytes` bytes of it, including the
    /// head. That request is not executed. A shorter request is, and the fault stays planned for
    /// one that is long enough.
    pub fn reset_in_request(&self, after_bytes: u64) {
        self.request_cut.arm(after_bytes);
    }

    /// Releases every request that is stalled at this moment.
    pub fn release(&self) {
        *lock(&self.releases) += 1;
        self.released.notify_all();
    }

    /// Removes every planned fault, the fault of all reads and the latency. Stalled requests stay
    /// stalled.
    pub fn clear(&self) {
        lock(&self.plan).clear();
        *lock(&self.reads) = None;
        self.request_cut.disarm();
        self.latency(Duration::ZERO);
    }

    /// How many requests have had a planned fault.
    pub fn fired(&self) -> u64 {
        self.fired.load(Ordering::SeqCst)
    }

    pub(crate) fn count_fired(&self) {
        self.fired.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn present_latency(&self) -> Duration {
        Duration::from_nanos(self.latency_nanos.load(Ordering::SeqCst))
    }

    pub(crate) fn take(&self, request: &Request) -> Option<Fault> {
        let mut plan = lock(&self.plan);
        let index = plan.iter().position(|planned| planned.scope.covers(request))?;
        let planned = plan.get_mut(index)?;
        let fault = planned.fault.clone();
        let used_up = match &mut planned.times {
            Times::Always => false,
            Times::Next(left) => {
                *left = left.saturating_sub(1);
                *left == 0
            }
        };
        if used_up {
            plan.remove(index);
        }
        self.count_fired();
        Some(fault)
    }

    /// How often `release` was called.
    pub(crate) fn releases(&self) -> std::sync::MutexGuard<'_, u64> {
        lock(&self.releases)
    }
}

/// The position in the next request at which to reset the connection.
pub(crate) struct RequestCut(AtomicU64);

const UNARMED: u64 = u64::MAX;

impl Default for RequestCut {
    fn default() -> Self {
        Self(AtomicU64::new(UNARMED))
    }
}

impl RequestCut {
    fn arm(&self, after_bytes: u64) {
        self.0.store(after_bytes.min(UNARMED - 1), Ordering::SeqCst);
    }

    fn disarm(&self) {
        self.0.store(UNARMED, Ordering::SeqCst);
    }

    /// How many bytes to read at most, so that the read does not go past the position.
    pub(crate) fn room(&self, taken: u64, wanted: usize) -> usize {
        match self.0.load(Ordering::SeqCst) {
            UNARMED => wanted,
            at => wanted.min(usize::try_from(at.saturating_sub(taken).max(1)).unwrap_or(wanted)),
        }
    }

    /// Whether the position is reached. `true` only once.
    pub(crate) fn reached(&self, taken: u64) -> bool {
        let at = self.0.load(Ordering::SeqCst);
        at != UNARMED
            && taken >= at
            && self.0.compare_exchange(at, UNARMED, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}
