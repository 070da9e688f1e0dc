//! What a reader does when the server's numbers end before its cursor.

use levi_transport::rows::{ChangePlace, decode_rows};
use levi_transport::{ChangesOf, PagedQuery as _, Select};

use super::{Feed, no_feed};
use crate::reader::ReadError;

/// Rows that one request looks at.
const ROWS: u32 = 1000;

/// The most requests. Beyond it the reader begins again, because a server that lies must not keep it
/// here for ever.
const MOST_REQUESTS: usize = 1000;

impl Feed<'_> {
    /// Goes back if the cursor is past the last change that there is.
    ///
    /// Either the last messages were deleted, or the project was restored from a backup, and goes on
    /// with lower numbers than it had. Then what was written since the restore lies below the
    /// cursor, and the reader goes back to before it.
    pub(super) async fn go_back(&mut self) -> Result<(), ReadError> {
        let Some(position) = self.cursor.position else { return Ok(()) };
        let body = self.reads.read_one(Select::last_change(self.user, self.only)).await.map_err(no_feed)?;
        let Some(last) = ChangesOf::keys(&body)?.into_iter().next() else {
            self.cursor.go_back_to(None);
            return Ok(());
        };
        if last < position {
            let before_news = self.before_news(last).await?;
            tracing::debug!(position, last, ?before_news, "the change feed ends before the cursor");
            self.cursor.go_back_to(before_news);
        }
        Ok(())
    }

    /// The change before those at the end that were never delivered. `None`: the beginning.
    ///
    /// Looks from the end backwards, until a whole answer holds only what was delivered.
    async fn before_news(&self, last: i64) -> Result<Option<i64>, ReadError> {
        let (mut before, mut up_to) = (last, last);
        for _ in 0..MOST_REQUESTS {
            let query = Select::last_places(self.user, self.only, up_to, ROWS);
            let mut places: Vec<ChangePlace> = decode_rows(&self.reads.read_one(query).await?)?;
            places.retain(|place| place.change_id <= up_to);
            let first = places.iter().map(|place| place.change_id).min();
            let news = places.iter().filter(|place| self.cursor.is_news(place));
            let (Some(first), Some(first_news)) = (first, news.map(|place| place.change_id).min()) else {
                return Ok(Some(before));
            };
            (before, up_to) = (first_news.saturating_sub(1), first.saturating_sub(1));
        }
        Ok(None)
    }
}
