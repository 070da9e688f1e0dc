//! Reading on another device: how soon, and what a poll and a message cost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use levi::{Follow, HttpSupabase, Levi, LeviConfig, Realtime};
use levi_transport::{ChangesOf, PagedQuery as _, Supabase as _, user_of_token};

use crate::child::{Child, ReadAll};
use crate::process::cpu_time;
use crate::reader::{TokenAuth, reader};
use crate::report::{Figure, Run, Target};
use crate::server::Server;
use crate::stats::{Spread, percentile};
use crate::{Effort, Fallible, fixture, scratch};

/// The round trip of both devices.
const ROUND_TRIP: Duration = Duration::from_millis(50);

/// Quiet sessions of one user.
const QUIET: usize = 1000;

pub(crate) async fn measure(run: &mut Run, effort: Effort) -> Fallible<()> {
    soon(run, effort).await?;
    quiet(run, effort).await?;
    all(run, effort.pick(20_000, 100_000), effort.pick(1, 7))
}

/// From the commit on the writer to `follow` on the reader.
async fn soon(run: &mut Run, effort: Effort) -> Fallible<()> {
    let server = Server::start(1, ROUND_TRIP)?;
    let folder = scratch()?;
    let config = LeviConfig { data_dir: Some(folder.path().to_owned()), ..LeviConfig::default() };
    let auth = Arc::new(TokenAuth(server.token()));
    let levi = Levi::builder(server.http(), fixture::secrets()).config(config).auth(auth.clone()).build()?;
    levi.start()?;
    let reader = reader(server.address())?;
    let messages = effort.pick(8, 40);
    let polling = times(&levi, &mut reader.follow(None), 0, messages).await?;
    let realtime = Arc::new(Realtime::new(&server.http(), auth)?);
    let mut pushed = reader.follow(None).with_notifier(realtime);
    let pushed = times(&levi, &mut pushed, messages, messages).await?;
    levi.shutdown(Duration::from_secs(5)).await;
    run.figure(after("by polling, while somebody writes", polling, 1200.0));
    run.figure(after("with Realtime", pushed, 250.0));
    Ok(())
}

fn after(how: &str, times: Vec<f64>, most: f64) -> Figure {
    let floor = 2.0 * ROUND_TRIP.as_secs_f64() * 1e3;
    Figure {
        what: format!("from the commit on the writer to `follow` on the reader, {how}, p50"),
        against: format!("{most:.0} ms"),
        unit: "ms".into(),
        levi: vec![percentile(&times, 0.5)],
        baseline: vec![most],
        target: Target::AtMost(1.0),
        note: format!(
            "p99 {:.0} ms; floor {floor:.0} ms: the server's answer or push comes {} ms after what it answers, and \
             there are two in a row",
            percentile(&times, 0.99),
            ROUND_TRIP.as_millis()
        ),
    }
}

/// Milliseconds until each message is delivered. They are written after random pauses, as by an agent that works.
async fn times(levi: &Levi, follow: &mut Follow<'_>, first: usize, count: usize) -> Fallible<Vec<f64>> {
    let session = fixture::session(0);
    let mut times = Vec::new();
    for number in first..first + count {
        let number = i64::try_from(number)?;
        let write = async {
            tokio::time::sleep(Duration::from_millis(rand::random_range(300..1800))).await;
            levi.enqueue_durable(fixture::request(&session, number, "one line")).await?;
            Fallible::Ok(Instant::now())
        };
        let read = async {
            loop {
                let page = follow.next().await?;
                if page.changes.iter().any(|change| change.sequence_number == number) {
                    return Fallible::Ok(Instant::now());
                }
            }
        };
        let (wrote, read) = tokio::try_join!(write, read)?;
        times.push((read - wrote).as_secs_f64() * 1e3);
    }
    Ok(times)
}

/// One poll that finds nothing, over many sessions.
async fn quiet(run: &mut Run, effort: Effort) -> Fallible<()> {
    let mut server = Server::start(QUIET, Duration::ZERO)?;
    server.seed(QUIET)?;
    let reader = reader(server.address())?;
    let mut page = reader.changes(None, 1000).await?;
    while page.more {
        page = reader.changes(Some(&page.cursor), 1000).await?;
    }
    let http = HttpSupabase::new(&server.http())?;
    let user = user_of_token(&server.token()).ok_or("the token names no user")?;
    let select = ChangesOf { user: &user, session: None }.page(Some(&i64::MAX), 1000);
    let (mut polls, mut floors) = (Vec::new(), Vec::new());
    let rounds = effort.pick(20, 200);
    let before = server.seen()?.gets;
    for _ in 0..rounds {
        let began = cpu_time();
        page = reader.changes(Some(&page.cursor), 1000).await?;
        polls.push((cpu_time() - began).as_secs_f64() * 1e3);
    }
    let requests = server.seen()?.gets - before;
    if !page.changes.is_empty() || requests != rounds as u64 {
        return Err(format!("{rounds} polls made {requests} requests").into());
    }
    for _ in 0..rounds {
        let began = cpu_time();
        http.select(&server.token(), select.clone()).await?;
        floors.push((cpu_time() - began).as_secs_f64() * 1e3);
    }
    let floor = percentile(&floors, 0.5);
    run.figure(Figure {
        what: format!("one poll over {QUIET} quiet sessions, processor time"),
        against: "5 ms".into(),
        unit: "ms".into(),
        levi: vec![percentile(&polls, 0.5)],
        baseline: vec![5.0],
        target: Target::AtMost(1.0),
        note: format!("one request; floor {floor:.2} ms: the same request, and nothing else"),
    });
    Ok(())
}

/// Everything that is there, from the beginning.
fn all(run: &mut Run, rows: usize, rounds: usize) -> Fallible<()> {
    let mut server = Server::start(8, Duration::ZERO)?;
    server.seed(rows)?;
    let before = server.seen()?;
    let address = server.address_json()?;
    let read_all = || Child::start(&["read", &address, &rows.to_string()])?.line();
    let rounds = (0..rounds).map(|_| read_all()).collect::<Fallible<Vec<ReadAll>>>()?;
    let wire = (server.seen()?.bytes_out - before.bytes_out) as f64 / rounds.len() as f64;
    let each = |micros: fn(&ReadAll) -> f64| -> Vec<f64> {
        rounds.iter().map(|read| micros(read) / rows as f64).collect()
    };
    run.figure(Figure {
        what: format!("{rows} messages read, bytes on the wire"),
        against: "the bytes of their rows".into(),
        unit: "MiB".into(),
        levi: vec![wire / 1048576.0],
        baseline: vec![server.seeded_bytes() as f64 / 1048576.0],
        target: Target::AtMost(1.05),
        note: "answers with their heads; a row is what its writer sends".into(),
    });
    run.figure(Figure {
        what: format!("{rows} messages read, processor time a message beyond opening it"),
        against: "4 us".into(),
        unit: "us".into(),
        levi: each(|read| read.cpu_micros - read.open_micros),
        baseline: vec![4.0],
        target: Target::AtMost(1.0),
        note: format!(
            "{:.2} us in all; floor {:.2} us: opening the same bytes, and nothing else",
            Spread::of(&each(|read| read.cpu_micros)).median,
            Spread::of(&each(|read| read.open_micros)).median
        ),
    });
    let resident = &rounds[0].resident_kib;
    let late = &resident[resident.len() / 10..];
    let kib = |percent| percentile(&late.iter().map(|kib| *kib as f64).collect::<Vec<_>>(), percent);
    run.figure(Figure {
        what: format!("{rows} messages read, largest over smallest resident memory after the first tenth"),
        against: "flat".into(),
        unit: "MiB".into(),
        levi: vec![kib(1.0) / 1024.0],
        baseline: vec![kib(0.0) / 1024.0],
        target: Target::AtMost(1.1),
        note: "in a process of its own".into(),
    });
    Ok(())
}
