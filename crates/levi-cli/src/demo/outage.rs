//! The server goes away in the middle, and comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use levi::Table;
use levi_testkit::supabase::{FakeSupabase, Fault, Scope, Times};

use super::proxy::Proxy;
use crate::error::CliError;

/// For how long to wait for a request whose answer can be lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes one more request and loses the answer, then takes the server down for `outage`. Says for how long it was.
pub(crate) async fn of_fake_supabase(
    server: Arc<FakeSupabase>,
    outage: Duration,
) -> Result<Duration, CliError> {
    // What was written and never answered is sent again: the upsert must make that harmless.
    let posts = Scope::table(Table::Messages).method("POST");
    let fired = server.faults().fired();
    server.faults().plan(posts, Times::Next(1), Fault::ResetAfterWrite);
    let struck = Arc::clone(&server);
    // Where nothing is left to send, nothing fires, and the outage comes all the same.
    blocking(move || struck.wait_for(PATIENCE, |_| struck.faults().fired() > fired).is_ok()).await?;
    let began = Instant::now();
    let down = Arc::clone(&server);
    blocking(move || down.go_down()).await?;
    tokio::time::sleep(outage).await;
    blocking(move || server.come_up()).await??;
    Ok(began.elapsed())
}

/// Cuts every connection through the proxy and lets none through for `outage`.
pub(crate) async fn of_proxy(proxy: Arc<Proxy>, outage: Duration) -> Result<Duration, CliError> {
    let began = Instant::now();
    proxy.go_down();
    tokio::time::sleep(outage).await;
    proxy.come_up();
    Ok(began.elapsed())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CliError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| CliError::Demo("the demo was cut short".to_owned()))
}
