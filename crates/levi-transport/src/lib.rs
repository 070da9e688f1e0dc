#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod api_error;
mod auth;
mod classify;
mod clock;
mod feed_query;
#[cfg(feature = "http")]
mod http;
mod json;
mod paging;
mod query;
pub mod rows;
mod sign_in;
mod sign_up;
mod supabase;
mod table;
mod update_query;

pub use api_error::{ApiError, Verdict};
#[cfg(feature = "http")]
pub use auth::{RefreshingAuth, TokenError};
pub use auth::{SignInPace, StoredAuth, WaitLeft, expiry_of_token, user_of_token};
pub use classify::{ResponseHead, classify, classify_sign_in, offenders};
pub use clock::SystemClock;
#[cfg(feature = "upgrade")]
pub use http::{
    ConnectionCloser, PreparedUpgrade, ProjectConnection, ProjectUpgrade, UpgradeError, Upgraded,
};
#[cfg(feature = "http")]
pub use http::{HttpConfigError, HttpOptions, HttpSignIn, HttpSupabase, PlainHttp, ProxyUse, Timeouts};
pub use paging::{
    AllDevicesOf, BadPage, ChangesOf, ChangesOfSession, DeviceListOf, DevicesOf, MessagesOf, OwnersBetween,
    PageSize, PageSource, PagedQuery, PassedOver, RepositoriesAmong, RowsPage, SecretsAmong, SecretsFor,
    SessionsOf, SharedPageSize, check_page, next_page, read_all, read_one,
};
#[cfg(feature = "mock")]
pub use sign_in::MockSignIn;
pub use sign_in::{SignIn, SignInError, Tokens};
pub use sign_up::{SignUpError, SignedUp};
#[cfg(feature = "mock")]
pub use supabase::MockSupabase;
pub use supabase::{Select, Supabase, Update, Upsert};
pub use table::Table;
