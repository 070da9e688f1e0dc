//! The cases in groups.

mod key;
mod owner;
mod parent;
mod read;
mod row;
mod schema;
mod sign_in;
mod token;
mod upsert;

use super::case::Case;

pub(super) fn all() -> Vec<Case> {
    [
        upsert::cases(),
        row::cases(),
        parent::cases(),
        schema::cases(),
        sign_in::cases(),
        token::cases(),
        key::cases(),
        owner::cases(),
        read::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
