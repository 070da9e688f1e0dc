//! The server of the demo.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use levi::{HttpOptions, HttpSignIn, SecretString, SignIn as _, SignInError};
use levi_testkit::supabase::FakeSupabase;

use super::lite::Lite;
use super::outage;
use super::proxy::Proxy;
use crate::console::Console;
use crate::error::CliError;
use crate::sign_up::sign_up;

#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// Run against another server: `lite` starts Supabase Lite (needs Node and a checkout), an address is a project
    /// that is set up already. Default: a fake Supabase in this process.
    #[arg(long, value_name = "lite|URL")]
    server: Option<String>,
    /// The publishable key, for --server URL.
    #[arg(long, env = "LEVI_PUBLISHABLE_KEY", hide_env_values = true)]
    key: Option<String>,
    /// The user, for --server URL; signed up if need be. The password comes from LEVI_PASSWORD.
    #[arg(long, env = "LEVI_EMAIL")]
    email: Option<String>,
}

/// A server with a user on it.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) http: HttpOptions,
    pub(crate) email: String,
    pub(crate) password: SecretString,
}

pub(crate) enum Server {
    /// In this process: it can be taken down, and tells what it saw.
    FakeSupabase(Arc<FakeSupabase>),
    /// A process of our own behind a wire that can be cut.
    Lite { wire: Arc<Proxy>, _process: Lite },
    /// Somebody's project: not ours to take down.
    Project { url: String },
}

/// An outage to come: it says for how long it was.
pub(crate) type Outage = Pin<Box<dyn Future<Output = Result<Duration, CliError>> + Send>>;

impl Stage {
    pub(crate) async fn set(args: &ServerArgs, seed: u64, console: Console) -> Result<Self, CliError> {
        let (email, password) = (format!("ada-{seed}@example.org"), format!("demo-password-{seed}"));
        match args.server.as_deref() {
            None => Self::fake_supabase(email, password),
            Some("lite") => Self::lite(email, password, console).await,
            Some(url) => Self::project(args, url).await,
        }
    }

    fn fake_supabase(email: String, password: String) -> Result<Self, CliError> {
        let server = Arc::new(FakeSupabase::builder().keep_requests(0).start()?);
        server.add_user(&email, &password)?;
        let http = HttpOptions::new(server.url(), server.publishable_key());
        Ok(Self { server: Server::FakeSupabase(server), http, email, password: password.into() })
    }

    async fn lite(email: String, password: String, console: Console) -> Result<Self, CliError> {
        let progress = console.progress("Supabase Lite", None);
        progress.event("Supabase Lite is starting; it takes some seconds");
        let started = tokio::task::spawn_blocking(Lite::start).await;
        let (process, started) =
            started.map_err(|_| CliError::Demo("the demo was cut short".to_owned()))??;
        progress.finish();
        let upstream = started.url.trim_start_matches("http://").to_owned();
        let wire = Proxy::start(upstream).await;
        let wire = wire.map_err(|source| CliError::System { what: "listen on 127.0.0.1", source })?;
        let http = HttpOptions::new(wire.url(), started.publishable_key);
        let password = SecretString::from(password);
        sign_up(&http, &email, &password).await?;
        let server = Server::Lite { wire: Arc::new(wire), _process: process };
        Ok(Self { server, http, email, password })
    }

    async fn project(args: &ServerArgs, url: &str) -> Result<Self, CliError> {
        let key = args.key.clone().or_else(|| std::env::var("LEVI_PUBLISHABLE_KEY").ok());
        let password = std::env::var("LEVI_PASSWORD").ok().map(SecretString::from);
        let (Some(key), Some(email), Some(password)) = (key, args.email.clone(), password) else {
            return Err(CliError::Usage("--server URL needs --key, --email and LEVI_PASSWORD too"));
        };
        let http = HttpOptions::new(url, key);
        match HttpSignIn::new(&http)?.with_password(&email, &password).await {
            Ok(_) => {}
            Err(SignInError::Refused { .. }) => sign_up(&http, &email, &password).await?,
            Err(error) => return Err(error.into()),
        }
        Ok(Self { server: Server::Project { url: url.to_owned() }, http, email, password })
    }
}

impl Server {
    /// What people call it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::FakeSupabase(_) => "a fake Supabase in this process".to_owned(),
            Self::Lite { .. } => "Supabase Lite on this machine".to_owned(),
            Self::Project { url } => format!("the project at {url}"),
        }
    }

    /// The server that tells what it saw, if it is one.
    pub(crate) fn fake_supabase(&self) -> Option<Arc<FakeSupabase>> {
        match self {
            Self::FakeSupabase(server) => Some(Arc::clone(server)),
            _ => None,
        }
    }

    /// Where plaintext is looked for.
    pub(crate) const fn looked_in(&self) -> &'static str {
        match self {
            Self::FakeSupabase(_) => "in every byte that arrived",
            _ => "in the rows that it keeps",
        }
    }

    /// An outage of this server; `None` where it is not ours to take down.
    pub(crate) fn outage(&self, length: Duration) -> Option<Outage> {
        match self {
            Self::FakeSupabase(server) => {
                Some(Box::pin(outage::of_fake_supabase(Arc::clone(server), length)))
            }
            Self::Lite { wire, .. } => Some(Box::pin(outage::of_proxy(Arc::clone(wire), length))),
            Self::Project { .. } => None,
        }
    }
}
