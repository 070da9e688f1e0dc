/// The words of a sign-in server (GoTrue's error codes) that end a sign-in. The list is closed:
/// after any other answer the sign-in is still valid, and Levi asks again.
///
/// The text says what the user can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum FinalWord {
    /// `refresh_token_not_found`
    #[error("the sign-in has ended (refresh_token_not_found); sign in again")]
    RefreshTokenNotFound,
    /// `refresh_token_already_used`
    #[error("the sign-in has ended (refresh_token_already_used); sign in again")]
    RefreshTokenAlreadyUsed,
    /// `session_not_found`
    #[error("the sign-in has ended (session_not_found); sign in again")]
    SessionNotFound,
    /// `session_expired`
    #[error("the sign-in has ended (session_expired); sign in again")]
    SessionExpired,
    /// `user_not_found`
    #[error("the account does not exist any more (user_not_found); sign in with another one")]
    UserNotFound,
    /// `user_banned`
    #[error("the account is banned (user_banned); ask the project's owner, then sign in again")]
    UserBanned,
    /// `invalid_grant`, of servers from before 2024: a wrong password, or an ended sign-in.
    #[error(
        "the sign-in was refused (invalid_grant): a wrong email or password, or an ended session; sign in again"
    )]
    InvalidGrant,
    /// `invalid_credentials`
    #[error("the sign-in was refused (invalid_credentials): a wrong email or password; sign in again")]
    InvalidCredentials,
}

impl FinalWord {
    const ALL: [Self; 8] = [
        Self::RefreshTokenNotFound,
        Self::RefreshTokenAlreadyUsed,
        Self::SessionNotFound,
        Self::SessionExpired,
        Self::UserNotFound,
        Self::UserBanned,
        Self::InvalidGrant,
        Self::InvalidCredentials,
    ];

    /// The word with this code; `None` for every code that does not end a sign-in.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.code() == code)
    }

    /// The server's code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::RefreshTokenNotFound => "refresh_token_not_found",
            Self::RefreshTokenAlreadyUsed => "refresh_token_already_used",
            Self::SessionNotFound => "session_not_found",
            Self::SessionExpired => "session_expired",
            Self::UserNotFound => "user_not_found",
            Self::UserBanned => "user_banned",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidCredentials => "invalid_credentials",
        }
    }
}
