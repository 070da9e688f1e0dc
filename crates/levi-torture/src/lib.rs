#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod child;
pub mod content;
pub mod crash;
pub mod damage;
pub mod environment;
pub mod flood;
pub mod hold;
pub mod memory;

/// Why a run could not be carried out. Broken promises are findings, not errors.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
