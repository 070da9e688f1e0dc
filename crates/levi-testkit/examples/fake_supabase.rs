//! Runs a fake Supabase until standard input ends, for programs in other languages and for pages in
//! a browser.
//!
//! ```text
//! cargo run -p levi-testkit --example fake_supabase [-- TOKEN_LIFETIME_SECONDS]
//! ```
//!
//! Prints one line of JSON: `url`, `publishable_key`, `secret_key`. A line `drop` on standard input
//! ends every WebSocket of Realtime, and `stats` prints its counters.

use std::error::Error;
use std::io::Write as _;
use std::time::Duration;

use levi_testkit::supabase::FakeSupabase;
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let mut builder = FakeSupabase::builder();
    if let Some(seconds) = std::env::args().nth(1) {
        builder = builder.token_lifetime(Duration::from_secs(seconds.parse()?));
    }
    let server = builder.start()?;
    say(&json!({
        "url": server.url(),
        "publishable_key": server.publishable_key(),
        "secret_key": server.secret_key(),
    }))?;
    for line in std::io::stdin().lines() {
        match line?.as_str() {
            "drop" => server.drop_realtime(),
            "stats" => {
                let stats = server.stats().realtime;
                say(&json!({ "joins": stats.joins, "tokens": stats.tokens, "events": stats.events }))?;
            }
            other => return Err(format!("`{other}` is not known; there are `drop` and `stats`").into()),
        }
    }
    Ok(())
}

fn say(what: &Value) -> Result<(), Box<dyn Error>> {
    println!("{what}");
    Ok(std::io::stdout().flush()?)
}
