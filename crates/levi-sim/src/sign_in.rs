//! The project's sign-in server, and the part of its answers that the device stores.

use std::time::Duration;

use levi_transport::{ApiError, ResponseHead, SignInError, SignInPace, Verdict, classify_sign_in};

use crate::plan::{RefreshEnd, SignInFault};

/// The sign-in server, and the device's state about it that survives a process.
pub(crate) struct SignInServer {
    /// How a refresh ends while nothing is wrong.
    pub(crate) end: RefreshEnd,
    faults: Vec<(SignInFault, Duration)>,
    /// The wait that the device has stored beside its sign-in.
    pub(crate) stored_wait: Option<String>,
    /// The end of the wait that the server asked for last.
    pub(crate) silence: Option<Silence>,
    /// The server ended the sign-in, and nobody has signed in since.
    pub(crate) has_ended: bool,
}

/// A wait that the server asked for. It is over when either clock says so.
#[derive(Clone, Copy)]
pub(crate) struct Silence {
    pub(crate) monotonic: Duration,
    pub(crate) wall: i64,
}

/// The device's side of the sign-in server, in one process.
pub(crate) struct Process {
    pub(crate) pace: SignInPace,
}

/// An answer to a refresh.
pub(crate) enum Answer {
    Granted,
    Error(SignInError),
}

impl SignInServer {
    pub(crate) fn new() -> Self {
        Self {
            end: RefreshEnd::default(),
            faults: Vec::new(),
            stored_wait: None,
            silence: None,
            has_ended: false,
        }
    }

    pub(crate) fn stumble(&mut self, fault: SignInFault, until: Duration) {
        self.faults.push((fault, until));
    }

    pub(crate) fn heal(&mut self) {
        self.faults.clear();
        self.end = RefreshEnd::Fresh;
    }

    /// Serves a refresh.
    pub(crate) fn refresh(&mut self, now: Duration) -> Answer {
        let fault = self.faults.iter().rev().find(|(_, until)| *until > now).map(|(fault, _)| *fault);
        match (fault, self.end) {
            (Some(fault), _) => Answer::Error(fault.error()),
            (None, RefreshEnd::Fresh) => Answer::Granted,
            (None, RefreshEnd::Unavailable) => Answer::Error(SignInFault::Outage.error()),
            (None, RefreshEnd::Refused) => {
                self.has_ended = true;
                Answer::Error(answer(400, None, r#"{"code":400,"error_code":"session_not_found"}"#))
            }
        }
    }
}

impl SignInFault {
    /// What Levi makes of the answer.
    fn error(self) -> SignInError {
        match self {
            Self::Outage => SignInError::Unavailable(ApiError::new(Verdict::Unreachable, "connect", "")),
            Self::Hook => answer(422, None, r#"{"code":422,"error_code":"hook_timeout","msg":"m"}"#),
            Self::ServerError => answer(400, None, r#"{"error":"server_error"}"#),
            Self::Gateway => answer(401, None, r#"{"message":"Invalid API key"}"#),
            Self::Page => answer(403, None, "<html></html>"),
            Self::TooMany(seconds) => {
                answer(429, Some(seconds), r#"{"code":429,"error_code":"over_request_rate_limit"}"#)
            }
        }
    }
}

fn answer(status: u16, retry_after: Option<u64>, body: &str) -> SignInError {
    let retry_after = retry_after.map(|seconds| seconds.to_string());
    let head = ResponseHead { retry_after: retry_after.as_deref(), ..ResponseHead::default() };
    classify_sign_in(status, head, body.as_bytes())
}
