//! The port over HTTPS, with ureq.

mod address;
mod agents;
mod append;
mod early_answer;
mod exchange;
mod failure;
mod headers;
#[cfg(feature = "upgrade")]
mod keep_connection;
mod options;
mod pace;
mod proxy;
mod sign_in;
mod supabase;
mod tcp;
mod tls;
#[cfg(feature = "upgrade")]
mod upgrade;

pub use options::{HttpConfigError, HttpOptions, PlainHttp, ProxyUse, Timeouts};
pub use sign_in::HttpSignIn;
pub use supabase::HttpSupabase;
#[cfg(feature = "upgrade")]
pub use upgrade::{
    ConnectionCloser, PreparedUpgrade, ProjectConnection, ProjectUpgrade, UpgradeError, Upgraded,
};
