use std::process::ExitCode;

/// What the exit code says. Scripts may rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Exit {
    /// 0: all of it is done.
    Done,
    /// 1: wrong usage, a setting that cannot work, or trouble on this machine's disk.
    Trouble,
    /// 2: some lines or rows were bad; everything else went through.
    BadInput,
    /// 3: some messages are still in the outbox, waiting or set aside.
    Remaining,
    /// 4: nobody is signed in.
    NotSignedIn,
    /// 5: the server cannot be reached, or refuses.
    Server,
    /// 6: another process owns the outbox.
    Owned,
    /// 7: a check failed: `doctor` found something, or the demo broke a promise.
    CheckFailed,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Trouble => 1,
            Self::BadInput => 2,
            Self::Remaining => 3,
            Self::NotSignedIn => 4,
            Self::Server => 5,
            Self::Owned => 6,
            Self::CheckFailed => 7,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
