//! A project with one user, for tests of `Device`.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test that cannot go on stops")]

use levi::DeviceOptions;
use levi_testkit::supabase::FakeSupabase;

pub const EMAIL: &str = "ada@example.org";
pub const PASSWORD: &str = "a long password";

pub fn server() -> FakeSupabase {
    let server = FakeSupabase::start().unwrap();
    server.add_user(EMAIL, PASSWORD).unwrap();
    server
}

pub fn options(server: &FakeSupabase) -> DeviceOptions {
    DeviceOptions::new(server.url(), server.publishable_key())
}
