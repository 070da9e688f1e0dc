//! Each fault: what the client observes, and what is in the tables afterwards.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod raw;

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use levi_testkit::supabase::{Canned, FakeSupabase, Fault, Scope, Times};
use levi_transport::Table;
use raw::{MERGE, MESSAGES, Raw, SESSION, User, messages};

const PATIENCE: Duration = Duration::from_secs(30);

/// A fake Supabase with one user's session in it.
fn prepared() -> (FakeSupabase, String) {
    let server = FakeSupabase::start().unwrap();
    let user = User::sign_in(&server, "ada@example.org");
    user.set_up(1);
    let token = user.token;
    (server, token)
}

fn user<'s>(server: &'s FakeSupabase, token: &str) -> User<'s> {
    User { server, id: server.add_user("ada@example.org", "x").unwrap(), token: token.to_owned() }
}

fn stored(server: &FakeSupabase) -> u64 {
    server.row_count(Table::Messages).unwrap()
}

#[test]
fn planned_answers_come_the_planned_number_of_times_and_only_where_they_should() {
    let (server, token) = prepared();
    let user = user(&server, &token);
    let scope = Scope::table(Table::Messages).method("POST");
    server.faults().plan(scope, Times::Next(2), Fault::Answer(Canned::new(503).header("Retry-After", "7")));
    server.faults().plan(Scope::auth(), Times::Always, Fault::Answer(Canned::bad_gateway_page()));
    assert_eq!(user.get("/rest/v1/agent_coding_session_messages").status, 200, "another method");
    for _ in 0..2 {
        let answer = user.post(MESSAGES, &messages(SESSION, [1]));
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("7")));
    }
    assert_eq!(stored(&server), 0, "a planned answer carries nothing out");
    assert_eq!(user.post(MESSAGES, &messages(SESSION, [1])).status, 201);
    for _ in 0..3 {
        let page = user.get("/auth/v1/user");
        assert_eq!(page.status, 502);
        assert!(page.body.starts_with(b"<!DOCTYPE html>"));
    }
    server.faults().clear();
    assert_eq!(user.get("/auth/v1/user").status, 200);
    assert_eq!(server.faults().fired(), 5);
}

#[test]
fn a_proxy_page_may_hide_a_write_that_happened() {
    let (server, token) = prepared();
    server.faults().next(1, Fault::AnswerAfterWrite(Canned::bad_gateway_page()));
    assert_eq!(user(&server, &token).post(MESSAGES, &messages(SESSION, [1])).status, 502);
    assert_eq!(stored(&server), 1);
}

#[test]
fn a_reset_comes_before_or_after_the_write() {
    let (server, token) = prepared();
    let user = user(&server, &token);
    let bytes = user.bytes("POST", MESSAGES, &[MERGE], &messages(SESSION, [1]));
    for (fault, rows) in [(Fault::ResetBeforeWrite, 0), (Fault::ResetAfterWrite, 1)] {
        server.faults().next(1, fault.clone());
        let mut connection = Raw::connect(&server).unwrap();
        connection.send(&bytes).unwrap();
        let (seen, end) = connection.rest();
        assert_eq!((seen.len(), end.unwrap_err().kind()), (0, ErrorKind::ConnectionReset), "{fault:?}");
        assert_eq!(stored(&server), rows, "{fault:?}");
    }
}

#[test]
fn a_reset_can_come_at_any_byte_of_a_request() {
    let (server, token) = prepared();
    let user = user(&server, &token);
    let bytes = user.bytes("POST", MESSAGES, &[MERGE], &messages(SESSION, [1]));
    let places = (0..=bytes.len()).step_by(97).chain([1, bytes.len() - 1, bytes.len()]);
    for place in places {
        server.faults().reset_in_request(place as u64);
        let mut connection = Raw::connect(&server).unwrap();
        // The reset may arrive before the last byte is sent.
        let _ = connection.send(&bytes);
        let (seen, end) = connection.rest();
        assert!(end.is_err() && seen.is_empty(), "at byte {place}: {seen:?}");
        assert_eq!(stored(&server), 0, "at byte {place}");
    }
    assert_eq!(user.post(MESSAGES, &messages(SESSION, [1])).status, 201, "and each reset happens once");
}

#[test]
fn answers_can_be_cut_anywhere_by_a_reset_or_an_early_end() {
    let (server, token) = prepared();
    let user = user(&server, &token);
    user.post(MESSAGES, &messages(SESSION, 0..3));
    let bytes = user.bytes("GET", "/rest/v1/agent_coding_session_messages?select=sequence_number", &[], "");
    let whole = {
        let mut connection = Raw::connect(&server).unwrap();
        let mut closing = bytes.clone();
        closing.splice(closing.len() - 2.., *b"Connection: close\r\n\r\n");
        connection.send(&closing).unwrap();
        connection.rest().0
    };
    for after_bytes in (0..whole.len()).step_by(13) {
        for fault in [Fault::ResetInAnswer { after_bytes }, Fault::Truncated { after_bytes }] {
            server.faults().next(1, fault.clone());
            let mut connection = Raw::connect(&server).unwrap();
            connection.send(&bytes).unwrap();
            let (seen, end) = connection.rest();
            assert_eq!(end.is_err(), matches!(fault, Fault::ResetInAnswer { .. }), "{fault:?}: {end:?}");
            assert!(whole.starts_with(&seen), "{fault:?}");
            if end.is_ok() {
                assert_eq!(seen.len(), after_bytes, "{fault:?}");
            }
        }
    }
}

#[test]
fn lengths_lie_and_bytes_are_no_http() {
    let (server, token) = prepared();
    let bytes = user(&server, &token).bytes("GET", "/rest/v1/devices?select=name", &[], "");
    let raw = |fault: Fault| {
        server.faults().next(1, fault);
        let mut connection = Raw::connect(&server).unwrap();
        connection.send(&bytes).unwrap();
        connection.rest().0
    };
    let body = r#"[{"name":"d"}]"#;
    for (off_by, length) in [(5, body.len() + 5), (-3, body.len() - 3), (-100, 0)] {
        let text = String::from_utf8(raw(Fault::WrongContentLength { off_by })).unwrap();
        assert!(text.contains(&format!("Content-Length: {length}\r\n")) && text.ends_with(body), "{text}");
    }
    assert_eq!(raw(Fault::Garbage(b"\x00\xffnonsense".to_vec())), b"\x00\xffnonsense");
}

#[test]
fn a_trickled_answer_is_the_true_one() {
    let (server, token) = prepared();
    let user = user(&server, &token);
    server.faults().next(1, Fault::Trickle { pause: Duration::from_micros(50) });
    assert_eq!(user.get("/rest/v1/devices?select=name").body, br#"[{"name":"d"}]"#);
}

#[test]
fn an_endless_body_goes_on_until_the_client_leaves() {
    let (server, token) = prepared();
    let bytes = user(&server, &token).bytes("GET", "/rest/v1/devices", &[], "");
    server.faults().next(1, Fault::EndlessBody);
    let mut connection = Raw::connect(&server).unwrap();
    connection.send(&bytes).unwrap();
    assert!(connection.take(2_000_000).unwrap().starts_with(b"HTTP/1.1 200 OK\r\n"));
    let finished = server.stats().finished;
    drop(connection);
    server.wait_for(PATIENCE, |stats| stats.finished > finished).unwrap();
}

#[test]
fn a_stall_lasts_until_it_is_released_before_or_after_the_write() {
    let (server, token) = prepared();
    let user = user(&server, &token);
    for (number, fault, rows_meanwhile) in [(1, Fault::StallBeforeWrite, 0), (2, Fault::StallAfterWrite, 2)] {
        server.faults().next(1, fault.clone());
        let mut connection = Raw::connect(&server).unwrap();
        let requests = server.stats().requests;
        let bytes = user.bytes("POST", MESSAGES, &[MERGE], &messages(SESSION, [number]));
        connection.send(&bytes).unwrap();
        server
            .wait_for(PATIENCE, |stats| match fault {
                Fault::StallBeforeWrite => stats.requests > requests,
                _ => stats.table(Table::Messages).rows_inserted == 2,
            })
            .unwrap();
        assert_eq!(stored(&server), rows_meanwhile, "{fault:?}");
        // A release between the arrival and the stall has no effect, so the test repeats it.
        std::thread::scope(|scope| {
            let answer = scope.spawn(move || connection.read().unwrap());
            while !answer.is_finished() {
                server.faults().release();
                std::thread::yield_now();
            }
            assert_eq!(answer.join().unwrap().status, 201, "{fault:?}");
        });
        assert_eq!(stored(&server), number as u64);
    }
}

#[test]
fn a_client_that_gives_up_on_a_stalled_request_leaves_nothing_behind() {
    let (server, token) = prepared();
    let bytes = user(&server, &token).bytes("POST", MESSAGES, &[MERGE], &messages(SESSION, [1]));
    server.faults().next(1, Fault::StallBeforeWrite);
    let mut connection = Raw::connect(&server).unwrap();
    connection.send(&bytes).unwrap();
    let requests =
        server.wait_for(PATIENCE, |stats| stats.table(Table::Messages).posts == 1).unwrap().requests;
    drop(connection);
    server.wait_for(PATIENCE, |stats| stats.finished == requests).unwrap();
    assert_eq!(stored(&server), 0);
}

#[test]
fn latency_is_waited_out_side_by_side() {
    let (server, token) = prepared();
    let user = user(&server, &token);
    server.faults().latency(Duration::from_secs(3600));
    let bytes: Vec<_> =
        (0..20).map(|n| user.bytes("POST", MESSAGES, &[MERGE], &messages(SESSION, [n]))).collect();
    let mut connections: Vec<_> = bytes.iter().map(|_| Raw::connect(&server).unwrap()).collect();
    for (connection, bytes) in connections.iter_mut().zip(&bytes) {
        connection.send(bytes).unwrap();
    }
    // If one of them waited while it held the tables, the next could not write.
    server.wait_for(PATIENCE, |stats| stats.table(Table::Messages).rows_inserted == 20).unwrap();
    assert_eq!(stored(&server), 20);
    server.reset_connections();
    for mut connection in connections {
        assert!(connection.rest().1.is_err(), "nobody had an answer yet");
    }
}

#[test]
fn down_means_refused_and_up_again_on_the_same_port_with_everything_in_place() {
    let (server, token) = prepared();
    let user = user(&server, &token);
    let url = server.url();
    let mut idle = Raw::connect(&server).unwrap();
    let bytes = user.bytes("GET", "/rest/v1/devices?select=name", &[], "");
    assert_eq!(idle.exchange(&bytes).unwrap().status, 200);
    for _ in 0..3 {
        server.go_down();
        let refused = TcpStream::connect(url.trim_start_matches("http://")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        server.come_up().unwrap();
        assert_eq!(server.url(), url);
        assert_eq!(user.get("/rest/v1/devices?select=name").body, br#"[{"name":"d"}]"#);
    }
    let end = idle.rest().1.unwrap_err();
    assert_eq!(end.kind(), ErrorKind::ConnectionReset, "what was open when it went down");
}

#[test]
fn dropping_it_ends_every_connection_whatever_it_is_doing() {
    let (server, token) = prepared();
    let user = user(&server, &token);
    let bytes = user.bytes("GET", "/rest/v1/devices", &[], "");
    let requests = server.stats().requests;
    let mut connections = Vec::new();
    for fault in [Fault::StallAfterWrite, Fault::Delay(Duration::from_secs(3600)), Fault::EndlessBody] {
        server.faults().next(1, fault);
        let mut connection = Raw::connect(&server).unwrap();
        connection.send(&bytes).unwrap();
        connections.push(connection);
        let so_far = requests + connections.len() as u64;
        server.wait_for(PATIENCE, |stats| stats.requests == so_far).unwrap();
    }
    connections.push(Raw::connect(&server).unwrap());
    drop(server);
    for mut connection in connections {
        assert!(connection.rest().1.is_err());
    }
}

#[test]
fn texts_are_noticed_even_in_a_request_that_never_became_whole() {
    let (server, token) = prepared();
    let user = user(&server, &token);
    let secrets = ["the plan is to meet at dawn", "nobody says this anywhere", "sess_and_this_in_a_header"];
    let scanner = server.scan_for(secrets);
    user.send("GET", "/rest/v1/devices", &[("X-Leak", secrets[2])], "");
    let leak = messages(SESSION, [1]).replace("YWJj1", secrets[0]);
    let bytes = user.bytes("POST", MESSAGES, &[MERGE], &leak);
    server.faults().reset_in_request(bytes.len() as u64 - 1);
    let mut connection = Raw::connect(&server).unwrap();
    let _ = connection.send(&bytes);
    let _ = connection.rest();
    server.wait_for(PATIENCE, |stats| stats.unfinished == 1).unwrap();
    let found: Vec<_> = scanner.leaks().iter().map(|leak| leak.text).collect();
    assert_eq!(found, [0, 2]);
}

#[test]
fn the_log_keeps_what_it_is_told_to() {
    let server = FakeSupabase::builder().keep_requests(2).keep_bodies().start().unwrap();
    let user = User::sign_in(&server, "ada@example.org");
    user.set_up(1);
    let body = messages(SESSION, [1]);
    user.post(MESSAGES, &body);
    let log = server.requests();
    assert_eq!(log.iter().map(|r| r.number).collect::<Vec<_>>(), [3, 4]);
    let last = log.last().unwrap();
    assert_eq!((last.method.as_str(), last.table, last.status), ("POST", Some(Table::Messages), Some(201)));
    assert_eq!((last.body.as_deref(), last.header("prefer")), (Some(body.as_bytes()), Some(MERGE.1)));
}
