//! A daemon in one file: two devices of one user, one writes, the other follows. The server is a
//! fake Supabase in this process; for a real project exchange address and key, and take out what
//! makes the user.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use levi::{
    Arrival, CodingSession, Device, DeviceOptions, LeviConfig, MessageSyncRequest, Repository, random_uuid,
};
use levi_testkit::supabase::FakeSupabase;

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "a long password";
const MESSAGES: i64 = 120;

/// Signs in and registers the device. Tokens, keys, sessions and outbox are in `folder`.
async fn device(server: &FakeSupabase, folder: &Path, name: &str) -> Result<Device, Box<dyn Error>> {
    let options = DeviceOptions::new(server.url(), server.publishable_key());
    let device = Device::open(folder.join(name), options)?;
    // Once; afterwards the tokens in the folder are renewed.
    if device.user_id().await?.is_none() {
        device.sign_in(EMAIL, &PASSWORD.into()).await?;
        device.register(name, "desktop").await?;
    }
    Ok(device)
}

/// The first device: a session, and its messages.
async fn write(laptop: &Device) -> Result<(), Box<dyn Error>> {
    // After every start: what an earlier run left behind is done with it.
    let levi = laptop.levi(LeviConfig::default())?;
    levi.start()?;

    let repository = Repository::new(random_uuid(), "levi", "/src/levi");
    let session = CodingSession {
        title: Some("an example".into()),
        ..CodingSession::new(random_uuid(), repository.id.clone())
    };
    let report = laptop.begin_session(&levi, &repository, &session).await?;
    println!("the session is on the server: {}", report.is_done());

    for sequence_number in 1..=MESSAGES {
        let (id, text) = (format!("message-{sequence_number}"), format!("message number {sequence_number}"));
        let message = MessageSyncRequest::new(id, session.id.clone(), sequence_number, text);
        levi.enqueue_durable(message).await?;
    }
    levi.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// The second device: prints what comes until it has seen everything, and says how much it read.
async fn follow(phone: &Device) -> Result<usize, Box<dyn Error>> {
    let reader = phone.reader()?;
    let cursor = phone.folder().cursor("example")?;
    let mut follow = reader.follow(cursor.load()?);
    let mut read = 0;
    loop {
        let page = follow.next().await?;
        for change in &page.changes {
            let mark = if change.arrival == Arrival::Edited { " (edited)" } else { "" };
            match &change.content {
                Ok(content) => {
                    read += 1;
                    println!("{:>4}  {content}{mark}", change.sequence_number);
                }
                Err(why) => println!("{:>4}  {why}", change.sequence_number),
            }
        }
        // Only now: what was not done with is delivered again after a crash.
        cursor.save(&page.cursor)?;
        if page.changes.iter().any(|change| change.sequence_number == MESSAGES) {
            return Ok(read);
        }
    }
}

/// The whole of it. Says how many messages the second device read.
pub async fn run() -> Result<usize, Box<dyn Error>> {
    let server = FakeSupabase::start()?;
    server.add_user(EMAIL, PASSWORD)?;
    let folders = tempfile::tempdir()?;
    let laptop = device(&server, folders.path(), "laptop").await?;
    let phone = device(&server, folders.path(), "phone").await?;
    let (written, read) = tokio::join!(write(&laptop), follow(&phone));
    written?;
    for session in phone.sessions().await? {
        let session = session?;
        println!("{} {:?} {:?}", session.id, session.title, session.access);
    }
    read
}

#[allow(dead_code, reason = "a test runs `run` by itself")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    run().await.map(|read| println!("{read} messages read on the other device"))
}
