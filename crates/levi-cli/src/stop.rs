//! Requests to stop: SIGINT (Ctrl-C), SIGTERM, and a reader of stdout that is gone. Only commands that
//! go on until they are stopped listen for them. All others are ended by the signal itself, at any
//! moment, which loses nothing.

#[cfg(unix)]
pub(crate) use self::unix::{Stop, output_closed};

use crate::exit::Exit;

/// Who asks a command to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGINT, which Ctrl-C sends.
    Interrupt,
    /// SIGTERM, which service managers send.
    Terminate,
}

impl From<Signal> for Exit {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Interrupt => Self::Interrupted,
            Signal::Terminate => Self::Terminated,
        }
    }
}

#[cfg(unix)]
mod unix {
    use std::io;
    use std::os::fd::AsFd as _;

    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use tokio::io::Interest;
    use tokio::net::unix::pipe;
    use tokio::sync::watch;

    use super::Signal;
    use crate::error::CliError;
    use crate::exit::Exit;

    /// Listens for signals from its creation on. A second signal ends the process at once.
    #[derive(Clone, Debug)]
    pub(crate) struct Stop(watch::Receiver<Option<Signal>>);

    impl Stop {
        pub(crate) fn listen() -> Result<Self, CliError> {
            let fail = |source| CliError::System { what: "listen for signals", source };
            let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(fail)?;
            let (sender, receiver) = watch::channel(None);
            let listen = move || {
                for number in signals.forever() {
                    let signal = if number == SIGINT { Signal::Interrupt } else { Signal::Terminate };
                    if sender.borrow().is_some() {
                        std::process::exit(Exit::from(signal).code().into());
                    }
                    // Without a receiver, the command is about to end by itself.
                    let _ = sender.send(Some(signal));
                }
            };
            std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map_err(fail)?;
            Ok(Self(receiver))
        }

        /// The first signal, if there was one.
        pub(crate) fn signal(&self) -> Option<Signal> {
            *self.0.borrow()
        }

        /// Waits for the first signal.
        pub(crate) async fn requested(&mut self) -> Signal {
            match self.0.wait_for(Option::is_some).await.map(|signal| *signal) {
                Ok(Some(signal)) => signal,
                // The thread that listens never ends.
                _ => std::future::pending().await,
            }
        }
    }

    /// Waits until nobody can read stdout any more, as after `levi pull --follow | head -1`.
    pub(crate) async fn output_closed() {
        if wait_for_error().await.is_err() {
            // A file is never closed by a reader, and the system refuses to wait for that.
            std::future::pending::<()>().await;
        }
    }

    async fn wait_for_error() -> io::Result<()> {
        let output = io::stdout().as_fd().try_clone_to_owned()?;
        // Unchecked, because checking makes the pipe non-blocking for everybody who writes to it.
        pipe::Sender::from_owned_fd_unchecked(output)?.ready(Interest::ERROR).await.map(drop)
    }
}

/// Where there are no signals, Ctrl-C ends the process.
#[cfg(not(unix))]
#[derive(Clone, Debug)]
pub(crate) struct Stop;

#[cfg(not(unix))]
impl Stop {
    pub(crate) fn listen() -> Result<Self, crate::error::CliError> {
        Ok(Self)
    }

    pub(crate) fn signal(&self) -> Option<Signal> {
        None
    }

    pub(crate) async fn requested(&mut self) -> Signal {
        std::future::pending().await
    }
}

#[cfg(not(unix))]
pub(crate) async fn output_closed() {
    std::future::pending().await
}
