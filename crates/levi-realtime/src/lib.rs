#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod frame;
mod machine;
mod notifier;
mod socket;
mod thread;

pub use notifier::Realtime;
