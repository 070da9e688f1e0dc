//! What a server keeps, for those that do not tell what they saw: the rows themselves, as they lie there.

use levi::{
    HttpSupabase, MessageRow, PulledMessage, RefreshingAuth, Select, SessionId, Supabase as _, decode_rows,
};

use super::devices::Device;
use super::needles::is_telling;
use super::stage::Stage;
use crate::error::CliError;

/// Rows asked for at once; the server may hand out fewer.
const PAGE: u32 = 1000;

pub(crate) struct StoredRows {
    supabase: HttpSupabase,
    auth: RefreshingAuth,
    pub(crate) leaked: u64,
    /// Texts that were looked for.
    pub(crate) looked_at: u64,
}

impl StoredRows {
    pub(crate) fn of(stage: &Stage, device: &Device) -> Result<Self, CliError> {
        let supabase = HttpSupabase::new(&stage.http)?;
        Ok(Self { supabase, auth: device.auth.clone(), leaked: 0, looked_at: 0 })
    }

    /// Looks for the contents of `page` in the rows that the server has past `after`.
    pub(crate) async fn look_for(
        &mut self,
        session: &SessionId,
        after: Option<i64>,
        page: &[PulledMessage],
    ) -> Result<(), CliError> {
        let signed_in = self.auth.current().await?.ok_or(CliError::NotSignedIn)?;
        let select = Select::messages_after(session, after, PAGE);
        let rows: Vec<MessageRow> =
            decode_rows(&self.supabase.select(&signed_in.access_token, select).await?)?;
        for message in page.iter().filter(|message| is_telling(&message.content)) {
            let row = rows.iter().find(|row| row.sequence_number == message.sequence_number);
            self.looked_at += 1;
            self.leaked += u64::from(row.is_some_and(|row| shows(row, &message.content)));
        }
        Ok(())
    }
}

/// Whether the row shows the content: as it is, or under nothing but base64.
fn shows(row: &MessageRow, content: &str) -> bool {
    let decoded = row.ciphertext().unwrap_or_default();
    row.content_encrypted.contains(content) || String::from_utf8_lossy(&decoded).contains(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_shows_its_content_is_noticed() {
        let row = |text: &str| -> MessageRow {
            serde_json::from_value(serde_json::json!({ "sequence_number": 1, "content_encrypted": text }))
                .unwrap()
        };
        assert!(shows(&row("in the clear"), "in the clear"));
        assert!(shows(&row("c29tZSBiYXNlNjQgb25seQ=="), "base64 only"));
        assert!(!shows(&row("bm90IHRoaXMgb25l"), "base64 only"));
    }
}
