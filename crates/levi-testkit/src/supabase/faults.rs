//! What goes wrong, on command.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use levi_transport::Table;

use super::http::{Request, Response};
use super::{lock, rest};

/// One thing that goes wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The request is not carried out; this is the answer.
    Answer(Canned),
    /// The request is carried out, and then this is the answer, as when a proxy gives up on a slow database.
    AnswerAfterWrite(Canned),
    /// The connection is reset before the request is carried out.
    ResetBeforeWrite,
    /// The connection is reset after the request was carried out, without a byte of an answer.
    ResetAfterWrite,
    /// Nothing happens until [`Faults::release`]; then the request is carried out and answered. A client that leaves
    /// first leaves nothing behind.
    StallBeforeWrite,
    /// The request is carried out at once and answered after [`Faults::release`].
    StallAfterWrite,
    /// The true answer, reset after so many bytes of it (head included).
    ResetInAnswer {
        /// Bytes sent before the reset.
        after_bytes: usize,
    },
    /// The true answer, closed in good order after so many bytes of it, short of its Content-Length.
    Truncated {
        /// Bytes sent before the end.
        after_bytes: usize,
    },
    /// The true answer with a Content-Length that is off by so many bytes, then closed.
    WrongContentLength {
        /// Added to the true length.
        off_by: i64,
    },
    /// The request is carried out; these bytes come back instead of HTTP, then the connection is closed.
    Garbage(Vec<u8>),
    /// The true answer, one byte at a time with a pause before each.
    Trickle {
        /// Before each byte.
        pause: Duration,
    },
    /// The request is carried out; status 200 and a body that goes on until the client leaves.
    EndlessBody,
    /// The true answer, so much later than [`Faults::latency`] has it already.
    Delay(Duration),
}

/// An answer made up beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canned(pub(crate) Response);

impl Canned {
    /// An answer with this status and no body.
    pub const fn new(status: u16) -> Self {
        Self(Response::empty(status))
    }

    /// Adds a header.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name.to_owned(), value))
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.body = body.into();
        self
    }

    /// An error as PostgREST sends it.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({ "code": code, "details": null, "hint": null, "message": message });
        Self(Response::json(status, body.to_string().into_bytes()))
    }

    /// The page that an edge proxy shows when the project behind it does not answer.
    pub fn bad_gateway_page() -> Self {
        let page = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\
                    <body><center><h1>502 Bad Gateway</h1></center><hr><center>edge</center></body></html>\n";
        Self::new(502).header("Content-Type", "text/html; charset=UTF-8").body(page)
    }

    /// A redirect.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::new(status).header("Location", location)
    }
}

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

    /// Requests to one table.
    pub const fn table(table: Table) -> Self {
        Self { method: None, path: Path::Table(table) }
    }

    /// Only those with this method, such as `"POST"`.
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
            Path::Table(table) => rest::table_of(path).is_some_and(|def| def.table == table),
        };
        here && self.method.is_none_or(|method| method == request.method)
    }
}

/// How often a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// To the next so many requests that it covers.
    Next(u64),
    /// To all of them, until [`Faults::clear`].
    Always,
}

/// The faults of one fake Supabase. Those put first happen first; one request meets at most one of them.
#[derive(Default)]
pub struct Faults {
    plan: Mutex<VecDeque<Planned>>,
    latency_nanos: AtomicU64,
    fired: AtomicU64,
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
    /// Plans `fault` for the requests that `scope` covers.
    pub fn plan(&self, scope: Scope, times: Times, fault: Fault) {
        if times != Times::Next(0) {
            lock(&self.plan).push_back(Planned { fault, scope, times });
        }
    }

    /// Plans `fault` for the next `times` requests of any kind.
    pub fn next(&self, times: u64, fault: Fault) {
        self.plan(Scope::any(), Times::Next(times), fault);
    }

    /// From now on every answer takes this much longer. Requests wait side by side, holding no lock and no processor.
    pub fn latency(&self, delay: Duration) {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.latency_nanos.store(nanos, Ordering::SeqCst);
    }

    /// Resets the connection of the next request once so many of its bytes (head included) were read. That request is
    /// not carried out, unless it is shorter; then the fault waits for one that is long enough.
    pub fn reset_in_request(&self, after_bytes: u64) {
        self.request_cut.arm(after_bytes);
    }

    /// Lets go of every request that is stalled at this moment.
    pub fn release(&self) {
        *lock(&self.releases) += 1;
        self.released.notify_all();
    }

    /// Forgets every plan and the latency. What is stalled stays so.
    pub fn clear(&self) {
        lock(&self.plan).clear();
        self.request_cut.disarm();
        self.latency(Duration::ZERO);
    }

    /// How many requests met a planned fault so far.
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
        let place = plan.iter().position(|planned| planned.scope.covers(request))?;
        let planned = plan.get_mut(place)?;
        let fault = planned.fault.clone();
        let used_up = match &mut planned.times {
            Times::Always => false,
            Times::Next(left) => {
                *left = left.saturating_sub(1);
                *left == 0
            }
        };
        if used_up {
            plan.remove(place);
        }
        self.count_fired();
        Some(fault)
    }

    /// How often `release` was called.
    pub(crate) fn releases(&self) -> std::sync::MutexGuard<'_, u64> {
        lock(&self.releases)
    }
}

/// Where in the next request to reset the connection.
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

    /// How many bytes to read at most, so as not to read past the place.
    pub(crate) fn room(&self, taken: u64, wanted: usize) -> usize {
        match self.0.load(Ordering::SeqCst) {
            UNARMED => wanted,
            at => wanted.min(usize::try_from(at.saturating_sub(taken).max(1)).unwrap_or(wanted)),
        }
    }

    /// Whether the place is reached; says so once.
    pub(crate) fn reached(&self, taken: u64) -> bool {
        let at = self.0.load(Ordering::SeqCst);
        at != UNARMED
            && taken >= at
            && self.0.compare_exchange(at, UNARMED, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}
