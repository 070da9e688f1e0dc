//! The server that the demo runs against, with a user on it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use levi::HttpOptions;
use levi::transport::{HttpSignIn, SignIn as _, SignInError};
use levi::types::SecretString;
use levi_testkit::supabase::FakeSupabase;

use super::lite::Lite;
use super::outage;
use super::proxy::Proxy;
use super::sign_up::sign_up;
use crate::connection;
use crate::console::Console;
use crate::error::CliError;
use crate::options::HttpArgs;

#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// The server: `lite` starts Supabase Lite (needs Node and a checkout), an address names a
    /// project that is set up already. Default: a fake Supabase inside this process.
    #[arg(long, value_name = "lite|URL")]
    server: Option<ServerChoice>,
    /// The publishable key, for --server URL.
    #[arg(long, env = "LEVI_PUBLISHABLE_KEY", hide_env_values = true)]
    key: Option<String>,
    /// The user, for --server URL; signed up if there is none yet. The password comes from
    /// LEVI_PASSWORD.
    #[arg(long, env = "LEVI_EMAIL")]
    email: Option<String>,
    #[command(flatten)]
    http: HttpArgs,
}

#[derive(Clone, Debug)]
enum ServerChoice {
    Lite,
    Url(String),
}

impl From<&str> for ServerChoice {
    fn from(argument: &str) -> Self {
        if argument == "lite" { Self::Lite } else { Self::Url(argument.to_owned()) }
    }
}

pub(crate) struct Environment {
    pub(crate) server: Server,
    pub(crate) http: HttpOptions,
    pub(crate) email: String,
    pub(crate) password: SecretString,
}

pub(crate) enum Server {
    /// Inside this process: the demo can stop it and scan what it receives.
    Fake(Arc<FakeSupabase>),
    /// A process that the demo started, behind a proxy that can cut every connection.
    Lite { proxy: Arc<Proxy>, _process: Lite },
    /// An existing project, which the demo must not disturb.
    Project { url: String },
}

/// An outage, which returns how long it lasted.
pub(crate) type Outage = Pin<Box<dyn Future<Output = Result<Duration, CliError>> + Send>>;

impl Environment {
    pub(crate) async fn prepare(args: &ServerArgs, seed: u64, console: Console) -> Result<Self, CliError> {
        let (email, password) = (format!("ada-{seed}@example.org"), format!("demo-password-{seed}"));
        match &args.server {
            None => Self::fake(args, email, password),
            Some(ServerChoice::Lite) => Self::lite(args, email, password.into(), console).await,
            Some(ServerChoice::Url(url)) => Self::project(args, url).await,
        }
    }

    fn fake(args: &ServerArgs, email: String, password: String) -> Result<Self, CliError> {
        let server = Arc::new(FakeSupabase::builder().keep_requests(0).start()?);
        server.add_user(&email, &password)?;
        let key = server.publishable_key().to_owned();
        let http = connection::http_options(server.url(), key, &args.http)?;
        Ok(Self { server: Server::Fake(server), http, email, password: password.into() })
    }

    async fn lite(
        args: &ServerArgs,
        email: String,
        password: SecretString,
        console: Console,
    ) -> Result<Self, CliError> {
        let progress = console.progress("Supabase Lite", None);
        progress.event("starting Supabase Lite, which takes some seconds");
        let (process, started) = tokio::task::spawn_blocking(Lite::start).await??;
        progress.finish();
        let upstream = started.url.trim_start_matches("http://").to_owned();
        let proxy = Proxy::start(upstream).await;
        let proxy = proxy.map_err(|source| CliError::System { what: "listen on 127.0.0.1", source })?;
        let http = connection::http_options(proxy.url(), started.publishable_key, &args.http)?;
        sign_up(&http, &email, &password).await?;
        let server = Server::Lite { proxy: Arc::new(proxy), _process: process };
        Ok(Self { server, http, email, password })
    }

    async fn project(args: &ServerArgs, url: &str) -> Result<Self, CliError> {
        let password = std::env::var("LEVI_PASSWORD").ok().map(SecretString::from);
        let (Some(key), Some(email), Some(password)) = (args.key.clone(), args.email.clone(), password)
        else {
            return Err(CliError::Usage("--server URL needs --key, --email and LEVI_PASSWORD, too"));
        };
        let http = connection::http_options(url.to_owned(), key, &args.http)?;
        match HttpSignIn::new(&http)?.with_password(&email, &password).await {
            Ok(_) => {}
            Err(SignInError::Refused(_)) => sign_up(&http, &email, &password).await?,
            Err(error) => return Err(error.into()),
        }
        Ok(Self { server: Server::Project { url: url.to_owned() }, http, email, password })
    }
}

impl Server {
    /// How the report names it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Fake(_) => "a fake Supabase in this process".to_owned(),
            Self::Lite { .. } => "Supabase Lite on this machine".to_owned(),
            Self::Project { url } => format!("the project at {url}"),
        }
    }

    /// The fake server, if this is it.
    pub(crate) fn fake(&self) -> Option<Arc<FakeSupabase>> {
        match self {
            Self::Fake(server) => Some(Arc::clone(server)),
            _ => None,
        }
    }

    /// Where the demo looks for plaintext.
    pub(crate) const fn looked_in(&self) -> &'static str {
        match self {
            Self::Fake(_) => "in every byte that arrived",
            _ => "in the stored rows",
        }
    }

    /// An outage of this server; `None` if the demo must not disturb it.
    pub(crate) fn outage(&self, length: Duration) -> Option<Outage> {
        match self {
            Self::Fake(server) => Some(Box::pin(outage::of_fake_supabase(Arc::clone(server), length))),
            Self::Lite { proxy, .. } => Some(Box::pin(outage::of_proxy(Arc::clone(proxy), length))),
            Self::Project { .. } => None,
        }
    }
}
