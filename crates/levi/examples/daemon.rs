//! A daemon in one file: two devices of one user, one writes, the other reads. The server is a fake Supabase in this
//! process; for a real project exchange address and key, and take out what makes the user.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use levi::transport::Supabase;
use levi::transport::rows::upsert_of;
use levi::{
    CodingSession, DeviceId, DevicePrivateKey, DeviceRow, FileCredentials, HttpOptions, HttpSupabase, Levi,
    LeviConfig, MessageSyncRequest, RefreshingAuth, Repository, SessionId, SessionSecret, SqliteSessionStore,
    database_key, device_private_key,
};
use levi_testkit::supabase::FakeSupabase;

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "a long password";
const SESSION: &str = "8f14e45f-ceea-467f-a8d5-2f0c1c1d6a03";

struct Device {
    id: DeviceId,
    key: DevicePrivateKey,
    store: Arc<SqliteSessionStore>,
    levi: Levi,
}

/// Signs in, registers the device, and builds its Levi. Keys and tokens lie in `folder`.
async fn device(server: &FakeSupabase, folder: &Path, id: &str) -> Result<Device, Box<dyn Error>> {
    let credentials = Arc::new(FileCredentials::open(folder.join("credentials"))?);
    let database_key = database_key(&*credentials, &mut rand::rng())?;
    let key = device_private_key(&*credentials, &mut rand::rng())?;
    let store = Arc::new(SqliteSessionStore::open(folder.join("store.sqlite"), database_key.clone())?);

    let http = HttpOptions::new(server.url(), server.publishable_key());
    let supabase = HttpSupabase::new(&http)?;
    let auth = RefreshingAuth::new(Arc::new(supabase.sign_in()), credentials.clone());
    let signed_in = auth.sign_in(EMAIL, &PASSWORD.into()).await?;

    let row = DeviceRow {
        public_key: Some(key.public_key().to_base64()),
        ..DeviceRow::new(DeviceId::from(id), signed_in.user_id, "a device", "desktop")
    };
    supabase.upsert(&signed_in.access_token, upsert_of(&[row])).await?;
    let config = LeviConfig { data_dir: Some(folder.into()), ..LeviConfig::default() };
    let builder = Levi::builder(http, store.clone()).config(config).database_key(database_key);
    Ok(Device { id: id.into(), key, store, levi: builder.credentials(credentials).build()? })
}

/// The whole of it. Says how many messages the second device read.
pub async fn run() -> Result<usize, Box<dyn Error>> {
    let server = FakeSupabase::start()?;
    server.add_user(EMAIL, PASSWORD)?;
    let (laptop, phone) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let laptop = device(&server, laptop.path(), "8f14e45f-ceea-467f-a8d5-2f0c1c1d6a02").await?;
    let phone = device(&server, phone.path(), "8f14e45f-ceea-467f-a8d5-2f0c1c1d6a12").await?;

    // After every start: what an earlier run left behind is done with it.
    laptop.levi.start()?;
    let sync = laptop.levi.session_sync(laptop.id, laptop.key)?;

    // First the daemon's own record, then the server's.
    let repository = Repository::new("8f14e45f-ceea-467f-a8d5-2f0c1c1d6a01", "levi", "/src/levi");
    let session = CodingSession {
        title: Some("an example".into()),
        ..CodingSession::new(SESSION, repository.id.clone())
    };
    let secret = SessionSecret::generate(&mut rand::rng());
    laptop.store.save_repository(&repository)?;
    laptop.store.save_session(&session)?;
    laptop.store.save_secret(&session.id, &secret)?;
    let report = sync.sync_new_session(&session.id, &repository.id, &secret).await?;
    println!("the session is on the server: {}", report.is_done());

    for sequence_number in 1..=120 {
        let receipt = laptop
            .levi
            .enqueue_durable(MessageSyncRequest {
                message_id: format!("message-{sequence_number}").as_str().into(),
                session_id: session.id.clone(),
                sequence_number,
                content: format!("message number {sequence_number}"),
            })
            .await?;
        if sequence_number == 120 {
            laptop.levi.synced(&receipt).await?;
        }
    }
    laptop.levi.shutdown(Duration::from_secs(5)).await;

    let reader = phone.levi.reader(phone.id, phone.key)?;
    let (session_id, mut after, mut read) = (SessionId::from(SESSION), None, 0);
    loop {
        let page = reader.pull(&session_id, after, 50).await?;
        for message in page.messages {
            match message {
                Ok(message) => {
                    read += 1;
                    println!("{:>4}  {}", message.sequence_number, message.content);
                }
                Err(unreadable) => println!("{:>4}  {}", unreadable.sequence_number, unreadable.error),
            }
        }
        let Some(cursor) = page.cursor else { return Ok(read) };
        after = Some(cursor);
    }
}

#[allow(dead_code, reason = "a test runs `run` by itself")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    run().await.map(|read| println!("{read} messages read on the other device"))
}
