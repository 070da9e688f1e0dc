//! HTTP/1.1, as far as a fake Supabase needs it, with control over every byte.

mod read;
mod response;

pub(crate) use read::{ReadEnd, Reader, Request};
pub(crate) use response::Response;
