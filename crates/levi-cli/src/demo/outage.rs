//! An outage of the server in the middle of the demo.

use std::sync::Arc;
use std::time::{Duration, Instant};

use levi::Table;
use levi_testkit::supabase::{FakeSupabase, Fault, Scope, Times};

use super::proxy::Proxy;
use crate::error::CliError;

/// How long to wait for a request whose response can be dropped.
const LOST_RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Lets the server write one more request and drops the response, then stops the server for
/// `outage`. Returns how long the server was down.
pub(crate) async fn of_fake_supabase(
    server: Arc<FakeSupabase>,
    outage: Duration,
) -> Result<Duration, CliError> {
    // Levi sends a request again if it got no response; the upsert must make that harmless.
    let posts = Scope::table(Table::Messages).method("POST");
    let fired = server.faults().fired();
    server.faults().plan(posts, Times::Next(1), Fault::ResetAfterWrite);
    let faulty = Arc::clone(&server);
    // If nothing is left to send, the fault never fires, and the outage starts after the timeout.
    blocking(move || faulty.wait_for(LOST_RESPONSE_TIMEOUT, |_| faulty.faults().fired() > fired).is_ok())
        .await?;
    let began = Instant::now();
    let down = Arc::clone(&server);
    blocking(move || down.go_down()).await?;
    tokio::time::sleep(outage).await;
    blocking(move || server.come_up()).await??;
    Ok(began.elapsed())
}

/// Cuts every connection through the proxy and refuses new ones for `outage`.
pub(crate) async fn of_proxy(proxy: Arc<Proxy>, outage: Duration) -> Result<Duration, CliError> {
    let began = Instant::now();
    proxy.go_down();
    tokio::time::sleep(outage).await;
    proxy.come_up();
    Ok(began.elapsed())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CliError> {
    Ok(tokio::task::spawn_blocking(work).await?)
}
