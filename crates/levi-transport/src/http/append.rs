//! A plain INSERT.

use levi_types::AccessToken;
use ureq::http::Method;
use zeroize::Zeroizing;

use super::exchange::{Call, JSON};
use super::supabase::HttpSupabase;
use crate::api_error::ApiError;
use crate::supabase::Upsert;

impl HttpSupabase {
    /// Inserts rows that merge with nothing: all of them, or none. If the key of one is taken, the
    /// code is 23505. For [`Table::DeviceList`](crate::Table::DeviceList), which is append-only.
    ///
    /// # Errors
    /// [`ApiError`]. After [`Verdict::Unreachable`](crate::Verdict::Unreachable) the rows may have
    /// been written.
    pub async fn append(&self, token: &AccessToken, rows: Upsert) -> Result<(), ApiError> {
        let Upsert { table, columns, body } = rows;
        let call = Call {
            method: Method::POST,
            path: format!("/rest/v1/{}?columns={columns}", table.name()),
            bearer: Some(self.exchange.bearer(token)?),
            prefer: Some("return=minimal"),
            body: Some(Zeroizing::new(body)),
            accept: JSON,
        };
        self.exchange.run(call).await?.classify()
    }
}
