//! The example that the documentation points to does what it says.
#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub, reason = "an example, run as a test")]

#[path = "../examples/daemon.rs"]
mod daemon;

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_in_one_file_writes_on_one_device_and_reads_on_the_other() {
    assert_eq!(daemon::run().await.unwrap(), 120);
}
