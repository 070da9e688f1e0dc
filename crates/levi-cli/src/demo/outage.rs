//! The server goes away in the middle, and comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use levi::Table;
use levi_testkit::supabase::{Fault, Scope, StandIn, Times};

use crate::error::CliError;

/// For something that happens within moments unless the machine is overloaded.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the server has `messages` of the messages.
pub(crate) async fn arrived(server: &Arc<StandIn>, messages: u64) -> Result<(), CliError> {
    let server = Arc::clone(server);
    let arrived = move || {
        server.wait_for(PATIENCE, |stats| stats.table(Table::Messages).rows_inserted >= messages).map(drop)
    };
    let waited = blocking(arrived).await?;
    waited.map_err(|error| CliError::Demo(format!("the first messages did not arrive: {error}")))
}

/// Writes one more request and loses the answer, then takes the server down for `outage`. Says for how long it was.
pub(crate) async fn strike(server: Arc<StandIn>, outage: Duration) -> Result<Duration, CliError> {
    // What was written and never answered is sent again: the upsert must make that harmless.
    let posts = Scope::table(Table::Messages).method("POST");
    let fired = server.faults().fired();
    server.faults().plan(posts, Times::Next(1), Fault::ResetAfterWrite);
    let struck = Arc::clone(&server);
    // Where nothing is left to send, nothing fires, and the outage comes all the same.
    blocking(move || struck.wait_for(Duration::from_secs(5), |_| struck.faults().fired() > fired).is_ok())
        .await?;
    let began = Instant::now();
    let down = Arc::clone(&server);
    blocking(move || down.go_down()).await?;
    tokio::time::sleep(outage).await;
    blocking(move || server.come_up()).await??;
    Ok(began.elapsed())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CliError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| CliError::Demo("the demo was cut short".to_owned()))
}
