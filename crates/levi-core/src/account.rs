//! Who is signed in, and with which token.

use std::sync::Arc;

use async_trait::async_trait;
use levi_types::{AccessToken, CredentialName, Credentials, UserId};
use serde::Deserialize;

/// The signed-in user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Who.
    pub user_id: UserId,
    /// Sent as `Authorization: Bearer`.
    pub access_token: AccessToken,
}

/// Why there is nobody to act for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoAccount {
    /// Nobody is signed in, or the sign-in was revoked: a person must sign in.
    #[error("nobody is signed in")]
    SignedOut,
    /// It cannot be told now: the keychain is locked, or the sign-in server does not answer.
    #[error("the sign-in cannot be used now: {0}")]
    Unavailable(String),
}

/// Where the account comes from.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Who is signed in.
    ///
    /// # Errors
    /// [`NoAccount`].
    async fn account(&self) -> Result<Account, NoAccount>;

    /// The account with a token other than `stale`, which a server refused. However many ask, one refresh
    /// goes out.
    ///
    /// # Errors
    /// [`NoAccount`].
    async fn fresh(&self, stale: &AccessToken) -> Result<Account, NoAccount>;
}

/// The account that lies in [`Credentials`], kept fresh by somebody else.
pub struct StoredAccount(Arc<dyn Credentials>);

impl StoredAccount {
    /// Reads the account from `credentials` each time it is asked for.
    pub fn new(credentials: Arc<dyn Credentials>) -> Self {
        Self(credentials)
    }

    fn read(&self) -> Result<Account, NoAccount> {
        #[derive(Deserialize)]
        struct SignIn {
            user_id: UserId,
            access_token: String,
        }
        let stored = self.0.load(&CredentialName::SignIn);
        let stored = stored.map_err(|error| NoAccount::Unavailable(error.to_string()))?;
        let stored = stored.ok_or(NoAccount::SignedOut)?;
        // Exposed to be parsed; the token goes on as an `AccessToken`.
        let SignIn { user_id, access_token } = serde_json::from_str(stored.expose()).map_err(|_| {
            NoAccount::Unavailable("what is stored under `sign-in` is not understood; sign in again".into())
        })?;
        Ok(Account { user_id, access_token: access_token.into() })
    }
}

#[async_trait]
impl Accounts for StoredAccount {
    async fn account(&self) -> Result<Account, NoAccount> {
        self.read()
    }

    async fn fresh(&self, stale: &AccessToken) -> Result<Account, NoAccount> {
        let account = self.read()?;
        if account.access_token == *stale { Err(NoAccount::SignedOut) } else { Ok(account) }
    }
}
