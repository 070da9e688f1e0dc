#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod child;
pub mod content;
pub mod crash;
pub mod flood;
pub mod hold;
pub mod memory;
pub mod scene;

/// Why a run could not go on. What a run finds is no trouble but a finding.
pub type Trouble = Box<dyn std::error::Error + Send + Sync>;
