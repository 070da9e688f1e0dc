//! `RefreshingAuth` with a sign-in server and a credentials store that fail on command.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

#[path = "refreshing_auth/other_process.rs"]
mod other_process;
#[path = "refreshing_auth/waits.rs"]
mod waits;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use levi_transport::{ApiError, RefreshingAuth, SignIn, SignInError, TokenError, Tokens, Verdict};
use levi_types::{
    AccessToken, AuthError, Clock, CredentialName, Credentials, CredentialsError, FinalWord, Now,
    PortErrorKind, RefreshToken, SecretString, Wall,
};
use tokio::sync::Semaphore;

/// The calls of the sign-in server and the credentials store, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// Grants `a2`, `a3`, ... for `r1`, `r2`, ...; each refresh waits for a permit.
struct Server {
    log: Log,
    permits: Semaphore,
    refuses: Mutex<Option<SignInError>>,
    /// Called during a refresh: what another process does in the meantime.
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

#[async_trait]
impl SignIn for Server {
    async fn with_password(&self, email: &str, _: &SecretString) -> Result<Tokens, SignInError> {
        self.log.lock().unwrap().push(format!("password {email}"));
        Ok(tokens(1))
    }

    async fn refresh(&self, refresh_token: &RefreshToken) -> Result<Tokens, SignInError> {
        self.log.lock().unwrap().push(format!("refresh {}", refresh_token.expose()));
        self.permits.acquire().await.unwrap().forget();
        if let Some(meanwhile) = self.meanwhile.lock().unwrap().take() {
            meanwhile();
        }
        match self.refuses.lock().unwrap().clone() {
            Some(error) => Err(error),
            None => Ok(tokens(refresh_token.expose()[1..].parse::<u32>().unwrap() + 1)),
        }
    }
}

#[derive(Default)]
struct Store {
    log: Log,
    secret: Mutex<Option<SecretString>>,
    wait: Mutex<Option<SecretString>>,
    broken: Mutex<bool>,
    unreadable: Mutex<bool>,
}

impl Store {
    fn check(&self) -> Result<(), CredentialsError> {
        if *self.broken.lock().unwrap() {
            return Err(CredentialsError::new(PortErrorKind::Unavailable, "disk full"));
        }
        Ok(())
    }
}

impl Credentials for Store {
    fn load(&self, name: &CredentialName) -> Result<Option<SecretString>, CredentialsError> {
        if *self.unreadable.lock().unwrap() {
            return Err(CredentialsError::new(PortErrorKind::Denied, "locked"));
        }
        Ok(match name {
            CredentialName::SignIn => self.secret.lock().unwrap().clone(),
            CredentialName::SignInWait => self.wait.lock().unwrap().clone(),
            other => panic!("{other:?}"),
        })
    }

    fn save(&self, name: &CredentialName, secret: &SecretString) -> Result<(), CredentialsError> {
        self.check()?;
        if *name == CredentialName::SignInWait {
            *self.wait.lock().unwrap() = Some(secret.clone());
            return Ok(());
        }
        let json: serde_json::Value = serde_json::from_str(secret.expose()).unwrap();
        self.log.lock().unwrap().push(format!("save {}", json["refresh_token"].as_str().unwrap()));
        *self.secret.lock().unwrap() = Some(secret.clone());
        Ok(())
    }

    fn remove(&self, name: &CredentialName) -> Result<(), CredentialsError> {
        self.check()?;
        let slot = if *name == CredentialName::SignInWait { &self.wait } else { &self.secret };
        *slot.lock().unwrap() = None;
        Ok(())
    }
}

fn tokens(number: u32) -> Tokens {
    Tokens {
        access_token: format!("a{number}").into(),
        refresh_token: format!("r{number}").into(),
        user_id: "u-1".into(),
    }
}

fn json(number: u32) -> SecretString {
    format!(r#"{{"access_token":"a{number}","refresh_token":"r{number}","user_id":"u-1"}}"#).into()
}

fn access(number: u32) -> AccessToken {
    format!("a{number}").into()
}

struct World {
    log: Log,
    server: Arc<Server>,
    store: Arc<Store>,
    auth: RefreshingAuth,
}

impl World {
    /// Signed in with the first tokens; refreshes complete at once.
    fn new() -> Self {
        let log = Log::default();
        let store = Arc::new(Store { log: log.clone(), ..Store::default() });
        *store.secret.lock().unwrap() = Some(json(1));
        let server = Arc::new(Server {
            log: log.clone(),
            permits: Semaphore::new(100),
            refuses: Mutex::default(),
            meanwhile: Mutex::default(),
        });
        let auth = RefreshingAuth::new(server.clone(), store.clone());
        Self { log, server, store, auth }
    }

    /// Another process on the same sign-in.
    fn start(&self, clocks: &Arc<Clocks>) -> Self {
        let (server, store) = (self.server.clone(), self.store.clone());
        let clock = clocks.clone() as Arc<dyn Clock>;
        let auth = RefreshingAuth::with_pace(server.clone(), store.clone(), clock, Duration::from_secs(330));
        Self { auth, log: self.log.clone(), server, store }
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    fn refuse(&self, error: Option<SignInError>) {
        *self.server.refuses.lock().unwrap() = error;
    }

    fn break_store(&self, broken: bool) {
        *self.store.broken.lock().unwrap() = broken;
    }

    /// Refreshes the token with this number; returns the new token's text.
    async fn refresh(&self, stale: u32) -> Result<String, TokenError> {
        let session = self.auth.refresh(&access(stale)).await?;
        Ok(session.access_token.expose().to_owned())
    }
}

fn refused() -> Option<SignInError> {
    Some(SignInError::Refused(FinalWord::SessionNotFound))
}

fn unavailable() -> Option<SignInError> {
    Some(SignInError::Unavailable(ApiError::new(Verdict::Unreachable, "timeout", "")))
}

fn too_many(seconds: u64) -> Option<SignInError> {
    let error = ApiError::new(Verdict::Busy, "429", "").with_retry_after(Duration::from_secs(seconds));
    Some(SignInError::Unavailable(error))
}

/// Clocks that the test sets.
#[derive(Default)]
struct Clocks(Mutex<Now>);

impl Clocks {
    fn advance(&self, seconds: u64) {
        let time = Duration::from_secs(seconds);
        let now = &mut *self.0.lock().unwrap();
        *now = Now { monotonic: now.monotonic.after(time), wall: now.wall.after(time) };
    }

    fn set_back(&self, seconds: i64) {
        let now = &mut *self.0.lock().unwrap();
        now.wall = Wall::from_millis(now.wall.as_millis() - seconds * 1_000);
    }

    fn sleep(&self, seconds: u64) {
        let now = &mut *self.0.lock().unwrap();
        now.wall = now.wall.after(Duration::from_secs(seconds));
    }
}

impl Clock for Clocks {
    fn now(&self) -> Now {
        *self.0.lock().unwrap()
    }
}

/// A hundred callers with the same stale token, all waiting before the server answers.
async fn hundred_callers(world: &World) -> Vec<Result<String, TokenError>> {
    let permits = 100_u32;
    world.server.permits.acquire_many(permits).await.unwrap().forget();
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let auth = world.auth.clone();
            tokio::spawn(async move { auth.refresh(&access(1)).await })
        })
        .collect();
    // The runtime has one thread and polls in the order of spawning, so by now every caller has
    // asked.
    while world.log().is_empty() {
        tokio::task::yield_now().await;
    }
    world.server.permits.add_permits(100);
    let mut outcomes = Vec::new();
    for caller in callers {
        outcomes.push(caller.await.unwrap().map(|session| session.access_token.expose().to_owned()));
    }
    outcomes
}

#[tokio::test]
async fn a_hundred_callers_with_one_stale_token_make_one_refresh() {
    let world = World::new();
    for outcome in hundred_callers(&world).await {
        assert_eq!(outcome.unwrap(), "a2");
    }
    assert_eq!(world.log(), ["refresh r1", "save r2"]);
}

#[tokio::test]
async fn a_hundred_callers_share_one_failure_and_the_next_caller_tries_again() {
    let world = World::new();
    world.refuse(unavailable());
    for outcome in hundred_callers(&world).await {
        assert!(matches!(outcome, Err(TokenError::SignIn(SignInError::Unavailable(_)))), "{outcome:?}");
    }
    assert_eq!(world.log(), ["refresh r1"]);

    world.refuse(None);
    assert_eq!(world.refresh(1).await.unwrap(), "a2");
}

#[tokio::test]
async fn a_token_that_was_replaced_already_costs_no_request() {
    let world = World::new();
    assert_eq!(world.refresh(0).await.unwrap(), "a1");
    *world.store.secret.lock().unwrap() = Some(json(5));
    assert_eq!(world.refresh(1).await.unwrap(), "a5", "another process refreshed it");
    assert_eq!(world.log(), Vec::<String>::new());
}

#[tokio::test]
async fn tokens_that_cannot_be_stored_are_used_and_stored_later() {
    let world = World::new();
    world.break_store(true);
    for _ in 0..2 {
        assert_eq!(world.refresh(1).await.unwrap(), "a2", "a full keychain signs nobody out");
    }
    assert_eq!(world.auth.current().await.unwrap().unwrap().access_token, access(2));
    assert_eq!(world.log(), ["refresh r1"], "the used-up token is not sent again");

    world.break_store(false);
    assert_eq!(world.refresh(1).await.unwrap(), "a2");
    assert_eq!(world.log(), ["refresh r1", "save r2"]);
    assert_eq!(*world.store.secret.lock().unwrap(), Some(json(2)));
}

#[tokio::test]
async fn unsaved_tokens_are_dropped_for_a_newer_sign_in_of_another_process() {
    for newer in [Some(json(7)), None] {
        let world = World::new();
        world.break_store(true);
        world.refresh(1).await.unwrap();
        world.break_store(false);
        world.store.secret.lock().unwrap().clone_from(&newer);
        let current = world.auth.current().await.unwrap();
        assert_eq!(current.map(|who| who.access_token), newer.as_ref().map(|_| access(7)));
        assert_eq!(*world.store.secret.lock().unwrap(), newer);
    }
}

#[tokio::test]
async fn a_final_word_is_remembered_until_the_next_sign_in() {
    let world = World::new();
    world.refuse(refused());
    for _ in 0..3 {
        let error = world.refresh(1).await.unwrap_err();
        assert!(
            matches!(&error, TokenError::SignIn(SignInError::Refused(FinalWord::SessionNotFound))),
            "{error:?}"
        );
        assert!(!error.is_transient());
    }
    assert_eq!(world.log(), ["refresh r1"]);
    assert!(
        world.auth.current().await.unwrap().is_some(),
        "the stored sign-in stays until a sign-in or sign-out"
    );

    world.refuse(None);
    let who = world.auth.sign_in("a@example.com", &"password".into()).await.unwrap();
    assert_eq!((who.access_token, who.user_id.as_str()), (access(1), "u-1"));
    assert_eq!(world.refresh(1).await.unwrap(), "a2", "the same tokens, adopted anew, are tried again");
}

#[tokio::test]
async fn a_refresh_token_used_by_another_process_does_not_end_the_sign_in() {
    let world = World::new();
    world.refuse(refused());
    let store = world.store.clone();
    *world.server.meanwhile.lock().unwrap() =
        Some(Box::new(move || *store.secret.lock().unwrap() = Some(json(9))));
    assert_eq!(world.refresh(1).await.unwrap(), "a9");
}

#[tokio::test]
async fn a_refresh_completes_even_if_its_caller_is_dropped() {
    let world = World::new();
    world.server.permits.acquire_many(100).await.unwrap().forget();
    let auth = world.auth.clone();
    let caller = tokio::spawn(async move { auth.refresh(&access(1)).await });
    while world.log().is_empty() {
        tokio::task::yield_now().await;
    }
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    world.server.permits.add_permits(1);

    assert_eq!(world.refresh(1).await.unwrap(), "a2");
    assert_eq!(world.log(), ["refresh r1", "save r2"]);
}

#[tokio::test]
async fn signing_out_and_in() {
    let world = World::new();
    world.break_store(true);
    assert!(matches!(world.auth.sign_out().await, Err(TokenError::NotRemoved(_))));
    world.break_store(false);
    world.auth.sign_out().await.unwrap();
    assert_eq!(world.auth.current().await.unwrap(), None);
    assert!(matches!(world.refresh(1).await, Err(TokenError::NotSignedIn)));

    world.auth.adopt(tokens(3)).await.unwrap();
    let other_process = RefreshingAuth::new(world.server.clone(), world.store.clone());
    let who = other_process.current().await.unwrap().unwrap();
    assert_eq!(who.access_token, access(3));
}

#[tokio::test]
async fn a_sign_out_drops_tokens_that_could_not_be_stored() {
    let world = World::new();
    world.break_store(true);
    world.refresh(1).await.unwrap();
    world.break_store(false);
    world.auth.sign_out().await.unwrap();
    assert_eq!(world.auth.current().await.unwrap(), None);
}

#[tokio::test]
async fn an_unreadable_sign_in_is_an_error_that_does_not_quote_it() {
    let world = World::new();
    *world.store.secret.lock().unwrap() = Some(r#"{"access_token":"hidden-words","refresh_token":7}"#.into());
    let error = world.refresh(1).await.unwrap_err();
    assert!(matches!(error, TokenError::Unreadable(_)));
    assert!(!format!("{error} {error:?}").contains("hidden"), "{error:?}");
    world.auth.adopt(tokens(2)).await.unwrap();
    assert_eq!(world.refresh(1).await.unwrap(), "a2", "signing in again puts it right");
}
