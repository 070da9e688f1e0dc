#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod args;
mod console;
mod demo;
mod device;
mod error;
mod exit;
mod feed;
mod home;
mod ids;
mod ndjson;
mod places;
mod progress;
mod run;
mod settle;
mod text;

pub use exit::Exit;
pub use run::run;
