use std::convert::Infallible;
use std::str;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levi_crypto::envelope::DevicePrivateKey;
use levi_devices::draft::{Stamp, genesis};
use levi_devices::entry::{Entry, Header, ListRow, SignedEntry};
use levi_devices::keyring::{Keyring, SealedKeyring};
use levi_devices::list::DeviceList;
use levi_devices::pairing::{Invitation, Join, PairingCode};
use levi_devices::recovery::{PREFIX, RecoveryKey};
use levi_devices::{EntryHash, Epoch, EpochSecret, KeySeed, Member, MemberKeys, MemberType};
use levi_types::UserId;
use rand_core::{TryCryptoRng, TryRng};

use crate::take_line;

/// The user of the vectors.
const USER: &str = "0198a7f2-6d1e-7c3a-9b54-2f6f0c1de0a1";

/// A list of one device with keys that never change, so that kept inputs stay what they are.
pub(crate) struct Fixed {
    pub(crate) user: UserId,
    laptop: MemberKeys,
    pub(crate) list: DeviceList,
    pub(crate) keyring: Keyring,
}

impl Fixed {
    pub(crate) fn new() -> Self {
        let keys = |seed: u8| MemberKeys {
            signing: KeySeed::from_bytes([seed; 32]),
            envelope: DevicePrivateKey::from_bytes([seed; 32]),
            keyring: KeySeed::from_bytes([seed; 32]),
        };
        let (user, laptop, paper) = (UserId::from(USER), keys(1), keys(2));
        let member = |id: &str, member_type, keys: &MemberKeys| {
            keys.public_keys().ok().and_then(|keys| Member::new(id.into(), member_type, id, keys).ok())
        };
        let secret = EpochSecret::from_bytes([3; 32]);
        let device = member("laptop", MemberType::Device, &laptop);
        let recovery = member("paper", MemberType::Recovery, &paper);
        let (Some(device), Some(recovery)) = (device, recovery) else {
            unreachable!("the members are valid")
        };
        let entry =
            genesis(&user, device, recovery, Stamp { slot: 0, time_ms: 0 }).commit(EntryHash::ZERO, &secret);
        let signed = SignedEntry::sign(&entry, &laptop, Some(&paper));
        let Some(list) = signed.ok().and_then(|signed| DeviceList::begin(&user, &signed).ok()) else {
            unreachable!("the genesis is valid")
        };
        Self { user, laptop, list, keyring: Keyring::first(secret) }
    }
}

/// Takes `N` lines of text.
fn lines<const N: usize>(mut input: &[u8]) -> Option<[&str; N]> {
    let mut lines = [""; N];
    for line in &mut lines {
        *line = str::from_utf8(take_line(&mut input)).ok()?;
    }
    Some(lines)
}

/// The entry, signature and cosignature of a row on a line each. What decodes has one encoding, and nobody but a member
/// changes a list.
pub(crate) fn device_list(input: &[u8]) {
    let Some([entry, signature, cosignature]) = lines(input) else { return };
    let bytes = STANDARD.decode(entry).unwrap_or_else(|_| entry.as_bytes().to_vec());
    let header = Header::decode(&bytes);
    if let Ok(decoded) = Entry::decode(&bytes) {
        assert_eq!(decoded.encode(), bytes, "a second encoding is accepted");
        assert_eq!(header, Ok((decoded.body.kind(), decoded.header)));
    }
    let slot = header.map_or(0, |(_, header)| header.slot);
    let cosignature = Some(cosignature.to_owned()).filter(|text| !text.is_empty());
    let row = ListRow { slot, entry: entry.to_owned(), signature: signature.to_owned(), cosignature };
    let fixed = Fixed::new();
    let rows = [rows_of(&fixed.list), vec![row.clone()]].concat();
    assert_eq!(fixed.list.extend(&rows), Ok(fixed.list.clone()), "a stranger changed the list");
    if let Ok(signed) = SignedEntry::from_row(&row) {
        assert!(fixed.list.clone().accept(&signed).is_err(), "a stranger's entry was accepted");
        if let Ok(list) = DeviceList::begin(&fixed.user, &signed) {
            assert_eq!(DeviceList::read(&fixed.user, list.genesis(), &[row]), Ok(list));
        }
    }
}

fn rows_of(list: &DeviceList) -> Vec<ListRow> {
    list.entries().filter_map(|signed| signed.to_row().ok()).collect()
}

/// The two columns of a keyring on a line each. Whatever opens holds the secrets that the list commits to.
pub(crate) fn keyrings(input: &[u8]) {
    let Some([enc, sealed]) = lines(input) else { return };
    let Ok(row) = SealedKeyring::from_wire(Epoch::FIRST, enc, sealed) else { return };
    assert_eq!(row.to_wire(), (enc.to_owned(), sealed.to_owned()), "a second spelling is accepted");
    let fixed = Fixed::new();
    if let Ok(opened) = Keyring::open(&row, &fixed.list, &"laptop".into(), &fixed.laptop) {
        assert_eq!(opened, fixed.keyring, "a minted keyring was accepted");
    }
}

/// A code, a request and an answer on a line each. A code has one meaning, and messages open under their code only.
pub(crate) fn pairing(input: &[u8]) {
    let Some([code, request, answer]) = lines(input) else { return };
    let Ok(parsed) = PairingCode::parse(code) else { return };
    assert_eq!(PairingCode::parse(parsed.expose_text().expose()), Ok(parsed.clone()));
    let user = UserId::from(USER);
    let invitation = Invitation::with_code(&user, parsed.clone(), 0);
    let Ok(asked) = invitation.open_request(request, 0) else { return };
    let join = Join::new(&user, &parsed, asked.member().clone(), &mut Repeat(*asked.fresh()));
    if let Ok(answer) = join.open_answer(answer) {
        assert!(Entry::decode(answer.entry()).is_ok());
        assert!(join.cosign(&answer, &[], &Fixed::new().laptop).is_err(), "cosigned without a list");
    }
}

/// What a person types as a recovery key. What parses is written in one way, and no error repeats what was typed.
pub(crate) fn recovery_keys(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    match RecoveryKey::parse(text) {
        Ok(key) => {
            let shown = key.expose_text();
            assert!(shown.expose().starts_with(PREFIX));
            assert_eq!(RecoveryKey::parse(shown.expose()), Ok(key));
        }
        Err(error) => {
            let typed = text.trim();
            let message = error.to_string();
            assert!(typed.len() < 20 || !message.contains(typed), "the error repeats what was typed");
        }
    }
}

/// Random bytes that are always the same, for what must be fresh elsewhere.
pub(crate) struct Repeat(pub(crate) [u8; 16]);

impl TryRng for Repeat {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        for (byte, repeated) in target.iter_mut().zip(self.0.iter().cycle()) {
            *byte = *repeated;
        }
        Ok(())
    }
}

impl TryCryptoRng for Repeat {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_inputs_reach_what_is_checked() {
        let fixed = Fixed::new();
        let sealed = fixed.keyring.seal(&fixed.list, &"laptop".into(), &mut Repeat([7; 16])).unwrap();
        let (enc, text) = sealed.to_wire();
        let kept = include_str!("../../../fuzz/corpus/keyrings/opens");
        assert_eq!(kept, format!("{enc}\n{text}"));
        let [code, request, _] = lines(include_bytes!("../../../fuzz/corpus/pairing/pairs")).unwrap();
        let code = PairingCode::parse(code).unwrap();
        assert!(Invitation::with_code(&fixed.user, code, 0).open_request(request, 0).is_ok());
    }
}
