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
    let longest = Duration::from_secs(330);
    let start = || {
        let clock = clocks.clone() as Arc<dyn Clock>;
        let auth = RefreshingAuth::with_pace(world.server.clone(), world.store.clone(), clock, longest);
        World { auth, log: world.log.clone(), server: world.server.clone(), store: world.store.clone() }
    };
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
