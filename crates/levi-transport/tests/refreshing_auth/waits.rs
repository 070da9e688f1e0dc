//! Waits that the sign-in server asks for, and answers that end nothing.

use super::*;

/// What is left of the wait, from a call that sent no request.
fn left(result: Result<String, TokenError>) -> u64 {
    let error = result.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    let AuthError::Unavailable { retry_after, .. } = AuthError::from(error) else { panic!() };
    retry_after.unwrap().as_secs()
}

#[tokio::test]
async fn nothing_is_sent_before_a_wait_is_over_that_the_server_asked_for_not_even_after_a_restart() {
    let world = World::new();
    let clocks = Arc::new(Clocks::default());
    let start = || world.start(&clocks);
    let daemon = start();
    world.refuse(too_many(60));
    assert_eq!(left(daemon.refresh(1).await), 60);
    world.refuse(None);
    clocks.advance(20);
    assert_eq!(left(daemon.refresh(1).await), 40);
    clocks.advance(10);
    let command = start();
    assert_eq!(left(command.refresh(1).await), 30, "a second process reads the wait");
    let error = command.auth.sign_in("a@example.com", &"password".into()).await.unwrap_err();
    assert_eq!(AuthError::from(error).retry_after(), Some(Duration::from_secs(30)));
    assert_eq!(world.log(), ["refresh r1"]);
    clocks.sleep(31);
    assert_eq!(daemon.refresh(1).await.unwrap(), "a2", "the machine slept longer than that");

    // One answer does not stop everything for longer than Levi's own delays do.
    world.refuse(too_many(3_600));
    assert_eq!(left(daemon.refresh(2).await), 3_600);
    world.refuse(None);
    clocks.advance(331);
    assert_eq!(start().refresh(2).await.unwrap(), "a3");
}

#[tokio::test]
async fn a_wait_ends_although_the_clock_was_ahead_when_it_was_stored() {
    let (world, clocks) = (World::new(), Arc::new(Clocks::default()));
    let start = || world.start(&clocks);
    world.refuse(too_many(60));
    assert_eq!(left(start().refresh(1).await), 60);
    world.refuse(None);
    clocks.set_back(100_000);
    assert_eq!(left(start().refresh(1).await), 60, "all of it, once more");
    clocks.advance(40);
    assert_eq!(left(start().refresh(1).await), 20);
    clocks.advance(20);
    assert_eq!(start().refresh(1).await.unwrap(), "a2");
}

#[tokio::test]
async fn a_wait_that_is_over_is_removed_and_another_processs_newer_one_is_not() {
    let (world, clocks) = (World::new(), Arc::new(Clocks::default()));
    let start = || world.start(&clocks);
    let stored = || world.store.wait.lock().unwrap().clone();
    world.refuse(too_many(60));
    assert_eq!(left(start().refresh(1).await), 60);
    clocks.advance(60);
    // An answer that asks for no wait.
    world.refuse(unavailable());
    start().refresh(1).await.unwrap_err();
    assert_eq!(stored(), None);
    clocks.set_back(100_000);
    world.refuse(None);
    assert_eq!(start().refresh(1).await.unwrap(), "a2", "nothing is left that could count again");

    world.refuse(too_many(60));
    assert_eq!(left(start().refresh(2).await), 60);
    clocks.advance(60);
    world.refuse(None);
    let (store, newer) = (world.store.clone(), SecretString::from("newer"));
    let other = newer.clone();
    *world.server.meanwhile.lock().unwrap() =
        Some(Box::new(move || *store.wait.lock().unwrap() = Some(other)));
    assert_eq!(start().refresh(2).await.unwrap(), "a3");
    assert_eq!(stored(), Some(newer));
}

/// None of these is the sign-in server's final word.
#[tokio::test]
async fn what_is_no_final_word_is_asked_for_again() {
    let world = World::new();
    let hook = ApiError::new(Verdict::Unexpected, "hook_timeout", "");
    let unconfirmed = ApiError::new(Verdict::Unexpected, "email_not_confirmed", "");
    let stumbles = [
        SignInError::Unavailable(hook),
        SignInError::ActionNeeded { error: unconfirmed, action: "confirm the email address" },
    ];
    for stumble in stumbles {
        world.refuse(Some(stumble));
        let error = world.refresh(1).await.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        assert!(matches!(AuthError::from(error), AuthError::Unavailable { .. }));
    }
    world.refuse(None);
    assert_eq!(world.refresh(1).await.unwrap(), "a2");
    assert_eq!(world.log(), ["refresh r1", "refresh r1", "refresh r1", "save r2"]);
}

/// A ban may be over an hour later, and the refresh token is as good as before.
#[tokio::test]
async fn a_final_word_is_asked_for_again_after_a_minute() {
    let (world, clocks) = (World::new(), Arc::new(Clocks::default()));
    let auth = world.start(&clocks).auth;
    world.refuse(refused());
    for seconds in [0, 59] {
        clocks.advance(seconds);
        auth.refresh(&access(1)).await.unwrap_err();
    }
    assert_eq!(world.log(), ["refresh r1"]);
    clocks.sleep(1);
    auth.refresh(&access(1)).await.unwrap_err();
    auth.refresh(&access(1)).await.unwrap_err();
    assert_eq!(world.log(), ["refresh r1", "refresh r1"]);
    world.refuse(None);
    clocks.advance(60);
    assert_eq!(auth.refresh(&access(1)).await.unwrap().access_token, access(2));
}
