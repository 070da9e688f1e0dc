//! Realtime through the proxy that the environment names, as every other request.
//!
//! The environment is that of a child process, which runs the ignored test of this file.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod project;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use levi_core::{Notifications, Notifier as _, PollingReason};
use levi_realtime::Realtime;
use levi_transport::{HttpOptions, PlainHttp, user_of_token};
use levi_types::{AccessToken, Auth, AuthError, AuthSession};
use project::{PATIENCE, Project};

/// A name that only a proxy can know.
const HOST: &str = "levi.invalid";

/// Lets one connection through to the server.
type Accepts = fn(&mut TcpStream);

fn http(stream: &mut TcpStream) {
    assert!(read_until(stream, b"\r\n\r\n").starts_with(b"CONNECT levi.invalid:"));
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
}

fn refusing_http(stream: &mut TcpStream) {
    read_until(stream, b"\r\n\r\n");
    stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").unwrap();
}

/// Version 5 without a password, to a name.
fn socks(stream: &mut TcpStream) {
    let mut greeting = [0; 3];
    stream.read_exact(&mut greeting).unwrap();
    stream.write_all(&[5, 0]).unwrap();
    let mut request = [0; 5];
    stream.read_exact(&mut request).unwrap();
    let mut name_and_port = vec![0; usize::from(request[4]) + 2];
    stream.read_exact(&mut name_and_port).unwrap();
    assert!(name_and_port.starts_with(HOST.as_bytes()));
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
}

fn read_until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let (mut read, mut byte) = (Vec::new(), [0]);
    while !read.ends_with(end) {
        stream.read_exact(&mut byte).unwrap();
        read.push(byte[0]);
    }
    read
}

/// A proxy that lets everything through to `server`.
fn proxy(server: String, accepts: Accepts) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            accepts(&mut client);
            let there = TcpStream::connect(&server).unwrap();
            let (back, out) = (there.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || pump(&client, &there));
            std::thread::spawn(move || pump(&back, &out));
        }
    });
    address
}

fn pump(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_through_the_proxy_and_says_if_that_refuses() {
    let project = Project::start();
    let server = project.server.url().replace("http://", "");
    let table: [(&str, Accepts, &str); 3] = [
        ("http", http, "connected"),
        ("socks5h", socks, "connected"),
        ("http", refusing_http, "unreachable"),
    ];
    for (scheme, accepts, state) in table {
        let joins = project.server.stats().realtime.joins;
        let address = proxy(server.clone(), accepts);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["child_behind_a_proxy", "--exact", "--ignored"])
            .env("ALL_PROXY", format!("{scheme}://{address}"))
            .env_remove("HTTP_PROXY")
            .env_remove("http_proxy")
            .env_remove("NO_PROXY")
            .env_remove("no_proxy")
            .env("LEVI_TEST_URL", format!("http://{HOST}:{}", server.rsplit(':').next().unwrap()))
            .env("LEVI_TEST_KEY", project.server.publishable_key())
            .env("LEVI_TEST_TOKEN", project.token().await)
            .env("LEVI_TEST_STATE", state)
            .output()
            .unwrap();
        assert!(child.status.success(), "{scheme}: {}", String::from_utf8_lossy(&child.stdout));
        let joined = project.server.stats().realtime.joins - joins;
        assert_eq!(joined, u64::from(state == "connected"), "{scheme}");
    }
}

struct Token(AccessToken);

#[async_trait]
impl Auth for Token {
    async fn session(&self) -> Result<AuthSession, AuthError> {
        let user_id = user_of_token(&self.0).unwrap();
        Ok(AuthSession { user_id, access_token: self.0.clone() })
    }

    async fn refresh(&self, _: &AccessToken) -> Result<AuthSession, AuthError> {
        Err(AuthError::SignedOut)
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in a child process of the other test, with its environment"]
async fn child_behind_a_proxy() {
    let setting = |name| std::env::var(name).unwrap();
    let mut options = HttpOptions::new(setting("LEVI_TEST_URL"), setting("LEVI_TEST_KEY"));
    options.plain_http = PlainHttp::Anywhere;
    let auth = Arc::new(Token(setting("LEVI_TEST_TOKEN").into()));
    let realtime = Realtime::new(&options, auth).unwrap();
    let expected = match setting("LEVI_TEST_STATE").as_str() {
        "connected" => Notifications::Connected,
        _ => Notifications::Polling(PollingReason::Unreachable { code: "connect".to_owned() }),
    };
    let reached = async {
        while realtime.state() != expected {
            realtime.changed().await;
        }
    };
    let over = tokio::time::timeout(PATIENCE, reached).await;
    assert!(over.is_ok(), "{expected:?} does not come, but {:?}", realtime.state());
}
