use crate::api_error::{ApiError, Verdict};

/// How a page contradicts its request. A server that does not filter, sort or limit is not read
/// further, because no cursor can be trusted to come to an end there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPage {
    /// More rows than the request's `limit`.
    #[error("the server returned more rows than asked for")]
    TooMany,
    /// The first row is not past the cursor.
    #[error("the server returned rows that are not past the cursor")]
    NotPastTheCursor,
    /// A row does not follow the one before it, or is there twice.
    #[error("the server returned rows that are not in order")]
    OutOfOrder,
}

/// Checks that the keys of a page rise, lie past `after`, and are at most `limit`.
///
/// ```
/// use levi_transport::{BadPage, check_page};
///
/// assert_eq!(check_page(&[3, 4, 9], Some(&2), 3), Ok(()));
/// assert_eq!(check_page(&[2, 3], Some(&2), 3), Err(BadPage::NotPastTheCursor));
/// assert_eq!(check_page(&[3, 3], Some(&2), 3), Err(BadPage::OutOfOrder));
/// ```
///
/// # Errors
/// [`BadPage`]
pub fn check_page<K: Ord>(keys: &[K], after: Option<&K>, limit: u32) -> Result<(), BadPage> {
    if keys.len() as u64 > u64::from(limit) {
        return Err(BadPage::TooMany);
    }
    if keys.first().zip(after).is_some_and(|(first, after)| first <= after) {
        return Err(BadPage::NotPastTheCursor);
    }
    if keys.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(BadPage::OutOfOrder);
    }
    Ok(())
}

impl From<BadPage> for ApiError {
    fn from(bad: BadPage) -> Self {
        Self::new(Verdict::Unexpected, "bad_page", bad.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_page_passes_only_if_the_cursor_rises_with_every_row(
            keys in prop::collection::vec(0_i64..20, 0..6),
            after in prop::option::of(0_i64..20),
            limit in 0_u32..6,
        ) {
            let path: Vec<i64> = after.into_iter().chain(keys.iter().copied()).collect();
            let rises = path.windows(2).all(|pair| pair[0] < pair[1]);
            let fits = keys.len() as u64 <= u64::from(limit);
            prop_assert_eq!(check_page(&keys, after.as_ref(), limit).is_ok(), rises && fits);
        }
    }
}
