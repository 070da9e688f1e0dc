use levi_crypto::SessionSecret;
use levi_crypto::message_v2::{Epoch, EpochSecret, Order};
use levi_devices::keyring::Keyring;
use levi_outbox::Overwrite;
use levi_types::AuthError;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use super::keys::Keys;
use super::{HighestKnown, KeySource, MessageKey, SecretsCache};
use crate::sealing_key::SealingMode;

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
fn no_secret_of_an_epoch_outlives_a_sign_out_or_passes_to_another_user() {
    let (ada, ben, session) = ("ada".into(), "ben".into(), levi_types::SessionId::from("s"));
    let secret = EpochSecret::from_bytes([7; 32]);
    for next in ["signed out", "ben"] {
        let cache = SecretsCache::new();
        cache.use_device_list();
        cache.signed_in(&ada);
        cache.remember(session.clone(), &SessionSecret::generate(&mut UnwrapErr(SysRng)));
        let sealing = || cache.sealing_of_waiting(Some(&ada), &session);
        assert!(sealing().is_none(), "the list was not asked yet");
        let mode = || SealingMode::Epoch(Epoch::FIRST, secret.clone());
        assert!(cache.seal_in(&ada, mode(), Some(Keyring::first(secret.clone()))));
        assert!(sealing().is_some() && cache.keyring(&ada).is_some() && cache.keyring(&ben).is_none());
        if next == "ben" {
            cache.signed_in(&ben)
        } else {
            cache.signed_out()
        }
        assert!(
            sealing().is_none() && cache.keyring(&ada).is_none() && cache.keyring(&ben).is_none(),
            "{next}"
        );
        assert!(cache.mode(&ada).is_none() && cache.mode(&ben).is_none(), "{next}");
        // What a look brings that began before comes too late.
        assert!(!cache.seal_in(&ada, mode(), Some(Keyring::first(secret.clone()))), "{next}");
        assert!(cache.keyring(&ada).is_none(), "{next}");
    }
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

#[test]
fn a_message_begins_an_epoch_only_if_it_is_known_to_be_the_last_one() {
    const OWN: Overwrite = Overwrite::OwnOnly;
    let before = |sent, stored| Some(HighestKnown { sent, stored });
    let order = |keys: &mut Keys, number, overwrite, before| keys.order(number, overwrite, before);
    // A store that keeps no record, in a process that began later: edits of old messages, one after the other.
    let mut keys = Keys::default();
    assert_eq!(order(&mut keys, 1, OWN, None), None, "the outbox and the store are asked first");
    for number in [1, 2, 3] {
        assert_eq!(order(&mut keys, number, OWN, before(None, Some(number - 1))), Some(Order::Late));
    }
    // The server has seven messages. An edit of what it has stays late, and what follows is known.
    keys.heard(Some(7));
    assert_eq!(order(&mut keys, 5, OWN, before(None, None)), Some(Order::Late));
    assert_eq!(order(&mut keys, 8, OWN, before(None, None)), Some(Order::Rising));
    assert_eq!(order(&mut keys, 9, OWN, None), Some(Order::Rising));
    assert_eq!(order(&mut keys, 9, OWN, None), Some(Order::Late));
    // Whatever may replace another writer's text is late.
    assert_eq!(order(&mut keys, 10, Overwrite::Anything, None), Some(Order::Late));
    assert_eq!(order(&mut keys, 11, OWN, None), Some(Order::Rising));
    // A new session, and one of which this device has a record: a server that lies about it changes nothing.
    let (mut new, mut known) = (Keys::default(), Keys::default());
    new.heard(None);
    assert_eq!(order(&mut new, 1, OWN, before(None, None)), Some(Order::Rising));
    known.heard(Some(i64::MAX));
    assert_eq!(order(&mut known, 5, OWN, before(Some(4), None)), Some(Order::Rising));
    // An outbox that cannot be read says that nothing comes after what it has.
    assert_eq!(order(&mut Keys::default(), 5, OWN, before(Some(4), Some(i64::MAX))), Some(Order::Late));
}
