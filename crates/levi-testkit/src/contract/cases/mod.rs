//! The cases in groups.

mod bounds;
mod change_feed;
mod device_list;
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
        change_feed::cases(),
        device_list::cases(),
        bounds::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
