//! `levi verify`: digits that are equal on all devices that have seen the same list.

use std::num::NonZeroUsize;

use levi::DeviceListState;
use serde::Serialize;

use super::Here;
use super::opened::Opened;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::text::plural;

const WHAT_TO_DO: &str = "
Run `levi verify` on your other devices. If all show these digits, all have seen the same list. If
one shows others, run it there again in a minute. If they still differ, your devices are shown
different lists: see docs/trust.md.";

#[derive(Serialize)]
struct Verified {
    digits: String,
    /// The members whose keyrings somebody had overwritten. They are written again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mended_keyrings: Vec<String>,
    /// Sessions whose envelope for the recovery key was missing or altered. They are written again.
    #[serde(skip_serializing_if = "Option::is_none")]
    mended_envelopes: Option<NonZeroUsize>,
}

pub(super) async fn run(here: &Here, console: Console) -> Result<Exit, CliError> {
    let opened = Opened::new(here).await?;
    let state = opened.admin.state().await?;
    let digits = match opened.admin.verify_code().await {
        Ok(code) => code.to_string(),
        Err(error) => return Err(problem(state).unwrap_or_else(|| error.into())),
    };
    let problem = problem(state);
    let (mended_keyrings, written) = match problem {
        None => (opened.admin.mend_keyrings().await?, opened.mend_envelopes().await?),
        Some(_) => Default::default(),
    };
    let mended_envelopes = written.mended.len();
    let mended = mended_keyrings.join(", ");
    let envelopes = NonZeroUsize::new(mended_envelopes);
    console.json(&Verified { digits: digits.clone(), mended_keyrings, mended_envelopes: envelopes })?;
    console.say(digits)?;
    console.say(WHAT_TO_DO)?;
    if !mended.is_empty() {
        console.say(format!(
            "\nSomebody with a token of yours had overwritten keyrings on the server; they are written again: {mended}. \
             See docs/trust.md, \"What to do\"."
        ))?;
    }
    if mended_envelopes > 0 {
        console.say(format!(
            "\nThe recovery key's envelopes of {} were missing or altered; they are written again. If nothing was \
             interrupted, see docs/trust.md, \"What to do\".",
            plural(mended_envelopes as u64, "session")
        ))?;
    }
    problem.map_or(Ok(Exit::Done), Err)
}

/// Why nothing is sealed now.
fn problem(state: DeviceListState) -> Option<CliError> {
    match state {
        DeviceListState::Stopped(problem) => Some(levi::core::DeviceListError::from(problem).into()),
        _ => None,
    }
}
