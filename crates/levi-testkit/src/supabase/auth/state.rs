//! Users, sessions and tokens, with GoTrue's rules.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::fixtures;
use crate::supabase::value::Uuid;

/// How long a used refresh token remains valid.
const REUSE_WINDOW_MILLIS: i64 = 10_000;

/// All users, sessions and tokens.
pub(crate) struct AuthState {
    lifetime: Duration,
    users: Vec<User>,
    access: HashMap<String, Access>,
    refresh: HashMap<String, Refresh>,
    /// The current refresh token of each session that has not ended.
    active: HashMap<u64, String>,
    next_session: u64,
    next_token: u64,
    random: RandomState,
    pub(crate) sign_ups: SignUps,
}

#[derive(Clone)]
pub(crate) struct User {
    pub(crate) id: Uuid,
    pub(crate) email: String,
    password: String,
    /// Whether the email address is confirmed.
    pub(crate) confirmed: bool,
}

/// Whether new users may sign up by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignUps {
    /// They are signed in at once, as with email confirmation turned off.
    #[default]
    AtOnce,
    /// A link is sent to the address first:
    /// [`confirm_email`](crate::supabase::FakeSupabase::confirm_email).
    Confirmed,
    /// Nobody may.
    Disabled,
}

struct Access {
    user: Uuid,
    session: u64,
    /// Milliseconds since the epoch.
    expires_at: i64,
}

struct Refresh {
    user: Uuid,
    session: u64,
    parent: Option<String>,
    /// When it was used, in milliseconds since the epoch.
    used_at: Option<i64>,
}

/// The result of a sign-in or refresh.
pub(crate) struct Issued {
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    pub(crate) user: User,
    pub(crate) lifetime: Duration,
    /// Seconds since the epoch.
    pub(crate) expires_at: i64,
}

/// Why a token request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    InvalidCredentials,
    EmailNotConfirmed,
    RefreshTokenNotFound,
    RefreshTokenAlreadyUsed,
}

/// The validity of a bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bearer {
    Valid(Uuid),
    Expired,
    Unknown,
}

impl AuthState {
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self {
            lifetime,
            users: Vec::new(),
            access: HashMap::new(),
            refresh: HashMap::new(),
            active: HashMap::new(),
            next_session: 1,
            next_token: 1,
            random: RandomState::new(),
            sign_ups: SignUps::default(),
        }
    }

    /// Adds a user, or changes the password of the user with this email.
    pub(crate) fn put_user(&mut self, email: &str, password: &str) -> Uuid {
        if let Some(user) = self.users.iter_mut().find(|user| user.email == email) {
            password.clone_into(&mut user.password);
            return user.id;
        }
        let id = Uuid(fixtures::uuid_bytes_of("user", email));
        self.users.push(User { id, email: email.to_owned(), password: password.to_owned(), confirmed: true });
        id
    }

    /// Adds a user whose address is not confirmed, or finds the one with this email.
    pub(crate) fn put_unconfirmed(&mut self, email: &str, password: &str) -> Option<&User> {
        if self.user_of_email(email).is_none() {
            self.put_user(email, password);
            self.set_confirmed(email, false);
        }
        self.user_of_email(email)
    }

    pub(crate) fn set_confirmed(&mut self, email: &str, confirmed: bool) {
        if let Some(user) = self.users.iter_mut().find(|user| user.email == email) {
            user.confirmed = confirmed;
        }
    }

    pub(crate) fn user_of_email(&self, email: &str) -> Option<&User> {
        self.users.iter().find(|user| user.email == email)
    }

    pub(crate) fn user(&self, id: Uuid) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    pub(crate) fn with_password(&mut self, email: &str, password: &str, now: i64) -> Result<Issued, Refusal> {
        let user = self.user_of_email(email).filter(|user| user.password == password);
        let user = user.cloned().ok_or(Refusal::InvalidCredentials)?;
        if !user.confirmed {
            return Err(Refusal::EmailNotConfirmed);
        }
        Ok(self.start_session(user, now))
    }

    pub(crate) fn start_session(&mut self, user: User, now: i64) -> Issued {
        let session = self.next_session;
        self.next_session += 1;
        let refresh_token = self.new_refresh_token(user.id, session, None);
        self.new_access_token(user, session, refresh_token, now)
    }

    /// A refresh token is valid once, with GoTrue's two exceptions: the parent of the current token
    /// yields the current token again (because the answer may have been lost), and a used token is
    /// valid for another ten seconds. Any other reuse ends the session.
    pub(crate) fn refresh(&mut self, token: &str, now: i64) -> Result<Issued, Refusal> {
        let found = self.refresh.get(token).ok_or(Refusal::RefreshTokenNotFound)?;
        let (user, session, used_at) = (found.user, found.session, found.used_at);
        let active = self.active.get(&session).cloned();
        let user = self.user(user).cloned().ok_or(Refusal::RefreshTokenNotFound)?;
        if let Some(used_at) = used_at {
            let parent_of_active = active
                .as_ref()
                .filter(|active| self.refresh.get(*active).and_then(|a| a.parent.as_deref()) == Some(token));
            if let Some(active) = parent_of_active.cloned() {
                return Ok(self.new_access_token(user, session, active, now));
            }
            if active.is_none() || now > used_at.saturating_add(REUSE_WINDOW_MILLIS) {
                self.active.remove(&session);
                return Err(Refusal::RefreshTokenAlreadyUsed);
            }
        } else if active.is_none() {
            return Err(Refusal::RefreshTokenAlreadyUsed);
        }
        if let Some(used) = self.refresh.get_mut(token) {
            used.used_at = used.used_at.or(Some(now));
        }
        let refresh_token = self.new_refresh_token(user.id, session, Some(token.to_owned()));
        Ok(self.new_access_token(user, session, refresh_token, now))
    }

    pub(crate) fn bearer(&self, token: &str, now: i64) -> Bearer {
        match self.access.get(token) {
            None => Bearer::Unknown,
            Some(access) if access.expires_at <= now => Bearer::Expired,
            Some(access) => Bearer::Valid(access.user),
        }
    }

    /// Whether the session of the access token has not ended.
    pub(crate) fn session_alive(&self, token: &str) -> bool {
        self.access.get(token).is_some_and(|access| self.active.contains_key(&access.session))
    }

    /// Expires every access token of `user`. Refresh tokens remain valid.
    pub(crate) fn expire_tokens(&mut self, user: Uuid) {
        for access in self.access.values_mut().filter(|access| access.user == user) {
            access.expires_at = i64::MIN;
        }
    }

    /// Ends every session of `user` and invalidates all tokens.
    pub(crate) fn revoke(&mut self, user: Uuid) {
        self.expire_tokens(user);
        let ended: HashSet<u64> =
            self.refresh.values().filter(|r| r.user == user).map(|r| r.session).collect();
        self.refresh.retain(|_, refresh| refresh.user != user);
        self.active.retain(|session, _| !ended.contains(session));
    }

    /// Ends the session of an access token. As in GoTrue, the access token is valid until it
    /// expires.
    pub(crate) fn sign_out(&mut self, token: &str) {
        if let Some(session) = self.access.get(token).map(|access| access.session) {
            self.refresh.retain(|_, refresh| refresh.session != session);
            self.active.remove(&session);
        }
    }

    fn new_refresh_token(&mut self, user: Uuid, session: u64, parent: Option<String>) -> String {
        let token =
            self.unguessable("refresh").chars().filter(|c| c.is_ascii_alphanumeric()).take(20).collect();
        let token: String = token;
        self.refresh.insert(token.clone(), Refresh { user, session, parent, used_at: None });
        self.active.insert(session, token.clone());
        token
    }

    fn new_access_token(&mut self, user: User, session: u64, refresh_token: String, now: i64) -> Issued {
        let lifetime_millis = i64::try_from(self.lifetime.as_millis()).unwrap_or(i64::MAX);
        let expires_at = now.saturating_add(lifetime_millis);
        let claims = serde_json::json!({
            "sub": user.id.to_string(),
            "aud": "authenticated",
            "role": "authenticated",
            "email": user.email,
            "session_id": format!("{}", Uuid(fixtures::uuid_bytes_of("auth session", &session.to_string()))),
            "iat": now.div_euclid(1000),
            "exp": expires_at.div_euclid(1000),
        });
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
        let access_token = format!("{header}.{payload}.{}", self.unguessable("access"));
        self.access.insert(access_token.clone(), Access { user: user.id, session, expires_at });
        let expires_at = expires_at.div_euclid(1000);
        Issued { access_token, refresh_token, user, lifetime: self.lifetime, expires_at }
    }

    /// A text that differs with every call and every process. It needs no signature, because the
    /// server stores its tokens.
    fn unguessable(&mut self, what: &str) -> String {
        let token = self.next_token;
        self.next_token += 1;
        let mut bytes = Vec::with_capacity(32);
        for part in 0..4 {
            bytes.extend_from_slice(&self.random.hash_one((what, token, part)).to_be_bytes());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }
}
