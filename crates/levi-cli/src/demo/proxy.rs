//! A TCP proxy on loopback that can cut every connection, for a server that the demo cannot stop.

use std::io;
use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) struct Proxy {
    address: SocketAddr,
    cut: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Forwards connections to `upstream`.
    pub(crate) async fn start(upstream: String) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let cut = watch::Sender::new(false);
        let accepting = tokio::spawn(accept(listener, upstream, cut.clone()));
        Ok(Self { address, cut, accepting })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Closes every connection, and each new one as soon as it is accepted.
    pub(crate) fn go_down(&self) {
        self.cut.send_replace(true);
    }

    pub(crate) fn come_up(&self) {
        self.cut.send_replace(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.go_down();
    }
}

async fn accept(listener: TcpListener, upstream: String, cut: watch::Sender<bool>) {
    while let Ok((client, _)) = listener.accept().await {
        let mut cut = cut.subscribe();
        let upstream = upstream.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = cut.wait_for(|cut| *cut) => {}
                _ = forward(client, &upstream) => {}
            }
        });
    }
}

async fn forward(mut client: TcpStream, upstream: &str) -> io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn connections_are_closed_while_it_is_down_and_accepted_once_it_is_up() {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = echo.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = echo.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        let proxy = Proxy::start(upstream).await.unwrap();
        let mut first = TcpStream::connect(proxy.address).await.unwrap();
        let mut byte = [0];
        first.write_all(b"a").await.unwrap();
        first.read_exact(&mut byte).await.unwrap();
        proxy.go_down();
        assert!(!matches!(first.read(&mut byte).await, Ok(1..)), "an open connection is closed");
        let mut refused = TcpStream::connect(proxy.address).await.unwrap();
        assert!(!matches!(refused.read(&mut byte).await, Ok(1..)), "a new one, too");
        proxy.come_up();
        let mut again = TcpStream::connect(proxy.address).await.unwrap();
        again.write_all(b"b").await.unwrap();
        again.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"b");
    }
}
