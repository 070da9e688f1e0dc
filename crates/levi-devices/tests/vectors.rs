//! The vectors of the device list and of messages in version 2: every file in `docs/vectors` equals
//! the generator's output, and every case has the outcome that it names.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is a failure that names its line")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levi_crypto::message_v2::{
    EpochMessageKey, Form, MessagePosition, OpenedMessage, Order, Padding, WireNonceError, nonce_from_wire,
    open, seal,
};
use levi_crypto::{OpenError, SessionSecret};
use levi_devices::entry::{Body, Entry, EntryError, ListRow, SignedEntry};
use levi_devices::keyring::{Keyring, KeyringError, SealedKeyring};
use levi_devices::list::{DeviceList, ReadError, Refusal};
use levi_devices::pairing::{Invitation, Join, PairingCode, PairingCodeError, PairingError};
use levi_devices::pin::PinError;
use levi_devices::recovery::{RecoveryKey, RecoveryKeyError};
use levi_devices::{EntryHash, Epoch, EpochSecret, KeySeed, Member, MemberKeys, Signature, VerifyingKey};
use levi_types::{DeviceId, SessionId, UserId};

#[path = "../examples/trust_vectors/files/mod.rs"]
mod files;
#[path = "../../levi-crypto/tests/replay/mod.rs"]
mod replay;
#[path = "../../levi-crypto/tests/vector_files/mod.rs"]
mod vector_files;

use files::{device_list, keyring, message_v2, pairing, recovery_key};
use replay::Replay;
use vector_files::{assert_checked_in, decoded, read};

fn array<const N: usize>(text: &str) -> [u8; N] {
    decoded(text).try_into().unwrap()
}

fn list_rows(rows: &[files::Row]) -> Vec<ListRow> {
    rows.iter().cloned().map(ListRow::from).collect()
}

#[test]
fn the_checked_in_files_equal_the_generators_output() {
    assert_checked_in(files::all().unwrap(), "cargo run -p levi-devices --example trust_vectors");
}

#[test]
fn every_device_list_vector_has_the_named_outcome() {
    for case in read::<device_list::Case>("device-list.json", 50) {
        let user = UserId::from(case.user_id.as_str());
        let genesis = EntryHash::from_bytes(array(&case.genesis));
        let rows = list_rows(&case.rows);
        let (kind, list) = if case.pinned.is_empty() {
            match DeviceList::read(&user, genesis, &rows) {
                Ok(list) => ("reads", Some(list)),
                Err(ReadError::NoGenesis) => ("no-genesis", None),
                Err(ReadError::UnknownKind { .. }) => ("unknown-kind", None),
                Err(other) => panic!("{other:?} has no name in the vectors"),
            }
        } else {
            let pinned = DeviceList::read(&user, genesis, &list_rows(&case.pinned)).unwrap();
            match pinned.extend(&rows) {
                Ok(list) => ("reads", Some(list)),
                Err(PinError::Forked { .. }) => ("forked", None),
                Err(PinError::RolledBack { .. }) => ("rolled-back", None),
                Err(other) => panic!("{other:?} has no name in the vectors"),
            }
        };
        assert_eq!(kind, case.expected, "{}", case.name);
        assert_eq!(list.as_ref().map(device_list::List::of), case.list, "{}", case.name);
        let why = case.skipped.is_some().then(|| why_skipped(list.unwrap(), rows.last().unwrap()));
        assert_eq!(why, case.skipped.as_deref(), "{}", case.name);
    }
}

/// Why the row is not accepted on the list.
fn why_skipped(mut list: DeviceList, row: &ListRow) -> &'static str {
    let Ok(signed) = SignedEntry::from_row(row) else { return "not-base64" };
    match list.accept(&signed) {
        // The entry itself is good.
        Ok(()) => "slot",
        Err(Refusal::Entry(EntryError::Malformed)) => "malformed",
        Err(Refusal::Entry(EntryError::Member(_))) => "member",
        Err(Refusal::Entry(EntryError::UnknownKind(_))) => "unknown-kind",
        Err(Refusal::OtherUser) => "user",
        Err(Refusal::NotOnHead) => "not-on-head",
        Err(Refusal::Slot { .. }) => "slot",
        Err(Refusal::SignerNotActive(_)) => "signer-not-active",
        Err(Refusal::SignerType(_)) => "signer-type",
        Err(Refusal::Signature) => "signature",
        Err(Refusal::Cosignature) => "cosignature",
        Err(Refusal::UnexpectedCosignature) => "unexpected-cosignature",
        Err(Refusal::IdTaken(_)) => "id-taken",
        Err(Refusal::KeyTaken) => "key-taken",
        Err(Refusal::NotADevice(_)) => "not-a-device",
        Err(Refusal::LastDevice) => "last-device",
        Err(Refusal::MemberType) => "member-type",
        Err(Refusal::WrongEpoch { .. }) => "epoch",
        Err(other) => panic!("{other:?} has no name in the vectors"),
    }
}

#[test]
fn every_keyring_vector_has_the_named_outcome() {
    for case in read::<keyring::Case>("keyring.json", 15) {
        let user = UserId::from(case.user_id.as_str());
        let genesis = EntryHash::from_bytes(array(&case.genesis));
        let list = DeviceList::read(&user, genesis, &list_rows(&case.rows)).unwrap();
        assert_eq!(device_list::List::of(&list), case.list, "{}", case.name);
        let mut keys = MemberKeys::generate(&mut files::common::rng(0));
        keys.keyring = KeySeed::from_bytes(array(&case.recipient_seed));
        let recipient = DeviceId::from(case.recipient_id.as_str());
        let opened = SealedKeyring::from_wire(Epoch::new(case.epoch).unwrap(), &case.enc, &case.sealed)
            .and_then(|row| Keyring::open(&row, &list, &recipient, &keys));
        let kind = match &opened {
            Ok(_) => "opens",
            Err(KeyringError::NotBase64) => "not-base64",
            Err(KeyringError::OtherEpoch { .. }) => "other-epoch",
            Err(KeyringError::Truncated) => "truncated",
            Err(KeyringError::Forged) => "forged",
            Err(KeyringError::Uncommitted { .. }) => "uncommitted",
            Err(other) => panic!("{other:?} has no name in the vectors"),
        };
        assert_eq!(kind, case.expected, "{}", case.name);
        let secrets = opened.ok().map(|keyring| keyring::secrets(&keyring, list.epoch()));
        assert_eq!(secrets, case.secrets, "{}", case.name);
    }
}

#[test]
fn every_message_v2_vector_has_the_named_outcome() {
    for case in read::<message_v2::Case>("message-v2.json", 40) {
        let opened = open_message(&case);
        assert_eq!(opened.as_ref().map_or_else(|kind| *kind, |_| "opens"), case.expected, "{}", case.name);
        let order = opened.as_ref().ok().filter(|opened| opened.order == Order::Late).map(|_| "late");
        assert_eq!(order, case.order.as_deref(), "{}", case.name);
        let (content, order) = opened.map(|opened| (opened.content, opened.order)).ok().unzip();
        assert_eq!(content, case.content, "{}", case.name);
        if let (Some(content), Some(order), Some(padding)) = (content, order, &case.padding) {
            let padding = if padding == "padme" { Padding::Padme } else { Padding::None };
            let (key, session_id) = message_key(&case);
            let position = position(&case, &session_id);
            let nonce = nonce_from_wire(&case.content_nonce).unwrap().nonce;
            let form = Form { padding, order };
            let sealed = seal(&key, position, &content, form, &mut Replay(nonce.to_vec())).unwrap();
            assert_eq!(STANDARD.encode(sealed.ciphertext), case.content_encrypted, "{}", case.name);
        }
    }
}

fn message_key(case: &message_v2::Case) -> (EpochMessageKey, SessionId) {
    let session_id = SessionId::from(case.session_id.as_str());
    let secret = SessionSecret::parse(&case.session_secret).unwrap();
    let epoch_secret = EpochSecret::from_bytes(array(&case.epoch_secret));
    let epoch = nonce_from_wire(&case.content_nonce).unwrap().epoch;
    (EpochMessageKey::derive(&secret, &session_id, epoch, &epoch_secret).unwrap(), session_id)
}

fn position<'a>(case: &message_v2::Case, session_id: &'a SessionId) -> MessagePosition<'a> {
    MessagePosition { session_id, sequence_number: case.sequence_number.parse().unwrap() }
}

fn open_message(case: &message_v2::Case) -> Result<OpenedMessage, &'static str> {
    let nonce = nonce_from_wire(&case.content_nonce).map_err(|error| match error {
        WireNonceError::NotVersion2 => "not-version-2",
        WireNonceError::Epoch => "epoch",
        WireNonceError::NotBase64 => "not-base64",
        WireNonceError::WrongLength { .. } => "wrong-nonce-length",
        other => panic!("{other:?} has no name in the vectors"),
    })?;
    let (key, session_id) = message_key(case);
    let ciphertext = decoded(&case.content_encrypted);
    open(&key, position(case, &session_id), &ciphertext, &nonce.nonce).map_err(|error| match error {
        OpenError::Truncated { .. } => "truncated",
        OpenError::Forged => "forged",
        OpenError::BadPadding => "bad-padding",
        OpenError::NotUtf8 => "not-utf8",
        other => panic!("{other:?} has no name in the vectors"),
    })
}

#[test]
fn every_pairing_vector_has_the_named_outcome() {
    for case in read::<pairing::Case>("pairing.json", 20) {
        let outcome = pair(&case);
        assert_eq!(outcome.err().unwrap_or("pairs"), case.expected, "{}", case.name);
    }
}

fn pair(case: &pairing::Case) -> Result<(), &'static str> {
    let code = PairingCode::parse(&case.code).map_err(|error| match error {
        PairingCodeError::Character { .. } => "code-character",
        PairingCodeError::GroupLength { .. } => "code-group-length",
        PairingCodeError::Length { .. } => "code-length",
        PairingCodeError::Checksum => "code-checksum",
        other => panic!("{other:?} has no name in the vectors"),
    })?;
    let user = UserId::from(case.user_id.as_str());
    let row = case.messages.as_ref().unwrap();
    let invitation = Invitation::with_code(&user, code.clone(), 0);
    let asked = invitation.open_request(&row.request, 0).map_err(|error| match error {
        PairingError::NotBase64 => "request-not-base64",
        PairingError::Forged => "request-forged",
        PairingError::Malformed => "request-malformed",
        other => panic!("{other:?} has no name in the vectors"),
    })?;
    assert_eq!(invitation.row_id(), row.id);
    assert_eq!(STANDARD.encode(asked.fresh()), row.fresh);
    let entry = Entry::decode(&decoded(&row.entry)).unwrap();
    let Body::Add { member } = &entry.body else { panic!("{} adds nobody", case.name) };
    assert_eq!(&**member, asked.member());
    assert!(decoded(&row.entry).ends_with(&decoded(&row.member)));

    let join = Join::new(&user, &code, Member::clone(member), &mut Replay(decoded(&row.fresh)));
    let answer = join.open_answer(&row.answer).map_err(|error| match error {
        PairingError::NotBase64 => "answer-not-base64",
        PairingError::Forged => "answer-forged",
        PairingError::Declined => "answer-declined",
        PairingError::NotFresh => "answer-not-fresh",
        PairingError::OtherEntry => "answer-other-entry",
        other => panic!("{other:?} has no name in the vectors"),
    })?;
    assert_eq!(STANDARD.encode(answer.genesis().as_bytes()), row.genesis);
    assert_eq!((STANDARD.encode(answer.head().as_bytes()), answer.slot()), (row.head.clone(), row.slot));
    assert_eq!(STANDARD.encode(answer.entry()), row.entry);

    let mut keys = MemberKeys::generate(&mut files::common::rng(0));
    keys.signing = KeySeed::from_bytes(array(&row.ed25519_seed));
    let signed = SignedEntry::sign(&entry, &keys, None).unwrap();
    assert_eq!(signed.signature.to_base64(), row.cosignature);
    let key: &VerifyingKey = member.keys().signing();
    key.verify(answer.entry(), &Signature::from_base64(&row.cosignature).unwrap()).unwrap();
    Ok(())
}

#[test]
fn every_recovery_key_vector_has_the_named_outcome() {
    for case in read::<recovery_key::Case>("recovery-key.json", 20) {
        let parsed = RecoveryKey::parse(&case.text);
        let (kind, group) = match &parsed {
            Ok(_) => ("parses", None),
            Err(RecoveryKeyError::Prefix) => ("prefix", None),
            Err(RecoveryKeyError::Character { group }) => ("character", Some(*group)),
            Err(RecoveryKeyError::GroupLength { group, .. }) => ("group-length", Some(*group)),
            Err(RecoveryKeyError::Length { .. }) => ("length", None),
            Err(RecoveryKeyError::Checksum { group }) => ("checksum", *group),
            Err(RecoveryKeyError::NotAKey) => ("not-a-key", None),
            Err(other) => panic!("{other:?} has no name in the vectors"),
        };
        assert_eq!((kind, group), (case.expected.as_str(), case.group), "{}", case.name);
        let keys = parsed.ok().map(|key| recovery_key::Keys::of(&key).unwrap());
        assert_eq!(keys, case.keys, "{}", case.name);
    }
}
