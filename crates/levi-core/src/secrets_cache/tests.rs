use levi_crypto::SessionSecret;
use levi_types::AuthError;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use super::{KeySource, MessageKey, SecretsCache};

#[test]
fn no_key_outlives_a_sign_out_or_passes_to_another_user() {
    let secret = SessionSecret::generate(&mut UnwrapErr(SysRng));
    let (cache, ada, ben) = (SecretsCache::new(), "ada".into(), "ben".into());
    cache.remember("s".into(), &secret);
    cache.signed_in(&ada);
    assert!(cache.key(&"s".into()).is_some(), "the first user takes over what was remembered before");
    cache.signed_in(&ada);
    assert!(
        cache.key_of(Some(&ada), &"s".into()).is_some() && cache.key_of(Some(&ben), &"s".into()).is_none()
    );
    cache.signed_in(&ben);
    assert!(cache.key(&"s".into()).is_none());
    cache.remember_of(Some(&ada), "s".into(), &secret);
    assert!(cache.key(&"s".into()).is_none(), "it was looked up before ben signed in");
    assert_eq!(cache.check(&ada), Err(AuthError::OtherUser { expected: ben.clone(), found: ada }));
    cache.remember("t".into(), &secret);
    cache.signed_out();
    cache.remember("t".into(), &secret);
    assert!(cache.key(&"t".into()).is_none());
    assert_eq!((cache.user(), cache.check(&ben)), (Some(ben), Err(AuthError::SignedOut)));
}

#[test]
fn a_secret_that_the_server_brought_is_read_with_and_never_sealed_with() {
    let secret = || SessionSecret::generate(&mut UnwrapErr(SysRng));
    let (own, later, brought) = (secret(), secret(), secret());
    let sender = levi_crypto::envelope::DevicePrivateKey::generate(&mut UnwrapErr(SysRng)).public_key();
    let (cache, ada, session) = (SecretsCache::new(), "ada".into(), levi_types::SessionId::from("s"));
    cache.signed_in(&ada);
    let keys = |cache: &SecretsCache| -> Vec<MessageKey> {
        cache.reading_keys(&ada, &session).into_iter().map(|reading| reading.key).collect()
    };
    let source = KeySource::Sender("d".into(), sender);
    cache.remember_to_read(&ada, session.clone(), &brought, source);
    assert_eq!(cache.key(&session), None);
    cache.remember(session.clone(), &own);
    cache.trust(&ada, session.clone(), &brought);
    assert_eq!(cache.key(&session), Some(own.message_key()), "its own comes first");
    cache.remember(session.clone(), &later);
    assert_eq!(cache.key(&session), Some(later.message_key()));
    assert_eq!(keys(&cache), [later, own, brought].map(|secret| secret.message_key()));
    assert_eq!(cache.sender_keys(&"d".into()), [sender]);
    assert!(cache.reading_keys(&"ben".into(), &session).is_empty());
}
