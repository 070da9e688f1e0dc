#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod content;
mod daemon;
mod disk;
mod model;
mod plan;
mod random;
mod readers;
mod rows;
mod run;
mod sender;
mod served;
mod server;
mod shrink;
mod sign_in;
mod simulation;
mod tables;

pub use model::{Arrival, Violation};
pub use plan::{
    DiskFault, MessageKind, Moment, OwnRule, Plan, RefreshEnd, ScheduledEvent, ServerFault, SessionSetup,
    SessionState, Setup, SignInFault, SimEvent, StoreKind,
};
pub use random::Random;
pub use run::{Campaign, Failing, Summary, Worlds, replay, run, run_device_lists};
pub use shrink::shrink;
pub use simulation::{Counts, Outcome};
