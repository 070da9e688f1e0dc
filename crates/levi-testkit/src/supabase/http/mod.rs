//! As much of HTTP/1.1 as a fake Supabase needs, with every byte under control.

mod read;
mod response;

pub(crate) use read::{ReadEnd, Reader, Request};
pub(crate) use response::Response;
