//! Levi in the round trips of `cargo xtask interop`: a device of its own that writes what programs in other languages
//! read, and reads what they wrote.
//!
//!     interop write SESSION_ID REPOSITORY_ID < session.ndjson
//!     interop read SESSION_ID > session.ndjson
//!
//! One {"sequence_number", "content"} a line. The settings are those of `clients`, in the environment. Who
//! reads must be registered already.

mod device;
mod read;
mod write;

use std::error::Error;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", session, repository] => write::run(&session.into(), &repository.into()).await,
        ["read", session] => read::run(&session.into()).await,
        _ => Err("usage: interop write SESSION_ID REPOSITORY_ID, or interop read SESSION_ID".into()),
    }
}
