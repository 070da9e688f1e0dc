//! The faults of the server during the life of one child.

use std::time::Duration;

use levi_testkit::fixtures::SeededRandom;
use levi_testkit::supabase::{Canned, FakeSupabase, Fault, Scope, Times};

use crate::Error;

/// Replaces every planned fault: a few of any kind, some latency, and sometimes no server at all.
pub(super) fn plan(server: &FakeSupabase, random: &mut SeededRandom) -> Result<(), Error> {
    clear(server)?;
    let faults = server.faults();
    for _ in 0..random.below(6) {
        let scope = if random.below(5) == 0 { Scope::auth() } else { Scope::rest() };
        faults.plan(scope, Times::Next(1 + random.below(3)), fault(random));
    }
    if random.below(3) == 0 {
        faults.reset_in_request(random.below(4_000));
    }
    faults.latency(Duration::from_micros(random.below(5_000)));
    if random.below(6) == 0 {
        server.go_down();
    }
    Ok(())
}

/// Removes every fault, releases stalled requests and opens the port.
pub(super) fn clear(server: &FakeSupabase) -> Result<(), Error> {
    server.faults().clear();
    server.faults().release();
    Ok(server.come_up()?)
}

fn fault(random: &mut SeededRandom) -> Fault {
    let bytes = usize::try_from(random.below(200)).unwrap_or(0);
    match random.below(11) {
        0 => Fault::ResetBeforeWrite,
        1 => Fault::ResetAfterWrite,
        2 => Fault::Answer(Canned::error(503, "53300", "sorry, too many clients already")),
        3 => Fault::Answer(Canned::error(500, "57014", "canceling statement due to statement timeout")),
        4 => Fault::AnswerAfterWrite(Canned::bad_gateway_page()),
        5 => Fault::ResetInAnswer { after_bytes: bytes },
        6 => Fault::Truncated { after_bytes: bytes },
        7 => Fault::Garbage(b"\0\x01\x02 this is not HTTP".to_vec()),
        8 => Fault::StallBeforeWrite,
        9 => Fault::StallAfterWrite,
        _ => Fault::Delay(Duration::from_millis(random.below(30))),
    }
}
