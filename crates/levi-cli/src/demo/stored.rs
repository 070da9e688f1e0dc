//! Looks for plaintext in the rows of a server whose traffic the demo cannot scan.

use levi::transport::rows::{MessageRow, decode_rows};
use levi::transport::{Select, Supabase as _};
use levi::{HttpSupabase, PulledMessage, RefreshingAuth, SessionId};

use super::devices::Device;
use super::environment::Environment;
use super::samples::is_unmistakable;
use crate::error::CliError;

/// Rows per request; the server may return fewer.
const PAGE: u32 = 1000;

pub(crate) struct StoredRows {
    supabase: HttpSupabase,
    auth: RefreshingAuth,
    /// Texts that were looked for.
    pub(crate) samples: u64,
    /// How many of them a row shows.
    pub(crate) leaked: u64,
}

impl StoredRows {
    pub(crate) fn of(environment: &Environment, device: &Device) -> Result<Self, CliError> {
        let supabase = HttpSupabase::new(&environment.http)?;
        Ok(Self { supabase, auth: device.auth().clone(), samples: 0, leaked: 0 })
    }

    /// Looks for the contents of `page` in the rows that follow `after`.
    pub(crate) async fn scan(
        &mut self,
        session: &SessionId,
        after: Option<i64>,
        page: &[PulledMessage],
    ) -> Result<(), CliError> {
        let signed_in = self.auth.current().await?.ok_or(CliError::NotSignedIn)?;
        let select = Select::messages_after(session, after, PAGE);
        let rows: Vec<MessageRow> =
            decode_rows(&self.supabase.select(&signed_in.access_token, select).await?)?;
        for message in page.iter().filter(|message| is_unmistakable(&message.content)) {
            let row = rows.iter().find(|row| row.sequence_number == message.sequence_number);
            self.samples += 1;
            self.leaked += u64::from(row.is_some_and(|row| shows(row, &message.content)));
        }
        Ok(())
    }
}

/// Whether the row holds the content, in the clear or in base64.
fn shows(row: &MessageRow, content: &str) -> bool {
    let decoded = row.ciphertext().unwrap_or_default();
    row.content_encrypted.text().contains(content) || String::from_utf8_lossy(&decoded).contains(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_shows_its_content_is_found() {
        let row = |text: &str| -> MessageRow {
            serde_json::from_value(serde_json::json!({ "sequence_number": 1, "content_encrypted": text }))
                .unwrap()
        };
        assert!(shows(&row("in the clear"), "in the clear"));
        assert!(shows(&row("c29tZSBiYXNlNjQgb25seQ=="), "base64 only"));
        assert!(!shows(&row("bm90IHRoaXMgb25l"), "base64 only"));
    }
}
