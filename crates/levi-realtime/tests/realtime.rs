//! Realtime against the fake server: what is written arrives at a follower, and whatever does not
//! work is polling.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod project;

use std::sync::Arc;
use std::time::Duration;

use levi_core::{Notifications, Notifier as _, PollingReason};
use levi_testkit::supabase::{Canned, Fault, RealtimeFault, Scope, Times};
use levi_transport::{HttpConfigError, HttpOptions, ProxyUse};
use project::{PATIENCE, Project};

#[tokio::test(flavor = "multi_thread")]
async fn a_write_wakes_the_follower_and_another_users_does_not() {
    let project = Project::start();
    let realtime = project.realtime();
    project.until(&realtime, Notifications::Connected).await;
    project.write("ada", 1);
    realtime.changed().await;
    let events = || project.server.stats().realtime.events;
    assert_eq!(events(), 1);
    project.write("ben", 1);
    project.write("ada", 2);
    realtime.changed().await;
    assert_eq!(events(), 2, "row level security, and the filter");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_does_not_work_is_polling_with_its_reason() {
    use PollingReason::*;
    let project = Project::start();
    let canned = |status| Some(Fault::Answer(Canned::new(status)));
    let table = [
        (canned(404), None, NotOffered { status: 404 }),
        (canned(503), None, NotOffered { status: 503 }),
        // A proxy that answers for the server.
        (Some(Fault::Answer(Canned::bad_gateway_page())), None, NotOffered { status: 502 }),
        (Some(Fault::Answer(Canned::redirect(302, "https://example.org"))), None, NotOffered { status: 302 }),
        (Some(Fault::Answer(Canned::new(101).header("Upgrade", "websocket"))), None, BadData),
        (Some(Fault::ResetBeforeWrite), None, Unreachable { code: "reset".to_owned() }),
        (Some(Fault::Garbage(vec![b'x'; 100_000])), None, Unreachable { code: "bad_response".to_owned() }),
        (None, Some(RealtimeFault::RefusesJoins), Refused),
        (None, Some(RealtimeFault::NotInPublication), NotSubscribed),
        (None, Some(RealtimeFault::DropsAfterJoin), Dropped),
    ];
    for (fault, realtime_fault, reason) in table {
        project.server.faults().clear();
        if let Some(fault) = fault {
            project.server.faults().plan(Scope::realtime(), Times::Always, fault);
        }
        project.server.realtime_fault(realtime_fault);
        project.until(&project.realtime(), Notifications::Polling(reason)).await;
    }
    project.server.go_down();
    let reason = Unreachable { code: "connect".to_owned() };
    project.until(&project.realtime(), Notifications::Polling(reason)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_socket_is_joined_again() {
    let project = Project::start();
    let realtime = project.realtime();
    project.until(&realtime, Notifications::Connected).await;
    project.server.drop_realtime();
    project.until(&realtime, Notifications::Polling(PollingReason::Dropped)).await;
    project.until(&realtime, Notifications::Connected).await;
    project.write("ada", 1);
    realtime.changed().await;
    assert_eq!(project.server.stats().realtime.joins, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_on_the_socket_before_it_expires() {
    let project = Project::with_token_lifetime(Duration::from_secs(3));
    let realtime = project.realtime();
    project.until(&realtime, Notifications::Connected).await;
    let renewed = project.server.wait_for(PATIENCE, |stats| stats.realtime.tokens > 0).unwrap();
    assert_eq!(renewed.realtime.joins, 1, "on the same channel");
    assert_eq!(realtime.state(), Notifications::Connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_server_ends_is_replaced_once_there_is_another() {
    let project = Project::start();
    let realtime = project.realtime();
    project.until(&realtime, Notifications::Connected).await;
    project.server.expire_tokens(&project.ada);
    project.until(&realtime, Notifications::Polling(PollingReason::Dropped)).await;
    // As a follower's poll does, which is refused.
    project.refresh().await;
    project.until(&realtime, Notifications::Connected).await;
}

/// Realtime cuts a row off at 1 MiB, and its envelope and columns come on top.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_almost_two_mebibytes_wakes_and_a_longer_one_is_bad_data() {
    let project = Project::start();
    let realtime = project.realtime();
    project.until(&realtime, Notifications::Connected).await;
    // What was said of the connection.
    let _ = tokio::time::timeout(Duration::ZERO, realtime.changed()).await;
    // In base64 2,000,000 bytes.
    project.write_bytes("ada", 1, 1_500_000);
    realtime.changed().await;
    assert_eq!(realtime.state(), Notifications::Connected);
    // In base64 2,133,336 bytes.
    project.write_bytes("ada", 2, 1_600_000);
    project.until(&realtime, Notifications::Polling(PollingReason::BadData)).await;
    project.until(&realtime, Notifications::Connected).await;
}

/// Nobody renews the token then, and a follower that believed in pushes would poll once a minute.
#[test]
fn where_its_runtime_has_ended_nothing_is_pushed() {
    let project = Project::with_token_lifetime(Duration::from_secs(3));
    let realtime = project.realtime();
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime().block_on(project.until(&realtime, Notifications::Connected));
    let ended = Notifications::Polling(PollingReason::Dropped);
    runtime().block_on(project.until(&realtime, ended));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_back_cuts_the_wait_short() {
    let project = Project::start();
    project.server.go_down();
    let realtime = project.realtime();
    let down = Notifications::Polling(PollingReason::Unreachable { code: "connect".to_owned() });
    project.until(&realtime, down).await;
    project.server.come_up().unwrap();
    realtime.network_changed();
    project.until(&realtime, Notifications::Connected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_it_ends_the_connection() {
    let project = Project::start();
    let realtime = project.realtime();
    project.until(&realtime, Notifications::Connected).await;
    let before = project.server.stats().finished;
    drop(realtime);
    // The request that became the socket.
    project.server.wait_for(PATIENCE, |stats| stats.finished > before).unwrap();
}

#[test]
fn without_a_runtime_it_says_so() {
    let project = Project::start();
    let realtime = project.realtime();
    let mut waiting = std::pin::pin!(realtime.changed());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let _ = waiting.as_mut().poll(&mut context);
    assert_eq!(realtime.state(), Notifications::Polling(PollingReason::NoRuntime));
}

#[test]
fn settings_that_cannot_be_used_are_refused_by_name() {
    let project = Project::start();
    let mut options = HttpOptions::new(project.server.url(), "sb_secret_x");
    let new = |options: &HttpOptions| levi_realtime::Realtime::new(options, project.auth());
    assert_eq!(new(&options).unwrap_err(), HttpConfigError::SecretKey);
    options.publishable_key = project.server.publishable_key().to_owned();
    options.more_roots = Some(b"no certificate".to_vec());
    assert_eq!(new(&options).unwrap_err(), HttpConfigError::BadRoots);
    options.more_roots = None;
    options.headers = vec![("Upgrade".to_owned(), "h2c".to_owned())];
    assert_eq!(new(&options).unwrap_err(), HttpConfigError::ReservedHeader { name: "upgrade" });
    options.headers = vec![("X-Gateway".to_owned(), "open sesame".to_owned())];
    options.proxy = ProxyUse::Direct;
    assert!(new(&options).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upgrade_has_the_headers_of_every_request_and_no_token() {
    let project = Project::start();
    let mut options = project.options();
    options.headers = vec![("X-Gateway".to_owned(), "open sesame".to_owned())];
    let realtime = Arc::new(levi_realtime::Realtime::new(&options, project.auth()).unwrap());
    project.until(&realtime, Notifications::Connected).await;
    let requests = project.server.requests();
    let upgrade =
        requests.iter().find(|request| request.target.starts_with("/realtime/v1/websocket")).unwrap();
    assert_eq!(upgrade.header("x-gateway"), Some("open sesame"));
    let token = project.token().await;
    assert!(!upgrade.target.contains(&token), "an address is in logs of servers and proxies");
    assert!(upgrade.headers.iter().all(|(_, value)| !value.contains(&token)));
}
