//! What another process does to the stored sign-in during a request, and a store that cannot be
//! read.

use super::*;

#[tokio::test]
async fn an_answer_that_comes_after_a_sign_out_or_another_sign_in_changes_nothing() {
    for (newer, expected) in [(None, None), (Some(json(7)), Some("a7"))] {
        for refuses in [None, refused()] {
            let world = World::new();
            world.refuse(refuses);
            let (store, left) = (world.store.clone(), newer.clone());
            let meanwhile = move || *store.secret.lock().unwrap() = left;
            *world.server.meanwhile.lock().unwrap() = Some(Box::new(meanwhile));
            let answer = world.refresh(1).await;
            match expected {
                Some(token) => assert_eq!(answer.unwrap(), token),
                None => assert!(matches!(answer, Err(TokenError::NotSignedIn)), "{answer:?}"),
            }
            assert_eq!(*world.store.secret.lock().unwrap(), newer);
            let current = world.auth.current().await.unwrap().map(|who| who.access_token);
            assert_eq!(current, expected.map(AccessToken::from));
        }
    }
}

#[tokio::test]
async fn tokens_that_are_not_stored_yet_are_refreshed_too() {
    let world = World::new();
    world.break_store(true);
    assert_eq!(world.refresh(1).await.unwrap(), "a2");
    assert_eq!(world.refresh(2).await.unwrap(), "a3", "the store still has the first, which is not newer");
    world.break_store(false);
    assert_eq!(world.refresh(2).await.unwrap(), "a3");
    assert_eq!(*world.store.secret.lock().unwrap(), Some(json(3)));
}

#[tokio::test]
async fn a_sign_in_over_an_unreadable_one_is_not_dropped_for_it() {
    let world = World::new();
    *world.store.unreadable.lock().unwrap() = true;
    world.break_store(true);
    assert!(matches!(world.auth.adopt(tokens(5)).await, Err(TokenError::NotSaved(_))));
    *world.store.unreadable.lock().unwrap() = false;
    let current = world.auth.current().await.unwrap().unwrap();
    assert_eq!(current.access_token, access(5), "not the previous user's");
    world.break_store(false);
    world.auth.current().await.unwrap();
    assert_eq!(*world.store.secret.lock().unwrap(), Some(json(5)));
}

#[tokio::test]
async fn a_sign_in_over_an_unreadable_one_gives_way_to_a_later_one() {
    let world = World::new();
    *world.store.unreadable.lock().unwrap() = true;
    world.break_store(true);
    world.auth.adopt(tokens(5)).await.unwrap_err();
    *world.store.unreadable.lock().unwrap() = false;
    world.auth.current().await.unwrap();
    *world.store.secret.lock().unwrap() = Some(json(7));
    world.break_store(false);
    let current = world.auth.current().await.unwrap().unwrap();
    assert_eq!(current.access_token, access(7));
    assert_eq!(*world.store.secret.lock().unwrap(), Some(json(7)));
}
