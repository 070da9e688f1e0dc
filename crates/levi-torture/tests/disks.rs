//! A daemon whose disk fails: what was acknowledged stays, nothing is accepted that cannot be
//! stored, and Levi notices a disk that works again without polling it. (`levi-outbox` tests how
//! SQLite's errors are mapped.)
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod daemon;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use daemon::{Daemon, synced, until};
use levi::outbox::OutboxError;
use levi::outbox::sqlite::{SqliteOptions, SqliteOutbox};
use levi::{EnqueueError, LeviConfig, StartError};
use levi_testkit::outbox::{FaultyOutbox, OutboxFailure};
use levi_torture::content::message;

/// What a good disk's sync costs here, times fifteen.
const SLOW_COMMIT: Duration = Duration::from_millis(60);

fn outbox(daemon: &Daemon, options: SqliteOptions) -> SqliteOutbox {
    fs::create_dir_all(daemon.folder()).unwrap();
    SqliteOutbox::open(daemon.folder().join("outbox.sqlite"), options).unwrap()
}

fn outbox_error(error: EnqueueError) -> Arc<OutboxError> {
    match error {
        EnqueueError::Outbox(error) => error,
        other => panic!("not a disk failure: {other:?}"),
    }
}

/// However many messages are enqueued, Levi tries a failing disk once until its backoff is over,
/// and again when `network_changed` is called. Every caller gets the error at once.
#[tokio::test]
async fn a_failing_disk_is_not_polled_and_every_caller_gets_the_error_at_once() {
    let failures = [
        OutboxFailure::DiskFull,
        OutboxFailure::ReadOnly,
        OutboxFailure::Locked,
        OutboxFailure::Corrupt,
        OutboxFailure::Other,
    ];
    for failure in failures {
        let daemon = Daemon::new().await;
        let faulty = FaultyOutbox::new(outbox(&daemon, SqliteOptions::default()));
        let faults = faulty.faults();
        let hour = Duration::from_secs(3600);
        let config = LeviConfig { backoff_base: hour, backoff_max: hour, ..daemon.config() };
        let levi = daemon.start(daemon.builder().config(config).outbox(Box::new(faulty)));
        synced(&levi, &daemon.enqueue(&levi, 1, 100).await.unwrap()).await;

        faults.break_down(failure);
        let before = faults.counts();
        for number in 2..102 {
            let error = outbox_error(daemon.enqueue(&levi, number, 100).await.unwrap_err());
            assert_eq!(std::mem::discriminant(&*error), std::mem::discriminant(&failure.error()));
        }
        let after = faults.counts();
        let asked =
            (after.failed_commits + after.failed_reads) - (before.failed_commits + before.failed_reads);
        // One commit. The reads are those of the status after each event.
        assert_eq!(after.failed_commits - before.failed_commits, 1, "{failure:?}: {asked} calls");
        assert!(until(&levi, |status| status.outbox_failure.is_some()).await.paused.is_some());

        faults.heal();
        levi.network_changed();
        let receipt = daemon.enqueue(&levi, 2, 100).await.unwrap();
        synced(&levi, &receipt).await;
        assert_eq!(daemon.delivered(), [1, 2], "{failure:?}");
        assert_eq!(until(&levi, |status| status.outbox_failure.is_none()).await.held_in_memory, 0);
    }
}

/// While the disk fails, `enqueue` keeps messages in memory up to the queue's limit and then
/// refuses too. All that it accepted is stored when the disk works again, which Levi notices by
/// itself.
#[tokio::test]
async fn what_enqueue_accepted_while_the_disk_failed_is_bounded_and_not_lost() {
    let daemon = Daemon::new().await;
    let faulty = FaultyOutbox::new(outbox(&daemon, SqliteOptions::default()));
    let faults = faulty.faults();
    let config = LeviConfig { max_queued_bytes: 64 << 10, max_message_bytes: 8 << 10, ..daemon.config() };
    let levi = daemon.start(daemon.builder().config(config).outbox(Box::new(faulty)));
    faults.refuse_commits(OutboxFailure::DiskFull);
    let mut accepted = 0;
    let refusal = loop {
        match levi.enqueue(message(&daemon.session, accepted + 1, 1_000)) {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refusal, EnqueueError::QueueFull { .. }), "{refusal:?}");
    assert!((20..=64).contains(&accepted), "{accepted} messages of 1 kB and their overhead in 64 KiB");
    let held = usize::try_from(accepted).unwrap();
    until(&levi, |status| status.held_in_memory == held).await;

    faults.heal();
    until(&levi, |status| status.held_in_memory == 0).await;
    synced(&levi, &daemon.enqueue(&levi, accepted + 1, 100).await.unwrap()).await;
    assert_eq!(daemon.delivered(), (1..=accepted + 1).collect::<Vec<_>>());
}

/// A durable message is refused while the disk fails and accepted when it works again, without
/// other traffic that could notice that in its place.
#[tokio::test]
async fn durable_messages_are_accepted_again_when_the_backoff_is_over_and_the_disk_works() {
    let daemon = Daemon::new().await;
    let faulty = FaultyOutbox::new(outbox(&daemon, SqliteOptions::default()));
    let faults = faulty.faults();
    let levi = daemon.start(daemon.builder().outbox(Box::new(faulty)));
    faults.refuse_commits(OutboxFailure::DiskFull);
    outbox_error(daemon.enqueue(&levi, 1, 100).await.unwrap_err());
    faults.heal();
    until(&levi, |status| status.paused.is_none()).await;
    synced(&levi, &daemon.enqueue(&levi, 1, 100).await.unwrap()).await;
}

/// A mounted file system of a given size.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` without the right to mount one.
    fn mount(at: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(at.to_owned()));
        }
        eprintln!("SKIPPED: no disk can be mounted here; run this test as root on Linux");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because the engine thread may still be closing its files.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_disk_that_is_really_full_refuses_keeps_what_it_has_and_continues_when_there_is_room() {
    let daemon = Daemon::new().await;
    let Some(_disk) = SmallDisk::mount(&daemon.folder(), "size=3m") else { return };
    let ballast = daemon.folder().join("ballast");
    fs::write(&ballast, vec![0; 2 << 20]).unwrap();
    daemon.environment.server.go_down();
    let levi = daemon.start(daemon.builder());
    let mut acknowledged = 0;
    let refusal = loop {
        match daemon.enqueue(&levi, acknowledged + 1, 20_000).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break outbox_error(error),
        }
        assert!(acknowledged < 200, "a disk of 1 MiB does not fill up");
    };
    assert!(matches!(*refusal, OutboxError::DiskFull(_)), "{refusal:?}");
    assert!(acknowledged > 5);

    // Nothing is sent whose acknowledgement could not be stored.
    daemon.environment.server.come_up().unwrap();
    levi.network_changed();
    until(&levi, |status| status.outbox_failure.is_some()).await;
    fs::remove_file(ballast).unwrap();
    until(&levi, |status| status.totals.pending_rows == 0 && status.outbox_failure.is_none()).await;
    synced(&levi, &daemon.enqueue(&levi, acknowledged + 1, 20_000).await.unwrap()).await;
    assert_eq!(daemon.delivered(), (1..=acknowledged + 1).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_read_only_disk_is_reported_by_start() {
    let daemon = Daemon::new().await;
    let Some(_disk) = SmallDisk::mount(&daemon.folder(), "size=1m,ro") else { return };
    let levi = daemon.builder().build().unwrap();
    let refused = levi.start();
    assert!(matches!(refused, Err(StartError::Outbox(OutboxError::ReadOnly(_)))), "{refused:?}");
}

/// Does nothing for a user to whom permissions do not apply.
#[cfg(unix)]
#[tokio::test]
async fn a_folder_without_permission_is_reported_by_start() {
    use std::os::unix::fs::PermissionsExt;
    let daemon = Daemon::new().await;
    fs::create_dir(daemon.folder()).unwrap();
    fs::set_permissions(daemon.folder(), fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(daemon.folder().join("probe"), b"").is_ok() {
        return;
    }
    let refused = daemon.builder().build().unwrap().start();
    assert!(matches!(refused, Err(StartError::Outbox(OutboxError::CannotOpen { .. }))), "{refused:?}");
}

#[tokio::test]
async fn a_missing_folder_is_created_but_never_the_disk_that_it_should_be_on() {
    let daemon = Daemon::new().await;
    let levi = daemon.start(daemon.builder());
    levi.shutdown(Duration::ZERO).await;
    assert!(daemon.folder().join("outbox.sqlite").exists());

    let elsewhere = daemon.environment.data_dir().join("a disk that is not there").join("outbox");
    let config = LeviConfig { data_dir: Some(elsewhere.clone()), ..daemon.config() };
    let refused = daemon.builder().config(config).build().unwrap().start();
    assert!(matches!(refused, Err(StartError::Outbox(OutboxError::CannotOpen { .. }))), "{refused:?}");
    assert!(!elsewhere.exists());
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_vanished_accepts_no_message_and_comes_back_with_all_of_them() {
    let daemon = Daemon::new().await;
    daemon.environment.server.go_down();
    let levi = daemon.start(daemon.builder());
    daemon.enqueue(&levi, 1, 100).await.unwrap();
    let away = daemon.environment.data_dir().join("away");
    fs::rename(daemon.folder(), &away).unwrap();
    let refused = outbox_error(daemon.enqueue(&levi, 2, 100).await.unwrap_err());
    assert!(matches!(*refused, OutboxError::CannotOpen { .. }), "{refused:?}");

    fs::rename(&away, daemon.folder()).unwrap();
    daemon.environment.server.come_up().unwrap();
    until(&levi, |status| status.totals.pending_rows == 0).await;
    synced(&levi, &daemon.enqueue(&levi, 2, 100).await.unwrap()).await;
    assert_eq!(daemon.delivered(), [1, 2]);
}

/// A process that holds a lock until this is dropped.
struct Holder(Child);

impl Holder {
    fn start(what: &str, path: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_levi-torture"))
            .arg(what)
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Self(child)
    }

    fn release(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn a_lock_of_another_process_is_reported_and_passes() {
    let daemon = Daemon::new().await;
    let options = SqliteOptions { busy_timeout: Duration::from_millis(1), ..SqliteOptions::default() };
    let levi = daemon.start(daemon.builder().outbox(Box::new(outbox(&daemon, options))));
    let holder = Holder::start("hold-write-lock", &daemon.folder().join("outbox.sqlite"));
    let refused = outbox_error(daemon.enqueue(&levi, 1, 100).await.unwrap_err());
    assert!(matches!(*refused, OutboxError::Locked(_)), "{refused:?}");
    holder.release();
    until(&levi, |status| status.paused.is_none()).await;
    synced(&levi, &daemon.enqueue(&levi, 1, 100).await.unwrap()).await;
}

/// With two processes on one outbox, the second gets an error and changes nothing.
#[tokio::test]
async fn an_outbox_that_another_process_owns_is_left_alone() {
    let daemon = Daemon::new().await;
    fs::create_dir(daemon.folder()).unwrap();
    let holder = Holder::start("own-outbox", &daemon.folder().join("outbox.sqlite"));
    let refused = daemon.builder().build().unwrap().start();
    assert!(matches!(refused, Err(StartError::Outbox(OutboxError::Owned { .. }))), "{refused:?}");
    holder.release();
    daemon.start(daemon.builder());
}

/// On a disk whose commits take fifteen times as long as a good disk's, callers that wait share
/// commits.
#[tokio::test]
async fn on_a_slow_disk_callers_that_wait_share_a_commit() {
    let daemon = Arc::new(Daemon::new().await);
    let slow = FaultyOutbox::new(outbox(&daemon, SqliteOptions::default()));
    let faults = slow.faults();
    faults.delay_commits(SLOW_COMMIT);
    daemon.environment.server.go_down();
    let levi = Arc::new(daemon.start(daemon.builder().outbox(Box::new(slow))));
    let waiting: Vec<_> = (1..=200)
        .map(|number| {
            let (levi, request) = (Arc::clone(&levi), message(&daemon.session, number, 100));
            tokio::spawn(async move { levi.enqueue_durable(request).await.unwrap() })
        })
        .collect();
    let mut receipts = Vec::new();
    for waiting in waiting {
        receipts.push(waiting.await.unwrap());
    }
    let commits = faults.counts().commits;
    assert!(commits < 50, "{commits} commits for 200 messages");
    daemon.environment.server.come_up().unwrap();
    levi.network_changed();
    synced(&levi, receipts.last().unwrap()).await;
    assert_eq!(daemon.delivered(), (1..=200).collect::<Vec<_>>());
}

/// For each kind of damage: Levi starts, quarantines the damaged file and reports what was
/// recovered.
#[tokio::test]
async fn a_damaged_outbox_does_not_keep_levi_from_starting_and_the_status_says_what_was_lost() {
    type Damage = (&'static str, fn(Vec<u8>) -> Vec<u8>);
    let damages: [Damage; 4] = [
        ("a page in the middle", |mut bytes| {
            let page = bytes.len() / 4096 / 2 * 4096;
            bytes[page..page + 4096].fill(0xA5);
            bytes
        }),
        ("half of it is missing", |bytes| bytes[..bytes.len() / 2].to_vec()),
        ("its first page", |mut bytes| {
            bytes[..4096].fill(0);
            bytes
        }),
        ("no database at all", |_| b"this was never a database\n".repeat(500)),
    ];
    for (what, damage) in damages {
        let daemon = Daemon::new().await;
        // Nobody is signed in, so that no request of this process is still on its way at its end. It would deliver rows
        // that the damage takes.
        let levi = daemon.signed_out(daemon.config());
        for number in 1..=100 {
            levi.enqueue(message(&daemon.session, number, 500)).unwrap();
        }
        daemon.enqueue(&levi, 101, 500).await.unwrap();
        levi.shutdown(Duration::ZERO).await;
        let path = daemon.folder().join("outbox.sqlite");
        let damaged = damage(fs::read(&path).unwrap());
        fs::write(&path, &damaged).unwrap();

        let levi = daemon.start(daemon.builder());
        let report = levi.status().recovered.unwrap_or_else(|| panic!("{what} was not noticed"));
        assert_eq!(fs::read(&report.quarantined).unwrap(), damaged, "{what}: quarantined unchanged");
        let next = daemon.enqueue(&levi, 102, 500).await.unwrap();
        synced(&levi, &next).await;
        let delivered = daemon.delivered();
        assert_eq!(delivered.len() as u64, report.rows + 1, "{what}: {report}");
        if let Some(lost) = report.lost {
            assert_eq!(report.rows + lost, 101, "{what}: {report}");
        }
    }
}

#[tokio::test]
async fn an_outbox_of_a_newer_levi_is_reported_and_left_as_it_is() {
    let daemon = Daemon::new().await;
    let levi = daemon.start(daemon.builder());
    levi.shutdown(Duration::ZERO).await;
    let path = daemon.folder().join("outbox.sqlite");
    let conn = levi_outbox::rusqlite::Connection::open(&path).unwrap();
    conn.execute("UPDATE levi_schema SET version = 99", []).unwrap();
    drop(conn);
    let refused = daemon.builder().build().unwrap().start();
    assert!(
        matches!(refused, Err(StartError::Outbox(OutboxError::NewerSchema { found: 99, .. }))),
        "{refused:?}"
    );
    assert!(!daemon.folder().join("outbox.sqlite.damaged-1").exists());
}
