//! Reads of more than one row: by key, in pages whose size follows what the server can answer.
//!
//! Every read of more than one row goes through [`next_page`] or [`read_all`]. The rules are pure
//! ([`PageSize`], [`check_page`] and the private policy); the shell sends what they decide. A
//! server cannot keep a read going forever, because the cursor rises with each page, each page
//! takes a bounded number of requests, and [`read_all`] bounds the rows.

mod check;
mod feed;
mod listing;
mod policy;
mod query;
mod read;
mod size;

pub use check::{BadPage, check_page};
pub use feed::{ChangesOf, ChangesOfSession};
pub use listing::{AllDevicesOf, OwnersBetween, RepositoriesAmong, SecretsAmong, SessionsOf};
pub use query::{DeviceListOf, DevicesOf, MessagesOf, PagedQuery, SecretsFor};
pub use read::{PageSource, PassedOver, RowsPage, next_page, read_all, read_one};
pub use size::{PageSize, SharedPageSize};
