//! `levi verify`: digits that are equal on all devices that have seen the same list.

use levi::DeviceListState;
use serde::Serialize;

use super::Here;
use super::opened::Opened;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;

#[derive(Serialize)]
struct Verified {
    digits: String,
}

pub(super) async fn run(here: &Here, console: Console) -> Result<Exit, CliError> {
    let opened = Opened::new(here).await?;
    let state = opened.admin.state().await?;
    let digits = match opened.admin.verify_code().await {
        Ok(code) => code.to_string(),
        Err(error) => return Err(problem(state).unwrap_or_else(|| error.into())),
    };
    console.json(&Verified { digits: digits.clone() })?;
    console.say(digits)?;
    console.say(
        "\nRun `levi verify` on your other devices. If all show these digits, all have seen the same list.",
    )?;
    console.say(
        "If one shows others, run it there again in a minute. If they still differ, somebody shows your",
    )?;
    console.say("different lists: see docs/trust.md.")?;
    problem(state).map_or(Ok(Exit::Done), Err)
}

/// Why nothing is sealed now.
fn problem(state: DeviceListState) -> Option<CliError> {
    match state {
        DeviceListState::Stopped(problem) => Some(levi::core::DeviceListError::from(problem).into()),
        _ => None,
    }
}
