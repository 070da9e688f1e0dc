use async_trait::async_trait;
use levi_core::{Account, Accounts, NoAccount};
use levi_transport::{TokenError, TokenKeeper};
use levi_types::AccessToken;

/// The account that a [`TokenKeeper`] keeps fresh.
pub(crate) struct KeptAccount(pub(crate) TokenKeeper);

#[async_trait]
impl Accounts for KeptAccount {
    async fn account(&self) -> Result<Account, NoAccount> {
        let signed_in = self.0.current().await.map_err(no_account)?.ok_or(NoAccount::SignedOut)?;
        Ok(Account { user_id: signed_in.user_id, access_token: signed_in.context.access_token })
    }

    async fn fresh(&self, stale: &AccessToken) -> Result<Account, NoAccount> {
        let context = self.0.fresh(stale).await.map_err(no_account)?;
        let user_id = self.account().await?.user_id;
        Ok(Account { user_id, access_token: context.access_token })
    }
}

fn no_account(error: TokenError) -> NoAccount {
    if error.is_transient() { NoAccount::Unavailable(error.to_string()) } else { NoAccount::SignedOut }
}
