use levi_types::UserId;
use serde_json::json;

use super::client::{Call, Client};
use super::error::ContractError;
use super::token;

/// The kind of server. Known differences are listed by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Server {
    /// A hosted or self-hosted Supabase: PostgREST itself.
    Supabase,
    /// This crate's fake Supabase.
    FakeSupabase,
    /// Supabase Lite (npm `@supabase/lite`) on its built-in PGlite: PostgreSQL with one connection.
    Lite,
    /// Supabase Lite on a PostgreSQL server.
    LiteOnPostgres,
}

impl Server {
    /// The name in reports, file names and settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Supabase => "supabase",
            Self::FakeSupabase => "fake-supabase",
            Self::Lite => "lite",
            Self::LiteOnPostgres => "lite-postgres",
        }
    }

    /// The server of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Supabase, Self::FakeSupabase, Self::Lite, Self::LiteOnPostgres]
            .into_iter()
            .find(|server| server.name() == name)
    }
}

/// How the suite gets its two users.
#[derive(Clone)]
pub enum Accounts {
    /// Signs up two new users. A run deletes their rows and keeps the users.
    SignUp,
    /// Email and password of two different users that exist.
    Existing([(String, String); 2]),
}

/// A user of the project, signed in.
#[derive(Clone)]
pub(super) struct User {
    pub(super) id: String,
    pub(super) email: String,
    pub(super) password: String,
    pub(super) access_token: String,
}

/// A project to run the suite against, with two users signed in to it.
pub struct Target {
    pub(super) server: Server,
    pub(super) url: String,
    pub(super) publishable_key: String,
    pub(super) users: [User; 2],
    pub(super) expired_token: Option<String>,
}

impl Target {
    /// Signs two users in.
    ///
    /// # Errors
    /// [`ContractError`] when the project does not answer or refuses the accounts.
    pub fn sign_in(
        server: Server,
        url: &str,
        publishable_key: &str,
        accounts: Accounts,
    ) -> Result<Self, ContractError> {
        let url = url.trim_end_matches('/').to_owned();
        let client = Client::new(&url, publishable_key);
        let users = match accounts {
            Accounts::Existing([first, second]) => [password(&client, &first)?, password(&client, &second)?],
            Accounts::SignUp => [sign_up(&client)?, sign_up(&client)?],
        };
        Ok(Self { server, url, publishable_key: publishable_key.to_owned(), users, expired_token: None })
    }

    /// Sets an expired access token of the first user. Without one, the cases that need it are
    /// reported as not run.
    #[must_use]
    pub fn with_expired_token(mut self, token: String) -> Self {
        self.expired_token = Some(token);
        self
    }

    /// Signs an expired token of the first user, for a project whose JWT secret (HS256) is known.
    #[must_use]
    pub fn with_jwt_secret(mut self, jwt_secret: &str) -> Self {
        self.expired_token = token::expired(&self.users[0].access_token, jwt_secret);
        self
    }

    /// The first user's id.
    pub fn user_id(&self) -> UserId {
        self.users[0].id.as_str().into()
    }

    /// The first user's access token.
    pub fn access_token(&self) -> &str {
        &self.users[0].access_token
    }
}

impl std::fmt::Debug for Target {
    /// Omits keys, tokens and addresses.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("server", &self.server).finish_non_exhaustive()
    }
}

fn password(client: &Client, (email, password): &(String, String)) -> Result<User, ContractError> {
    let body = json!({ "email": email, "password": password });
    let call = Call::post("/auth/v1/token?grant_type=password", body.to_string());
    signed_in(client, call, email, password)
}

fn sign_up(client: &Client) -> Result<User, ContractError> {
    let email = format!("levi-contract-{}@example.com", token::uuid()?);
    let password = token::uuid()?;
    let body = json!({ "email": email, "password": password });
    signed_in(client, Call::post("/auth/v1/signup", body.to_string()), &email, &password)
}

fn signed_in(client: &Client, call: Call, email: &str, password: &str) -> Result<User, ContractError> {
    let reply = client.send(call)?;
    let body = reply.json();
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    match (text(&body["user"]["id"]), text(&body["access_token"])) {
        (Some(id), Some(access_token)) => {
            Ok(User { id, email: email.to_owned(), password: password.to_owned(), access_token })
        }
        _ => Err(reply.preparation("signing a user in")),
    }
}
