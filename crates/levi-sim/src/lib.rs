#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod content;
mod daemon;
mod disk;
mod plan;
mod random;
mod run;
mod server;
mod shrink;
mod truth;
mod world;

pub use plan::{
    DiskFault, Happening, Moment, Nature, Plan, Planned, RefreshEnd, ServerFault, SessionSetup, Setup,
    Standing, StoreKind,
};
pub use random::Random;
pub use run::{Campaign, Failing, Summary, replay, run};
pub use shrink::shrink;
pub use truth::{Arrival, Violation};
pub use world::{Counts, Outcome};
