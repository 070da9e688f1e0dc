use levi_types::UserId;

/// Whose keys they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum User {
    /// Nobody was named yet.
    #[default]
    Unknown,
    /// Nobody was named yet in this process, and this user was the last one in the one before.
    Last(UserId),
    SignedIn(UserId),
    /// No key is kept. What is recorded now is the last user's.
    SignedOut(Option<UserId>),
}

impl User {
    pub(super) fn id(&self) -> Option<&UserId> {
        match self {
            Self::Unknown | Self::SignedOut(None) => None,
            Self::Last(user) | Self::SignedIn(user) | Self::SignedOut(Some(user)) => Some(user),
        }
    }
}
