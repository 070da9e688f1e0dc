//! A WebSocket over a connection to the project.
//!
//! This module sends frames and the upgrade request itself and not through tungstenite, because
//! tungstenite logs both, and they contain the user's token and a gateway's key.

use std::io::Write as _;
use std::time::Instant;

use levi_core::PollingReason;
use levi_transport::{PreparedUpgrade, ProjectConnection, UpgradeError};
use levi_types::SecretString;
use rand::rand_core::TryRng as _;
use rand::rngs::SysRng;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};
use zeroize::Zeroizing;

use crate::machine::NotConnected;

/// The largest message that is read, in bytes. Realtime cuts a row off at 1 MiB, and its envelope
/// and columns come on top.
const MOST: usize = 2 << 20;
const BUFFER: usize = 8 << 10;

/// The key of one handshake, and what the server has to answer.
pub(crate) struct Handshake {
    pub(crate) key: String,
}

impl Handshake {
    pub(crate) fn new() -> Self {
        Self { key: generate_key() }
    }

    pub(crate) fn headers(&self) -> [(&str, &str); 4] {
        [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", &self.key),
        ]
    }
}

/// An open WebSocket.
pub(crate) struct Socket(WebSocket<ProjectConnection>);

/// The result of a read.
pub(crate) enum Received {
    Text(String),
    /// Nothing yet, or nothing that matters.
    Nothing,
}

impl Socket {
    /// Connects. Blocks.
    pub(crate) fn open(upgrade: PreparedUpgrade, handshake: &Handshake) -> Result<Self, NotConnected> {
        let upgraded = upgrade.connect().map_err(not_connected)?;
        let accepts = upgraded.header("sec-websocket-accept");
        if accepts != Some(&derive_accept_key(handshake.key.as_bytes())) {
            // The server answered 101, but not for a WebSocket.
            return Err(NotConnected { reason: PollingReason::BadData, retry_after: None });
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(BUFFER)
            .max_message_size(Some(MOST))
            .max_frame_size(Some(MOST));
        let (connection, received) = (upgraded.connection, upgraded.received);
        Ok(Self(WebSocket::from_partially_read(connection, received, Role::Client, Some(config))))
    }

    pub(crate) fn send(&mut self, text: &SecretString) -> Result<(), PollingReason> {
        let mut mask = [0; 4];
        // The mask only keeps proxies from mistaking the text for HTTP. JSON in TLS is not in that
        // danger, so a failure is ignored.
        let _ = SysRng.try_fill_bytes(&mut mask);
        // Exposed to be sent.
        let frame = text_frame(text.expose().as_bytes(), mask);
        let connection = self.0.get_mut();
        connection.write_all(&frame).and_then(|()| connection.flush()).map_err(|_| PollingReason::Dropped)
    }

    /// Waits for a message, at most until `deadline`.
    pub(crate) fn receive(&mut self, deadline: Instant) -> Result<Received, PollingReason> {
        self.0.get_mut().read_until(deadline);
        match self.0.read() {
            Ok(Message::Text(text)) => Ok(Received::Text(text.as_str().to_owned())),
            Ok(_) => Ok(Received::Nothing),
            Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(Received::Nothing),
            Err(Error::Io(_) | Error::ConnectionClosed | Error::AlreadyClosed) => Err(PollingReason::Dropped),
            Err(Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
                Err(PollingReason::Dropped)
            }
            Err(_) => Err(PollingReason::BadData),
        }
    }
}

fn not_connected(error: UpgradeError) -> NotConnected {
    match error {
        UpgradeError::Refused { status, retry_after } => {
            NotConnected { reason: PollingReason::NotOffered { status }, retry_after }
        }
        UpgradeError::Unreachable(error) => {
            NotConnected { reason: PollingReason::Unreachable { code: error.code }, retry_after: None }
        }
        _ => NotConnected { reason: PollingReason::Dropped, retry_after: None },
    }
}

/// One unfragmented text frame of a client (RFC 6455, section 5.2).
fn text_frame(text: &[u8], mask: [u8; 4]) -> Zeroizing<Vec<u8>> {
    const FINAL_TEXT: u8 = 0x81;
    const MASKED: u8 = 0x80;
    // Reserved at once: a vector that grows leaves a copy of the token behind.
    let mut frame = Zeroizing::new(Vec::with_capacity(text.len() + 14));
    frame.push(FINAL_TEXT);
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length @ ..=125), _) => frame.push(MASKED | length),
        (_, Ok(length)) => {
            frame.push(MASKED | 126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(MASKED | 127);
            frame.extend((text.len() as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(text.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// Read by the server of another implementation.
    #[test]
    fn frames_of_every_length_are_read_as_they_were_written() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 200_000] {
            let text = "é".repeat(length / 2) + &"x".repeat(length % 2);
            let frame = text_frame(text.as_bytes(), [1, 2, 3, 250]);
            let mut server = WebSocket::from_raw_socket(Cursor::new(frame.to_vec()), Role::Server, None);
            assert_eq!(server.read().unwrap(), Message::text(text), "{length}");
        }
    }
}
