//! The server of the demo.

use std::sync::Arc;

use clap::Args;
use levi::{HttpOptions, SecretString};
use levi_testkit::supabase::StandIn;

use crate::console::Console;
use crate::error::CliError;

#[derive(Debug, Args)]
pub(crate) struct ServerArgs {}

/// A server with a user on it.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) http: HttpOptions,
    pub(crate) email: String,
    pub(crate) password: SecretString,
}

pub(crate) enum Server {
    /// In this process: it can be taken down, and tells what it saw.
    StandIn(Arc<StandIn>),
}

impl Stage {
    pub(crate) async fn set(_args: &ServerArgs, seed: u64, _console: Console) -> Result<Self, CliError> {
        let (email, password) = ("ada@example.org".to_owned(), format!("demo-password-{seed}"));
        let server = Arc::new(StandIn::builder().keep_requests(0).start()?);
        server.add_user(&email, &password)?;
        let http = HttpOptions::new(server.url(), server.publishable_key());
        Ok(Self { server: Server::StandIn(server), http, email, password: password.into() })
    }
}

impl Server {
    /// What people call it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::StandIn(_) => "a stand-in for Supabase in this process",
        }
    }
}
