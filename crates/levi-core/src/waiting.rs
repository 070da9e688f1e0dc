//! Why rows wait, for the status: lanes counted by their reasons.

use levi_outbox::{LaneKey, Reason, WaitingLane};
use levi_types::{UserId, Wall};
use serde::Serialize;

use crate::batcher::PauseReason;
use crate::sync_error::{OTHER_SECRET, SESSION_GONE};

/// How many lanes are looked at.
pub const LANES_LOOKED_AT: usize = 1_000;

/// The most reasons that are told apart.
const MOST_REASONS: usize = 32;

/// The code of a lane whose session's secret is not known here yet.
pub(crate) const MISSING_SECRET: &str = "missing_secret";

/// What a lane waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WaitsFor {
    /// The end of a backoff, after the failure that is the reason.
    Backoff,
    /// A row that must be on the server first, and waits or is parked itself for the reason.
    Parent,
    /// The daemon, because the session was deleted on another device.
    SessionGone,
    /// The sign-in of the user whose rows they are.
    OtherUser,
    /// The session's secret, which this device does not have, or has another one of.
    Secret,
    /// Session sync, which the daemon has not asked for with a device of this user.
    SessionSync,
    /// The end of a pause of all sending: no sign-in, a wait that the server asked for, a project or a disk that fails.
    Pause,
}

/// A reason, and how many lanes wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Waiting {
    /// What they wait for.
    pub waits_for: WaitsFor,
    /// The reason as a code and a line for people: the last refusal, or that of the parent.
    pub reason: Reason,
    /// The row that must be on the server first.
    pub parent: Option<LaneKey>,
    /// How many lanes wait: queues of one session's messages, or single rows of a repository, session or secret.
    pub lanes: u64,
    /// The most failed attempts of one of them.
    pub attempts: u32,
    /// When the first of them is tried again, if that depends on time alone.
    pub next_attempt: Option<Wall>,
}

/// What else keeps rows from being sent, besides what the outbox knows.
#[derive(Clone, Copy, Debug)]
pub struct Conditions<'a> {
    /// The time now.
    pub now: Wall,
    /// Why nothing is being sent, if so.
    pub paused: Option<&'a PauseReason>,
    /// Whether control rows of the present user can be sent.
    pub session_sync: bool,
    /// The user for whom rows are sent.
    pub user: Option<&'a UserId>,
}

/// Counts lanes by why they wait. Those that are due and about to be sent do not wait.
pub fn count_waiting(lanes: &[WaitingLane], conditions: Conditions<'_>) -> Vec<Waiting> {
    let mut counted: Vec<Waiting> = Vec::new();
    for lane in lanes {
        let Some(waiting) = conditions.of(lane) else { continue };
        let same = |known: &&mut Waiting| {
            (known.waits_for, &known.reason, &known.parent)
                == (waiting.waits_for, &waiting.reason, &waiting.parent)
        };
        match counted.iter_mut().find(same) {
            Some(known) => known.add(&waiting),
            None => counted.push(waiting),
        }
    }
    counted.sort_by_key(|waiting| std::cmp::Reverse(waiting.lanes));
    counted.truncate(MOST_REASONS);
    counted
}

impl Waiting {
    fn add(&mut self, other: &Self) {
        self.lanes += other.lanes;
        self.attempts = self.attempts.max(other.attempts);
        self.next_attempt = match (self.next_attempt, other.next_attempt) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}

impl Conditions<'_> {
    fn of(self, lane: &WaitingLane) -> Option<Waiting> {
        let reason = lane.reason.clone();
        let (waits_for, reason) = if lane.held {
            (WaitsFor::OtherUser, held_for(lane.user_id.as_ref()))
        } else if let Some(parent) = &lane.blocked_by {
            match reason {
                Some(reason) if reason.code == SESSION_GONE => (WaitsFor::SessionGone, reason),
                reason => (WaitsFor::Parent, reason.unwrap_or_else(|| waits_for_parent(parent))),
            }
        } else if let Some(paused) = self.paused {
            (WaitsFor::Pause, paused.to_reason())
        } else if lane.key.kind().is_control() && !self.session_sync {
            (WaitsFor::SessionSync, no_session_sync(self.user))
        } else {
            let reason = reason.filter(|_| lane.due_at.is_some_and(|due_at| due_at > self.now))?;
            let is_secret = [MISSING_SECRET, OTHER_SECRET].contains(&reason.code.as_str());
            (if is_secret { WaitsFor::Secret } else { WaitsFor::Backoff }, reason)
        };
        let by_time = matches!(waits_for, WaitsFor::Backoff | WaitsFor::Secret);
        Some(Waiting {
            waits_for,
            reason,
            parent: lane.blocked_by.clone(),
            lanes: 1,
            attempts: lane.attempts,
            next_attempt: lane.due_at.filter(|_| by_time),
        })
    }
}

pub(crate) fn held_for(user: Option<&UserId>) -> Reason {
    let user = user.map_or("nobody known", UserId::as_str);
    Reason { code: "other_user".into(), detail: format!("it is held until user {user} signs in again") }
}

fn waits_for_parent(parent: &LaneKey) -> Reason {
    Reason { code: "parent".into(), detail: format!("{parent} must be on the server first") }
}

/// Why control rows wait that nobody can send.
pub(crate) fn no_session_sync(user: Option<&UserId>) -> Reason {
    let user = user.map_or("the first user", UserId::as_str);
    let detail = format!("no session sync runs for {user} here; call session_sync with a device of theirs");
    Reason { code: "no_session_sync".into(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(key: LaneKey, code: Option<&str>) -> WaitingLane {
        let reason = code.map(|code| Reason { code: code.into(), detail: String::new() });
        let due_at = Some(Wall::from_millis(if code.is_some() { 9_000 } else { 0 }));
        let user_id = Some("ada".into());
        WaitingLane { key, user_id, held: false, attempts: 1, due_at, blocked_by: None, reason }
    }

    fn messages(number: usize) -> LaneKey {
        LaneKey::Messages(format!("s{number}").as_str().into())
    }

    fn counted(lanes: &[WaitingLane], paused: Option<&PauseReason>) -> Vec<(WaitsFor, String, u64)> {
        let now = Wall::from_millis(1_000);
        let conditions = Conditions { now, paused, session_sync: false, user: None };
        let waiting = count_waiting(lanes, conditions);
        waiting.into_iter().map(|waiting| (waiting.waits_for, waiting.reason.code, waiting.lanes)).collect()
    }

    #[test]
    fn every_lane_that_waits_is_counted_under_what_keeps_it() {
        let blocked = |code| WaitingLane {
            due_at: None,
            blocked_by: Some(LaneKey::Session("s".into())),
            ..lane(messages(1), code)
        };
        let lanes = [
            lane(messages(1), None),
            lane(messages(2), Some("503")),
            lane(messages(3), Some("503")),
            lane(messages(4), Some(MISSING_SECRET)),
            WaitingLane { held: true, ..lane(messages(5), Some("503")) },
            blocked(Some("23505")),
            blocked(Some(SESSION_GONE)),
            blocked(None),
            lane(LaneKey::Repository("r".into()), None),
        ];
        let expected = [
            (WaitsFor::Backoff, "503", 2),
            (WaitsFor::Secret, MISSING_SECRET, 1),
            (WaitsFor::OtherUser, "other_user", 1),
            (WaitsFor::Parent, "23505", 1),
            (WaitsFor::SessionGone, SESSION_GONE, 1),
            (WaitsFor::Parent, "parent", 1),
            (WaitsFor::SessionSync, "no_session_sync", 1),
        ];
        assert_eq!(counted(&lanes, None), expected.map(|(why, code, lanes)| (why, code.to_owned(), lanes)));
        let signed_out = counted(&lanes, Some(&PauseReason::SignedOut));
        assert_eq!(signed_out[0], (WaitsFor::Pause, "signed_out".to_owned(), 5), "nothing goes for anybody");
    }

    #[test]
    fn the_number_of_reasons_is_bounded() {
        let lanes: Vec<_> = (0..99).map(|number| lane(messages(number), Some(&number.to_string()))).collect();
        assert_eq!(counted(&lanes, None).len(), MOST_REASONS);
    }

    #[test]
    fn a_status_is_serialised_whole() {
        let lanes = [lane(messages(1), Some("503"))];
        let conditions = Conditions { now: Wall::default(), paused: None, session_sync: true, user: None };
        let status = crate::Status {
            waiting: count_waiting(&lanes, conditions),
            paused: Some(PauseReason::RetryAfter { code: "429".into() }),
            ..crate::Status::default()
        };
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["paused"], serde_json::json!({"reason": "retry_after", "code": "429"}));
        assert_eq!(json["waiting"][0]["waits_for"], "backoff");
        assert_eq!(json["waiting"][0]["reason"]["code"], "503");
        assert_eq!(json["totals"]["pending_rows"], 0);
    }
}
