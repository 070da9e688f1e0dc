//! News that is no error, for stderr: how changes come, that something works again, what is missing.

use std::fmt;

use levi::DeviceId;
use levi::core::Notifications;
use serde::Serialize;

/// A line of it. With `--json` an object whose field `notice` says which.
#[derive(Debug, Serialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub(crate) enum Notice {
    /// How changes are heard of from now on.
    Notifications(Notifications),
    /// What was tried again has worked.
    Resumed,
    /// Nothing is printed, because this device was given no secret yet.
    NothingShared { device_id: DeviceId },
}

impl Notice {
    /// Whether it says that something is not as it should be. `--quiet` leaves out all else.
    pub(crate) const fn is_warning(&self) -> bool {
        matches!(self, Self::Notifications(Notifications::Polling(_)))
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Notifications(how) => how.fmt(f),
            Self::Resumed => f.write_str("connected again"),
            // A device that was registered later gets earlier sessions only so.
            Self::NothingShared { device_id } => write!(
                f,
                "no session is shared with this device yet; to read earlier sessions here, run `levi share \
                 {device_id}` on a device that can read them"
            ),
        }
    }
}
