use super::*;

const USER: &str = "5f0c1b9e-0000-4000-8000-000000000001";
const HOUR: Duration = Duration::from_secs(3600);

fn at(seconds: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_secs(seconds))
}

fn session(token: &str) -> Session {
    Session { user: USER.into(), token: token.into(), expires_in: Some(HOUR) }
}

fn system(status: &str) -> String {
    format!(
        r#"{{"topic":"realtime:levi","event":"system","payload":{{"extension":"postgres_changes","status":"{status}"}}}}"#
    )
}

fn reply(topic: &str, reference: u64, status: &str) -> String {
    format!(
        r#"{{"topic":"{topic}","event":"phx_reply","payload":{{"status":"{status}"}},"ref":"{reference}"}}"#
    )
}

const CHANGED: &str = r#"{"topic":"realtime:levi","event":"postgres_changes","payload":{"data":{}}}"#;
const CLOSED: &str = r#"{"topic":"realtime:levi","event":"phx_close","payload":{}}"#;

fn actions(machine: &mut Machine) -> Vec<Action> {
    std::iter::from_fn(|| machine.poll_action()).collect()
}

/// The event and the token of each message that is sent.
fn sent(actions: &[Action]) -> Vec<(String, Option<String>)> {
    let message = |action: &Action| {
        let Action::Send(text) = action else { return None };
        let json: serde_json::Value = serde_json::from_str(text.expose()).unwrap();
        let token = json["payload"]["access_token"].as_str().map(str::to_owned);
        Some((json["event"].as_str().unwrap().to_owned(), token))
    };
    actions.iter().filter_map(message).collect()
}

/// Connected, joined and confirmed at `now`.
fn subscribed(now: Monotonic) -> Machine {
    let mut machine = joining(now);
    machine.handle(now, Input::Received(&reply("realtime:levi", 1, "ok")));
    machine.handle(now, Input::Received(&system("ok")));
    assert_eq!(actions(&mut machine), [Action::Wake], "what came before was not pushed");
    assert_eq!(*machine.notifications(), Notifications::Connected);
    machine
}

fn joining(now: Monotonic) -> Machine {
    let mut machine = Machine::new(7);
    assert_eq!(actions(&mut machine), [Action::AskSession]);
    machine.handle(now, Input::Session(Ok(session("one"))));
    assert_eq!(actions(&mut machine), [Action::Connect]);
    machine.handle(now, Input::Connected);
    assert_eq!(sent(&actions(&mut machine)), [("phx_join".to_owned(), Some("one".to_owned()))]);
    machine
}

/// Lets time pass up to the next deadline.
fn wait(machine: &mut Machine) -> Monotonic {
    let until = machine.poll_timeout().unwrap();
    machine.handle_timeout(until);
    until
}

/// What a server does.
type Act = Box<dyn Fn(&mut Machine)>;

#[test]
fn every_way_in_which_it_does_not_work_is_polling_and_its_reason_and_another_attempt() {
    use PollingReason::*;
    type Broken = fn(&mut Machine);
    let received = |text: String| move |machine: &mut Machine| machine.handle(at(0), Input::Received(&text));
    let ended = |reason| move |machine: &mut Machine| machine.handle(at(0), Input::Ended(reason));
    let silent: Broken = |machine| {
        wait(machine);
    };
    let unconfirmed: Broken = |machine| {
        machine.handle(at(0), Input::Received(&reply("realtime:levi", 1, "ok")));
        wait(machine);
    };
    let unsubscribed: Broken = |machine| {
        machine.handle(at(0), Input::Received(&reply("realtime:levi", 1, "ok")));
        machine.handle(at(0), Input::Received(&system("error")));
    };
    let table: Vec<(Act, PollingReason)> = vec![
        (Box::new(silent), Silent),
        (Box::new(unconfirmed), NotSubscribed),
        (Box::new(unsubscribed), NotSubscribed),
        (Box::new(received(reply("realtime:levi", 1, "error"))), Refused),
        (Box::new(received(CLOSED.to_owned())), Refused),
        (Box::new(move |machine| ended(Dropped)(machine)), Dropped),
        (Box::new(move |machine| ended(BadData)(machine)), BadData),
    ];
    for (breaks, reason) in table {
        let mut machine = joining(at(0));
        breaks(&mut machine);
        assert_eq!(*machine.notifications(), Notifications::Polling(reason.clone()));
        assert_eq!(actions(&mut machine), [Action::Disconnect, Action::Wake], "{reason:?}");
        wait(&mut machine);
        assert_eq!(actions(&mut machine), [Action::AskSession], "{reason:?}: it tries again");
    }
}

#[test]
fn a_server_without_realtime_is_tried_ever_more_seldom_and_for_ever() {
    let mut machine = Machine::new(7);
    let mut now = at(0);
    let mut waits = Vec::new();
    for _ in 0..12 {
        actions(&mut machine);
        machine.handle(now, Input::Session(Ok(session("one"))));
        assert_eq!(actions(&mut machine), [Action::Connect]);
        let reason = PollingReason::NotOffered { status: 404 };
        machine.handle(now, Input::NotConnected(NotConnected { reason, retry_after: None }));
        let until = wait(&mut machine);
        waits.push(until.since(now));
        now = until;
    }
    for (wait, least) in waits.iter().zip([1, 2, 4, 8, 16, 32, 64, 128, 300, 300, 300, 300]) {
        let least = Duration::from_secs(least);
        assert!(*wait >= least && *wait <= least.mul_f64(1.5), "{waits:?}");
    }
}

#[test]
fn what_a_server_asks_for_is_kept_and_the_network_cuts_every_other_wait_short() {
    let mut machine = joining(at(0));
    machine.handle(at(0), Input::Ended(PollingReason::Dropped));
    machine.handle(at(0), Input::NetworkChanged);
    assert_eq!(machine.poll_timeout(), Some(at(0)));
    wait(&mut machine);
    actions(&mut machine);
    machine.handle(at(0), Input::Session(Ok(session("one"))));
    let (reason, retry_after) = (PollingReason::NotOffered { status: 429 }, Some(Duration::from_secs(90)));
    machine.handle(at(0), Input::NotConnected(NotConnected { reason, retry_after }));
    machine.handle(at(1), Input::NetworkChanged);
    assert_eq!(machine.poll_timeout(), Some(at(90)));
}

#[test]
fn a_dead_connection_is_known_within_half_a_minute() {
    let mut machine = subscribed(at(0));
    assert_eq!(wait(&mut machine), at(25));
    let due = actions(&mut machine);
    assert_eq!(sent(&due), [("heartbeat".to_owned(), None)]);
    machine.handle(at(26), Input::Received(&reply("phoenix", 1, "ok")));
    machine.handle(at(26), Input::Received(&reply("phoenix", 2, "ok")));
    assert_eq!(machine.poll_timeout(), Some(at(51)), "the answer to the heartbeat counts, and no other");
    wait(&mut machine);
    actions(&mut machine);
    // Whatever else it says.
    machine.handle(at(53), Input::Received(CHANGED));
    assert_eq!(wait(&mut machine), at(56));
    assert_eq!(*machine.notifications(), Notifications::Polling(PollingReason::Silent));
}

#[test]
fn a_newer_token_is_sent_on_the_connection() {
    let mut machine = subscribed(at(0));
    wait(&mut machine);
    assert!(actions(&mut machine).contains(&Action::AskSession), "somebody else may have renewed it");
    machine.handle(at(25), Input::Session(Ok(session("one"))));
    assert!(actions(&mut machine).is_empty());
    machine.handle(at(25), Input::Session(Ok(session("two"))));
    assert_eq!(sent(&actions(&mut machine)), [("access_token".to_owned(), Some("two".to_owned()))]);
    assert_eq!(*machine.notifications(), Notifications::Connected);
}

#[test]
fn a_token_is_renewed_before_it_expires_and_once() {
    let mut machine = subscribed(at(0));
    let mut renewals = 0;
    for _ in 0..1000 {
        let now = wait(&mut machine);
        for action in actions(&mut machine) {
            match action {
                Action::Renew(token) => {
                    assert_eq!((token, now), ("one".into(), at(3540)));
                    renewals += 1;
                    machine.handle(now, Input::Session(Err(NoSession::Unavailable)));
                }
                Action::Send(text) => {
                    let json: serde_json::Value = serde_json::from_str(text.expose()).unwrap();
                    let reference = json["ref"].as_str().unwrap().parse().unwrap();
                    machine.handle(now, Input::Received(&reply("phoenix", reference, "ok")));
                }
                _ => {}
            }
        }
    }
    assert_eq!(renewals, 1);
}

#[test]
fn a_token_that_has_expired_is_renewed_first_and_the_clock_is_not_trusted_with_more() {
    let expired = || Session { expires_in: Some(Duration::ZERO), ..session("old") };
    let mut machine = Machine::new(7);
    actions(&mut machine);
    machine.handle(at(0), Input::Session(Ok(expired())));
    assert_eq!(actions(&mut machine), [Action::Renew("old".into())]);
    // By this device's clock the new one has expired, too.
    machine.handle(at(0), Input::Session(Ok(Session { token: "new".into(), ..expired() })));
    assert_eq!(actions(&mut machine), [Action::Connect]);
    machine.handle(at(0), Input::Connected);
    assert_eq!(sent(&actions(&mut machine)), [("phx_join".to_owned(), Some("new".to_owned()))]);

    let mut machine = Machine::new(7);
    machine.handle(at(0), Input::Session(Ok(expired())));
    machine.handle(at(0), Input::Session(Err(NoSession::Unavailable)));
    assert_eq!(actions(&mut machine).last(), Some(&Action::Connect), "the server decides");
}

#[test]
fn without_a_user_or_with_another_one_there_is_no_connection() {
    let nobody = Notifications::Polling(PollingReason::NotSignedIn);
    let other = Session { user: "5f0c1b9e-0000-4000-8000-000000000002".into(), ..session("two") };
    for session in [Err(NoSession::SignedOut), Ok(other)] {
        let mut machine = subscribed(at(0));
        machine.handle(at(1), Input::Session(session));
        assert_eq!(actions(&mut machine), [Action::Disconnect, Action::Wake]);
        assert_eq!(*machine.notifications(), nobody);
        assert!(machine.poll_timeout().unwrap() <= at(31));
    }
    let mut machine = subscribed(at(0));
    machine.handle(at(1), Input::Session(Err(NoSession::Unavailable)));
    assert_eq!(*machine.notifications(), Notifications::Connected, "a keychain that is locked ends nothing");
    // An id that would change the filter is no user's.
    let mut machine = Machine::new(7);
    actions(&mut machine);
    machine.handle(at(0), Input::Session(Ok(Session { user: "x,or=(1)".into(), ..session("one") })));
    assert_eq!(*machine.notifications(), nobody);
}

#[test]
fn a_server_that_accepts_and_drops_is_tried_ever_more_seldom() {
    let mut machine = Machine::new(7);
    let (mut now, mut waits) = (at(0), Vec::new());
    for held in [1, 1, 1, 1, 61, 1] {
        machine.handle(now, Input::Session(Ok(session("one"))));
        actions(&mut machine);
        machine.handle(now, Input::Connected);
        let join = machine.last_reference;
        machine.handle(now, Input::Received(&reply("realtime:levi", join, "ok")));
        machine.handle(now, Input::Received(CHANGED));
        now = now.after(Duration::from_secs(held));
        machine.handle(now, Input::Received(CLOSED));
        let until = wait(&mut machine);
        waits.push(until.since(now).as_secs_f64());
        now = until;
    }
    let least = [1.0, 2.0, 4.0, 8.0, 1.0, 2.0];
    assert!(waits.iter().zip(least).all(|(wait, least)| *wait >= least && *wait < 1.5 * least), "{waits:?}");
}

/// Whatever the server says, each step ends, and nothing grows.
#[test]
fn a_server_that_talks_nonsense_changes_nothing() {
    let mut machine = subscribed(at(0));
    let texts =
        ["", "{}", "null", r#"{"topic":"realtime:levi","event":"phx_reply","payload":{},"ref":"99"}"#];
    for _ in 0..10_000 {
        for text in texts {
            machine.handle(at(1), Input::Received(text));
        }
        machine.handle(at(1), Input::Connected);
        machine.handle(at(1), Input::NetworkChanged);
    }
    assert!(actions(&mut machine).is_empty());
    assert_eq!(machine.poll_timeout(), Some(at(25)));
}
