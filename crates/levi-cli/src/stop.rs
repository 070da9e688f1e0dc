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

/// What a command does when it is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It ends. If it cannot, because nobody reads its output, the process ends all the same.
    AtOnce,
    /// It finishes what it has begun, however long that takes.
    Finished,
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use tokio::io::Interest;
    use tokio::net::unix::pipe;
    use tokio::sync::watch;

    use super::{Ending, Signal};
    use crate::error::CliError;
    use crate::exit::Exit;
    use crate::run::LAST_WORK;

    /// How long a command may take to see a signal. It looks between two lines of output, so if it has not by
    /// then, nobody reads what it writes.
    const TO_SEE: Duration = Duration::from_millis(300);

    /// How long it may take to end then, what still runs at its end included.
    const TO_END: Duration = LAST_WORK.saturating_add(Duration::from_secs(1));

    /// Listens for signals from its creation on. A second signal ends the process at once.
    #[derive(Clone, Debug)]
    pub(crate) struct Stop {
        signal: watch::Receiver<Option<Signal>>,
        /// Whether the command knows of the signal.
        seen: Arc<AtomicBool>,
    }

    impl Stop {
        pub(crate) fn listen(ending: Ending) -> Result<Self, CliError> {
            let fail = |source| CliError::System { what: "listen for signals", source };
            let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(fail)?;
            let (sender, receiver) = watch::channel(None);
            let stop = Self { signal: receiver, seen: Arc::default() };
            let seen = Arc::clone(&stop.seen);
            let listen = move || {
                for number in signals.forever() {
                    let signal = if number == SIGINT { Signal::Interrupt } else { Signal::Terminate };
                    if sender.borrow().is_some() {
                        end(signal);
                    }
                    // Without a receiver, the command is about to end by itself.
                    let _ = sender.send(Some(signal));
                    if ending == Ending::AtOnce {
                        end_soon(signal, Arc::clone(&seen));
                    }
                }
            };
            thread::Builder::new().name("signals".to_owned()).spawn(listen).map_err(fail)?;
            Ok(stop)
        }

        /// The first signal, if there was one.
        pub(crate) fn signal(&self) -> Option<Signal> {
            let signal = *self.signal.borrow();
            self.seen.fetch_or(signal.is_some(), Ordering::Relaxed);
            signal
        }

        /// Waits for the first signal.
        pub(crate) async fn requested(&mut self) -> Signal {
            match self.signal.wait_for(Option::is_some).await.map(|signal| *signal) {
                Ok(Some(signal)) => {
                    self.seen.store(true, Ordering::Relaxed);
                    signal
                }
                // The thread that listens never ends.
                _ => std::future::pending().await,
            }
        }
    }

    /// Ends the process soon if the command does not end by itself. A write that waits for the reader of a pipe or of a
    /// terminal cannot be given up, so the command cannot see the signal, or cannot clean up its screen.
    fn end_soon(signal: Signal, seen: Arc<AtomicBool>) {
        let watch = move || {
            thread::sleep(TO_SEE);
            if seen.load(Ordering::Relaxed) {
                thread::sleep(TO_END);
            }
            end(signal);
        };
        if thread::Builder::new().name("ending".to_owned()).spawn(watch).is_err() {
            end(signal);
        }
    }

    fn end(signal: Signal) -> ! {
        std::process::exit(Exit::from(signal).code().into())
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
    pub(crate) fn listen(_: Ending) -> Result<Self, crate::error::CliError> {
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
