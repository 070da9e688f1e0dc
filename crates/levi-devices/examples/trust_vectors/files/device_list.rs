//! `device-list.json`

use levi_devices::draft::Stamp;
use levi_devices::entry::{Body, Entry, ListRow, SignedEntry};
use levi_devices::list::DeviceList;
use levi_devices::{EntryHash, Epoch, EpochSecret, MemberType};
use levi_types::UserId;
use serde::{Deserialize, Serialize};

use super::common::{Owner, Scene, resigned};
use super::{Made, Row, base64, flipped, rows};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) expected: String,
    pub(crate) name: String,
    pub(crate) user_id: String,
    /// The hash of the genesis.
    pub(crate) genesis: String,
    /// What the device accepted before and pinned; empty for a device without a pin.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) pinned: Vec<Row>,
    /// What the server shows.
    pub(crate) rows: Vec<Row>,
    /// Why the last row is skipped, in the cases that are about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) skipped: Option<String>,
    /// Where the list is read: what comes out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) list: Option<List>,
}

/// A list after its last accepted entry.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) head: String,
    pub(crate) slot: u64,
    pub(crate) epoch: u32,
    pub(crate) commitments: Vec<EpochCommitment>,
    pub(crate) verify: String,
    pub(crate) members: Vec<MemberState>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct EpochCommitment {
    pub(crate) epoch: u32,
    pub(crate) commitment: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct MemberState {
    pub(crate) id: String,
    pub(crate) member_type: String,
    pub(crate) name: String,
    pub(crate) fingerprint: String,
    pub(crate) active: bool,
}

impl List {
    pub(crate) fn of(list: &DeviceList) -> Self {
        let epochs = (1..=list.epoch().number()).filter_map(Epoch::new);
        let commitments = epochs.filter_map(|epoch| {
            let commitment = base64(list.commitment(epoch)?.as_bytes());
            Some(EpochCommitment { epoch: epoch.number(), commitment })
        });
        let members = list.members().iter().map(|known| MemberState {
            id: known.member.id().to_string(),
            member_type: match known.member.member_type() {
                MemberType::Device => "device".to_owned(),
                MemberType::Recovery => "recovery".to_owned(),
            },
            name: known.member.name().to_owned(),
            fingerprint: known.member.fingerprint().to_string(),
            active: known.is_active(),
        });
        Self {
            head: base64(list.head().as_bytes()),
            slot: list.slot(),
            epoch: list.epoch().number(),
            commitments: commitments.collect(),
            verify: list.verify_code().to_string(),
            members: members.collect(),
        }
    }
}

pub(crate) fn cases() -> Made<Vec<Case>> {
    let mut cases = Vec::new();
    accepted(&mut cases)?;
    skipped(&mut cases)?;
    skipped_kinds(&mut cases)?;
    pinned(&mut cases)?;
    skipped_members(&mut cases)?;
    unknown_kind_of_the_recovery_key(&mut cases)?;
    Ok(cases)
}

fn case(expected: &str, name: &str, scene: &Scene, rows: Vec<Row>) -> Case {
    Case {
        expected: expected.to_owned(),
        name: name.to_owned(),
        user_id: scene.user.to_string(),
        genesis: base64(scene.list.genesis().as_bytes()),
        pinned: Vec::new(),
        rows,
        skipped: None,
        list: None,
    }
}

/// The scene's rows are read, and its list comes out.
fn reads(name: &str, scene: &Scene, pinned: &[ListRow]) -> Case {
    let list = Some(List::of(&scene.list));
    Case { pinned: rows(pinned), list, ..case("reads", name, scene, rows(&scene.rows)) }
}

/// One more row, which is skipped.
fn skips(why: &str, name: &str, scene: &Scene, row: ListRow) -> Case {
    let shown: Vec<Row> = rows(&scene.rows).into_iter().chain([Row::from(&row)]).collect();
    Case {
        skipped: Some(why.to_owned()),
        list: Some(List::of(&scene.list)),
        ..case("reads", name, scene, shown)
    }
}

/// Every kind, each on the one before.
fn accepted(cases: &mut Vec<Case>) -> Made<()> {
    let mut scene = Scene::new(1);
    let laptop = scene.laptop.clone();
    cases.push(reads("a genesis", &scene, &[]));
    let phone = scene.add(&laptop, "phone");
    let tablet = scene.add(&phone, "T\u{E4}blet \u{1F4F1}");
    scene.remove(&tablet, laptop.id());
    let paper2 = Owner::recovery("paper 2", &mut scene.rng);
    let (signed, _) = scene.new_recovery_entry(&paper2);
    scene.push(&signed);
    scene.recovery = paper2;
    let desktop = Owner::device("desktop", &mut scene.rng);
    let (signed, _) = scene.recover_entry(scene.list.head(), &[&phone], &desktop);
    scene.push(&signed);
    cases.push(reads("every kind, one after the other", &scene, &[]));
    let mut turned = reads("the same rows in another order", &scene, &[]);
    turned.rows.reverse();
    cases.push(turned);

    let mut scene = Scene::new(2);
    let (laptop, before) = (scene.laptop.clone(), scene.list.head());
    scene.add(&laptop, "thief's ghost");
    let desktop = Owner::device("desktop", &mut scene.rng);
    let (signed, _) = scene.recover_entry(before, &[&laptop], &desktop);
    scene.push(&signed);
    cases.push(reads("a recovery that cuts off the entry before it", &scene, &[]));
    Ok(())
}

/// Rows after a genesis that are no valid entries on it.
fn skipped(cases: &mut Vec<Case>) -> Made<()> {
    let mut scene = Scene::new(3);
    let laptop = scene.laptop.clone();
    let phone = Owner::device("phone", &mut scene.rng);
    let stranger = Owner::device("stranger", &mut scene.rng);
    let good = scene.add_entry(&laptop, &phone);
    let row = good.to_row()?;
    let entry = &good.entry;
    let mut add = |why: &str, name: &str, row: ListRow| cases.push(skips(why, name, &scene, row));
    let with_entry = |bytes: Vec<u8>| -> Made<ListRow> {
        // Signed by both, so that only the encoding is wrong.
        let signature = laptop.keys.sign(&bytes)?.to_base64();
        let cosignature = Some(phone.keys.sign(&bytes)?.to_base64());
        Ok(ListRow { entry: base64(bytes), signature, cosignature, ..row.clone() })
    };
    add("not-base64", "not base64", ListRow { entry: "!".to_owned(), ..row.clone() });
    add(
        "not-base64",
        "base64 without padding",
        ListRow { signature: row.signature.trim_end_matches('=').to_owned(), ..row.clone() },
    );
    add("slot", "in another slot than the entry says", ListRow { slot: 2, ..row.clone() });
    add("malformed", "a byte at the end", with_entry([&entry[..], &[0]].concat())?);
    add("malformed", "a byte too few", with_entry(entry[..entry.len() - 1].to_vec())?);
    add("malformed", "another label", with_entry(flipped(entry, 18))?);
    add(
        "signature",
        "a changed byte after signing",
        ListRow { entry: base64(flipped(entry, 107)), ..row.clone() },
    );
    add("signature", "signed by somebody else", resigned(&good, &stranger, Some(&phone), |_| {}).to_row()?);
    add(
        "cosignature",
        "cosigned by somebody else",
        resigned(&good, &laptop, Some(&stranger), |_| {}).to_row()?,
    );
    add("cosignature", "not cosigned", ListRow { cosignature: None, ..row.clone() });
    let changed = |change: &dyn Fn(&mut Entry)| resigned(&good, &laptop, Some(&phone), change).to_row();
    add("not-on-head", "another prev", changed(&|entry| entry.header.prev = EntryHash::from_bytes([7; 32]))?);
    add("user", "another user", changed(&|entry| entry.header.user_id = UserId::from("other"))?);
    add("slot", "a slot above the last", changed(&|entry| entry.header.slot = 2000)?);
    add(
        "signer-not-active",
        "a signer who is no member",
        changed(&|entry| entry.header.signer_id = "nobody".into())?,
    );
    add(
        "signer-type",
        "signed by the recovery key",
        scene.add_entry(&scene.recovery.clone(), &phone).to_row()?,
    );
    add("unknown-kind", "an unknown kind, signed by a stranger", unknown_kind(&good, &stranger)?);
    let name_at = entry.len() - 1280 - "phone".len();
    let mut unprintable = entry.clone();
    unprintable[name_at] = b'\n';
    add("member", "a name with a line break", with_entry(unprintable)?);
    let mut low_order = entry.clone();
    let end = low_order.len();
    low_order[end - 32..].fill(0);
    add("member", "an X-Wing key whose X25519 half is of low order", with_entry(low_order)?);
    let mut above_q = entry.clone();
    above_q[end - 1216..end - 1213].fill(0xff);
    add("member", "an X-Wing key with a coefficient above q", with_entry(above_q)?);
    Ok(())
}

/// Rows that break a rule of their kind.
fn skipped_kinds(cases: &mut Vec<Case>) -> Made<()> {
    let mut scene = Scene::new(4);
    let laptop = scene.laptop.clone();
    let (last, _) = scene.remove_entry(&laptop, laptop.id());
    cases.push(skips("last-device", "the last device removes itself", &scene, last.to_row()?));
    let phone = scene.add(&laptop, "phone");
    let (unknown, _) = scene.remove_entry(&laptop, &"nobody".into());
    cases.push(skips("not-a-device", "a removal of nobody", &scene, unknown.to_row()?));
    let (recovery, _) = scene.remove_entry(&laptop, &"paper".into());
    cases.push(skips("not-a-device", "a removal of the recovery key", &scene, recovery.to_row()?));
    let (good, _) = scene.remove_entry(&laptop, phone.id());
    let later = resigned(&good, &laptop, None, |entry| {
        if let (Body::Remove { rotation, .. }, Some(epoch)) = (&mut entry.body, Epoch::new(3)) {
            rotation.epoch = epoch;
        }
    });
    cases.push(skips("epoch", "an epoch left out", &scene, later.to_row()?));
    let cosigned = SignedEntry { cosignature: Some(good.signature), ..good };
    cases.push(skips("unexpected-cosignature", "a removal with a cosignature", &scene, cosigned.to_row()?));
    scene.remove(&laptop, phone.id());
    let again = Owner::device("phone", &mut scene.rng);
    cases.push(skips("id-taken", "an id used before", &scene, scene.add_entry(&laptop, &again).to_row()?));
    let mut keys = again.keys.clone();
    keys.signing = phone.keys.signing.clone();
    let same_key = Owner::new("phone 2", MemberType::Device, keys);
    cases.push(skips(
        "key-taken",
        "a key used before",
        &scene,
        scene.add_entry(&laptop, &same_key).to_row()?,
    ));
    let ghost = Owner::device("ghost", &mut scene.rng);
    cases.push(skips(
        "signer-not-active",
        "signed by a removed device",
        &scene,
        scene.add_entry(&phone, &ghost).to_row()?,
    ));
    let (forged, _) = scene.recover_entry(scene.list.genesis(), &[], &ghost);
    let forged = resigned(&forged, &ghost, Some(&ghost), |_| {});
    cases.push(skips("signature", "a recovery without the recovery key", &scene, forged.to_row()?));
    let secret = EpochSecret::from_bytes([1; 32]);
    let stamp = Stamp { slot: 9, time_ms: 0 };
    let paper = scene.recovery.member.clone();
    let entry = levi_devices::draft::genesis(&scene.user, ghost.member.clone(), paper, stamp)
        .commit(EntryHash::ZERO, &secret);
    let second = SignedEntry::sign(&entry, &ghost.keys, Some(&ghost.keys))?;
    cases.push(skips(
        "not-on-head",
        "a second genesis that names the recovery key",
        &scene,
        second.to_row()?,
    ));
    let mut none = case("no-genesis", "another genesis than the one asked for", &scene, rows(&scene.rows));
    none.genesis = base64([7; 32]);
    cases.push(none);
    Ok(())
}

fn unknown_kind(like: &SignedEntry, signer: &Owner) -> Made<ListRow> {
    let mut entry = like.entry.clone();
    entry["levi/device-list/v1".len()] = 6;
    let signature = signer.keys.sign(&entry)?.to_base64();
    Ok(ListRow { entry: base64(entry), signature, cosignature: None, ..like.to_row()? })
}

/// What comes behind an entry of an unknown kind that a member signed.
fn cut_off(cases: &mut Vec<Case>, scene: &Scene, unknown: &ListRow) -> Made<()> {
    let mut scene = scene.fork(97);
    let laptop = scene.laptop.clone();
    let before = scene.list.head();
    scene.rows.push(unknown.clone());
    let mut gone_on = scene.fork(96);
    gone_on.add(&laptop, "tablet");
    let name = "an unknown kind, signed by a member, with an entry on the same head behind it";
    cases.push(case("unknown-kind", name, &gone_on, rows(&gone_on.rows)));
    let desktop = Owner::device("desktop", &mut scene.rng);
    let (recovery, _) = scene.recover_entry(before, &[&laptop], &desktop);
    scene.push(&recovery);
    let name = "an unknown kind, signed by a member, that a recovery cuts off";
    cases.push(reads(name, &scene, &[]));
    Ok(())
}

/// What a device with a pin makes of the rows.
fn pinned(cases: &mut Vec<Case>) -> Made<()> {
    let mut scene = Scene::new(5);
    let laptop = scene.laptop.clone();
    let phone = Owner::device("phone", &mut scene.rng);
    let good = scene.add_entry(&laptop, &phone);
    let stop = rows(&scene.rows).into_iter().chain([Row::from(&unknown_kind(&good, &laptop)?)]).collect();
    cases.push(case("unknown-kind", "an unknown kind, signed by a member", &scene, stop));
    cut_off(cases, &scene, &unknown_kind(&good, &laptop)?)?;
    scene.push(&good);
    let mut other = scene.fork(99);
    let before = scene.rows.clone();
    scene.add(&laptop, "tablet");
    other.add(&phone, "desktop");
    cases.push(reads("the list has gone on since it was pinned", &scene, &before));
    let pin = |expected, name, pinned: &Scene, shown: &[ListRow]| Case {
        pinned: rows(&pinned.rows),
        ..case(expected, name, pinned, rows(shown))
    };
    cases.push(pin("rolled-back", "the list ends before the pinned entry", &scene, &before));
    cases.push(pin("rolled-back", "no rows at all", &scene, &[]));
    cases.push(pin("forked", "another entry in place of the pinned one", &scene, &other.rows));
    cases.push(pin("forked", "another genesis", &scene, &Scene::new(6).rows));
    let mut unsigned = scene.rows.clone();
    unsigned[2].signature.clone_from(&scene.rows[1].signature);
    cases.push(pin("rolled-back", "a signature of a pinned entry altered", &scene, &unsigned));

    let stolen = Case { pinned: rows(&scene.rows), ..case("", "", &scene, Vec::new()) };
    let desktop = Owner::device("new", &mut other.rng);
    let mut hidden = other.fork(98);
    hidden.rows = before;
    hidden.list = DeviceList::read(&hidden.user, hidden.list.genesis(), &hidden.rows)?;
    let (recovery, _) = hidden.recover_entry(hidden.list.head(), &[&phone], &desktop);
    hidden.push(&recovery);
    let name = "a recovery in place of the pinned entry, above every epoch seen";
    cases.push(Case { pinned: stolen.pinned.clone(), ..reads(name, &hidden, &[]) });
    scene.remove(&laptop, phone.id());
    let name = "a recovery in place of pinned entries, with an epoch that was seen already";
    cases.push(pin("forked", name, &scene, &hidden.rows));
    Ok(())
}

/// Rows that would bring in a member whom no list takes, or remove one twice.
fn skipped_members(cases: &mut Vec<Case>) -> Made<()> {
    let mut scene = Scene::new(7);
    let laptop = scene.laptop.clone();
    let phone = Owner::device("phone", &mut scene.rng);
    let good = scene.add_entry(&laptop, &phone);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| -> Made<ListRow> {
        let mut bytes = good.entry.clone();
        change(&mut bytes);
        // Signed by both, so that only the member is wrong.
        let signature = laptop.keys.sign(&bytes)?.to_base64();
        let cosignature = Some(phone.keys.sign(&bytes)?.to_base64());
        Ok(ListRow { entry: base64(bytes), signature, cosignature, ..good.to_row()? })
    };
    let keys_at = good.entry.len() - 1280;
    let type_at = keys_at - "phone".len() - 4 - 1;
    let mut add = |why: &str, name: &str, row: ListRow| cases.push(skips(why, name, &scene, row));
    add("member", "an Ed25519 key of low order", changed(&|entry| entry[keys_at..keys_at + 32].fill(0))?);
    add("member", "an X25519 key of low order", changed(&|entry| entry[keys_at + 32..keys_at + 64].fill(0))?);
    add("malformed", "a member of an unknown type", changed(&|entry| entry[type_at] = 3)?);
    add("member-type", "an addition of a recovery key", changed(&|entry| entry[type_at] = 2)?);
    scene.push(&good);
    let desktop = Owner::device("desktop", &mut scene.rng);
    let (twice, _) = scene.recover_entry(scene.list.head(), &[&phone, &phone], &desktop);
    cases.push(skips("not-a-device", "a recovery that removes a device twice", &scene, twice.to_row()?));
    Ok(())
}

/// It stops the reading on whatever entry it follows, because no recovery cuts it off.
fn unknown_kind_of_the_recovery_key(cases: &mut Vec<Case>) -> Made<()> {
    let mut scene = Scene::new(8);
    let laptop = scene.laptop.clone();
    let genesis = scene.list.genesis();
    scene.add(&laptop, "phone");
    let desktop = Owner::device("desktop", &mut scene.rng);
    let (recovery, _) = scene.recover_entry(genesis, &[], &desktop);
    let row = Row::from(&unknown_kind(&recovery, &scene.recovery)?);
    let shown = rows(&scene.rows).into_iter().chain([row]).collect();
    let name = "an unknown kind, signed by the recovery key on an entry before the head";
    cases.push(case("unknown-kind", name, &scene, shown));
    Ok(())
}
