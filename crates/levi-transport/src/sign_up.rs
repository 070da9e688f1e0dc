//! The answers of a project to a sign-up (`/auth/v1/signup`).

use crate::sign_in::{SignInError, Tokens};

/// The result of a sign-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedUp {
    /// The account is there and signed in: the project asks for no confirmation.
    SignedIn(Tokens),
    /// The sign-in server sends a link to the address. A password works once that was opened.
    ConfirmationNeeded,
}

/// Why there is no account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignUpError {
    /// The address has one (`user_already_exists`, `email_exists`; or a user without identities,
    /// which is how a project that confirms addresses tells its owner, and nobody else).
    #[error("this email address has an account already; sign in with its password")]
    AlreadyRegistered,
    /// `signup_disabled`, `email_provider_disabled`
    #[error("the project lets nobody sign up ({code}); ask its owner for an account, then sign in")]
    Disabled {
        /// The server's code.
        code: String,
    },
    /// `weak_password`
    #[error("the project wants a stronger password: {detail}")]
    WeakPassword {
        /// What the server says about it. Never the password.
        detail: String,
    },
    /// No answer, or another refusal.
    #[error(transparent)]
    SignIn(#[from] SignInError),
}

impl SignUpError {
    /// A refusal by its code.
    #[cfg(feature = "http")]
    pub(crate) fn of(error: SignInError) -> Self {
        let (SignInError::ActionNeeded { error: answer, .. } | SignInError::Unavailable(answer)) = &error
        else {
            return error.into();
        };
        match answer.code.as_str() {
            "user_already_exists" | "email_exists" => Self::AlreadyRegistered,
            "signup_disabled" | "email_provider_disabled" => Self::Disabled { code: answer.code.clone() },
            "weak_password" => Self::WeakPassword { detail: answer.detail.clone() },
            _ => error.into(),
        }
    }
}
