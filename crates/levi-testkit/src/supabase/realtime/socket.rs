//! One WebSocket: a thread that reads, which is the connection's, and one that writes.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role as Side;
use tungstenite::{Message as Frame, WebSocket};

use super::RealtimeFault;
use super::channel::{Binding, Channel};
use super::message::{Message, Version};
use crate::supabase::auth::Bearer;
use crate::supabase::http::{Request, Response};
use crate::supabase::lock;
use crate::supabase::server::Server;
use crate::supabase::value::Uuid;

/// A text for the client, and when it was made.
pub(super) struct Outgoing {
    text: String,
    at: Instant,
}

impl Outgoing {
    pub(super) fn now(text: String) -> Self {
        Self { text, at: Instant::now() }
    }
}

/// Serves a WebSocket until either side ends it. Returns what to answer instead, if it is refused.
pub(crate) fn serve(server: &Server, number: u64, stream: &TcpStream, request: &Request) -> Option<Response> {
    if let Err(refusal) = server.keys.check(request) {
        return Some(refusal);
    }
    let (Some(key), Some(version)) = (request.header("sec-websocket-key"), Version::of(request.query()))
    else {
        return Some(Response::empty(400));
    };
    let accepted = Response::empty(101)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Accept", derive_accept_key(key.as_bytes()));
    let mut head = accepted.head();
    head.extend_from_slice(b"\r\n");
    let writing = Mutex::new(());
    let half = Half { stream, writing: &writing };
    server.record.answering(number, 101);
    server.record.realtime(|stats| stats.sockets += 1);
    let kept = stream.try_clone().ok()?;
    lock(&server.realtime.sockets).insert(number, kept);
    let (out, texts) = channel();
    let session = Session { server, number, version, out };
    std::thread::scope(|scope| {
        let began = std::thread::Builder::new().name("fake-supabase push".to_owned());
        let pushes = began.spawn_scoped(scope, move || push(server, half, &texts));
        let sent = { half }.write_all(&head);
        if pushes.is_ok() && sent.is_ok() {
            session.run(half);
        } else {
            drop(session);
        }
        // The last senders, so that the other thread ends.
        lock(&server.realtime.channels).retain(|(socket, _), _| *socket != number);
    });
    lock(&server.realtime.sockets).remove(&number);
    None
}

/// Writes what is pushed, each as much later as an answer would come.
fn push(server: &Server, mut half: Half<'_>, texts: &Receiver<Outgoing>) {
    for Outgoing { text, at } in texts {
        let left = server.faults.present_latency().saturating_sub(at.elapsed());
        if !left.is_zero() {
            server.ending.wait(left, || false);
        }
        if half.write_all(&frame(text.as_bytes())).is_err() {
            return;
        }
    }
}

/// One unmasked text frame.
fn frame(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length @ ..=125), _) => frame.push(length),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((text.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(text);
    frame
}

/// The connection, for one of the two threads. A write is whole before the next one begins.
#[derive(Clone, Copy)]
struct Half<'a> {
    stream: &'a TcpStream,
    writing: &'a Mutex<()>,
}

impl Read for Half<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        (&mut &*self.stream).read(into)
    }
}

/// How long a client may not read.
const PATIENCE: Duration = Duration::from_secs(10);

impl Write for Half<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _guard = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut left, began) = (bytes, Instant::now());
        while !left.is_empty() {
            match (&mut &*self.stream).write(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => left = &left[written..],
                // The stream has a short timeout for writes.
                Err(error) if is_passing(&error) && began.elapsed() < PATIENCE => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// Who a token stands for.
enum Who {
    Anon,
    User(Uuid),
}

/// The socket's side that reads.
struct Session<'a> {
    server: &'a Server,
    number: u64,
    version: Version,
    out: Sender<Outgoing>,
}

/// Whether the socket stays open.
#[derive(PartialEq, Eq)]
enum Then {
    Stay,
    Drop,
}

impl Session<'_> {
    fn run(self, half: Half<'_>) {
        let mut socket = WebSocket::from_raw_socket(half, Side::Server, None);
        loop {
            let then = match socket.read() {
                Ok(Frame::Text(text)) => match Message::parse(self.version, text.as_str()) {
                    Some(message) => self.handle(&message),
                    None => Then::Stay,
                },
                Ok(Frame::Close(_)) => {
                    // Writes the answer to the close.
                    let _ = socket.flush();
                    Then::Drop
                }
                Ok(_) => Then::Stay,
                Err(_) => Then::Drop,
            };
            if then == Then::Drop {
                return;
            }
        }
    }

    fn handle(&self, message: &Message) -> Then {
        let fault = self.server.realtime.fault();
        match (message.topic.as_str(), message.event.as_str()) {
            ("phoenix", "heartbeat") => {
                self.server.record.realtime(|stats| stats.heartbeats += 1);
                self.server.realtime.end_expired(self.server);
                if fault != Some(RealtimeFault::IgnoresHeartbeats) {
                    self.send(&message.reply("ok", &json!({})));
                }
            }
            (_, "phx_join") => return self.join(message, fault),
            (_, "access_token") => self.token(message),
            (_, "phx_leave") => {
                lock(&self.server.realtime.channels).remove(&(self.number, message.topic.clone()));
                self.send(&message.reply("ok", &json!({})));
                self.send(&Message { event: "phx_close".to_owned(), payload: json!({}), ..message.clone() });
            }
            _ => self.send(&message.reply("ok", &json!({}))),
        }
        Then::Stay
    }

    fn join(&self, message: &Message, fault: Option<RealtimeFault>) -> Then {
        let token = message.payload["access_token"].as_str().unwrap_or(&self.server.keys.publishable);
        let who = match (self.who(token), fault) {
            (_, Some(RealtimeFault::IgnoresJoins)) => return Then::Stay,
            (_, Some(RealtimeFault::RefusesJoins)) => Err("RealtimeDisabledForTenant"),
            (who, _) => who,
        };
        let who = match who {
            Ok(who) => who,
            Err(reason) => {
                self.server.record.realtime(|stats| stats.refused += 1);
                self.send(&message.reply("error", &json!({ "reason": reason })));
                return Then::Stay;
            }
        };
        self.subscribe(message, token, who, fault)
    }

    /// Accepts a join.
    fn subscribe(&self, message: &Message, token: &str, who: Who, fault: Option<RealtimeFault>) -> Then {
        let asked = asked(message);
        let parsed: Vec<Option<(Binding, Value)>> =
            (1..).zip(asked).map(|(id, config)| Binding::parse(id, config)).collect();
        let all_known = parsed.iter().all(Option::is_some);
        let (bindings, answers): (Vec<Binding>, Vec<Value>) = parsed.into_iter().flatten().unzip();
        let channel = Channel {
            version: self.version,
            out: self.out.clone(),
            topic: message.topic.clone(),
            join_ref: message.reference.clone(),
            token: token.to_owned(),
            user: match who {
                Who::Anon => None,
                Who::User(user) => Some(user),
            },
            bindings,
        };
        self.send(&message.reply("ok", &json!({ "postgres_changes": answers })));
        if fault == Some(RealtimeFault::DropsAfterJoin) {
            self.server.record.realtime(|stats| stats.joins += 1);
            return Then::Drop;
        }
        let confirmed = match fault {
            _ if asked.is_empty() => None,
            Some(RealtimeFault::NeverConfirms) => None,
            Some(RealtimeFault::NotInPublication) => Some(("error", UNABLE)),
            _ if !all_known => Some(("error", UNABLE)),
            _ => Some(("ok", "Subscribed to PostgreSQL")),
        };
        let mut channels = lock(&self.server.realtime.channels);
        if let Some((status, text)) = confirmed {
            channel.system("postgres_changes", status, text);
        }
        channels.insert((self.number, message.topic.clone()), channel);
        drop(channels);
        // Last, so that who waits for it finds the channel.
        self.server.record.realtime(|stats| stats.joins += 1);
        Then::Stay
    }

    /// As the server does: a token that is not valid ends the channel.
    fn token(&self, message: &Message) {
        let Some(token) = message.payload["access_token"].as_str() else { return };
        let who = self.who(token);
        let mut channels = lock(&self.server.realtime.channels);
        let id = (self.number, message.topic.clone());
        let Some(channel) = channels.get_mut(&id) else { return };
        match who {
            Ok(Who::User(user)) => {
                (channel.user, channel.token) = (Some(user), token.to_owned());
                self.server.record.realtime(|stats| stats.tokens += 1);
            }
            Ok(Who::Anon) => channel.user = None,
            Err(reason) => {
                channel.end_for(reason);
                channels.remove(&id);
            }
        }
    }

    fn who(&self, token: &str) -> Result<Who, &'static str> {
        if token == self.server.keys.publishable {
            return Ok(Who::Anon);
        }
        let now = self.server.clock.now().wall.as_millis();
        match lock(&self.server.auth).bearer(token, now) {
            Bearer::Valid(user) => Ok(Who::User(user)),
            Bearer::Expired => Err("InvalidJWTToken: Token has expired"),
            Bearer::Unknown => Err("InvalidJWTToken: Invalid token"),
        }
    }

    fn send(&self, message: &Message) {
        // The socket has ended if this fails.
        let _ = self.out.send(Outgoing::now(message.to_text(self.version)));
    }
}

/// The changes that a join subscribes to.
fn asked(join: &Message) -> &[Value] {
    join.payload["config"]["postgres_changes"].as_array().map_or(&[], Vec::as_slice)
}

const UNABLE: &str = "Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given \
                      connect parameters";
