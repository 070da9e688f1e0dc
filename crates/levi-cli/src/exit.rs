use std::process::ExitCode;

/// What the exit code says. Scripts may rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Exit {
    /// 0: everything is done.
    Done,
    /// 1: an error on this machine, such as a setting that cannot work or a file that cannot be
    /// read or written.
    LocalError,
    /// 2: wrong usage (nothing was done), or bad lines or rows (all others were processed).
    BadInput,
    /// 3: some messages are still in the outbox, pending or parked.
    Remaining,
    /// 4: not signed in.
    NotSignedIn,
    /// 5: the server cannot be reached, or refuses; or another device does not answer.
    Server,
    /// 6: another process owns the outbox.
    Owned,
    /// 7: a check failed: `doctor` found a problem, or the demo lost, duplicated, reordered or
    /// leaked a message.
    CheckFailed,
    /// 8: the device list stopped sealing, or refuses this device. Nothing is lost: messages wait on
    /// this device.
    DeviceList,
    /// 130: SIGINT (Ctrl-C) stopped a command that goes on until it is stopped.
    Interrupted,
    /// 143: SIGTERM did. `sync` stores and sends what it has read before.
    Terminated,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::LocalError => 1,
            Self::BadInput => 2,
            Self::Remaining => 3,
            Self::NotSignedIn => 4,
            Self::Server => 5,
            Self::Owned => 6,
            Self::CheckFailed => 7,
            Self::DeviceList => 8,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
