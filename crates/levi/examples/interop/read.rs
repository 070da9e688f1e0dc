//! Prints a session that another device wrote.

use std::io::{self, Write as _};

use levi::{Page, SessionId};
use serde::Serialize;

use crate::Outcome;
use crate::device::Device;

/// Messages asked for at once; the server may hand out fewer.
const PAGE: u32 = 500;

#[derive(Serialize)]
struct Line<'a> {
    sequence_number: i64,
    content: &'a str,
}

pub(crate) async fn run(session: &SessionId) -> Outcome {
    let device = Device::sign_in().await?;
    let reader = device.levi.reader(device.id.clone(), device.private_key()?)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut after = None;
    loop {
        let Page { messages, cursor } = reader.pull(session, after, PAGE).await?;
        for message in messages {
            let message = message?;
            let line = Line { sequence_number: message.sequence_number, content: &message.content };
            serde_json::to_writer(&mut out, &line)?;
            out.write_all(b"\n")?;
        }
        // Only an empty page is the end.
        if cursor.is_none() {
            return Ok(out.flush()?);
        }
        after = cursor;
    }
}
