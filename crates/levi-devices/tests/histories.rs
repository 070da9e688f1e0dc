//! Random histories: honest devices agree whatever happens, and what an attacker adds to the table
//! changes nothing.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is a failure that names its line")]

mod common;

use common::{Owner, Scene, resigned, rng};
use levi_devices::draft::{Stamp, free_slot, genesis};
use levi_devices::entry::{Entry, ListRow, SignedEntry};
use levi_devices::list::DeviceList;
use levi_devices::{EntryHash, EpochSecret};
use proptest::prelude::*;

/// What an honest device does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Add,
    Remove(usize),
    NewRecoveryKey,
    Recover(usize),
}

/// A step by one of the devices, which may not have read the list for a while, and what an attacker
/// inserts before it.
#[derive(Clone, Copy, Debug)]
struct Turn {
    actor: usize,
    step: Step,
    reads_first: bool,
    attack: Option<usize>,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let step = prop_oneof![
        4 => Just(Step::Add),
        3 => any::<usize>().prop_map(Step::Remove),
        1 => Just(Step::NewRecoveryKey),
        1 => any::<usize>().prop_map(Step::Recover),
    ];
    let turn = (any::<usize>(), step, any::<bool>(), proptest::option::of(0..ATTACKS.len()))
        .prop_map(|(actor, step, reads_first, attack)| Turn { actor, step, reads_first, attack });
    proptest::collection::vec(turn, 1..14)
}

/// An honest device with its own view.
struct Node {
    owner: Owner,
    view: DeviceList,
}

/// The table, which takes one row a slot, and everybody's devices.
struct Simulation {
    scene: Scene,
    nodes: Vec<Node>,
    removed: Vec<Node>,
    names: usize,
}

impl Simulation {
    fn new() -> Self {
        let scene = Scene::new(70);
        let nodes = vec![Node { owner: scene.laptop.clone(), view: scene.list.clone() }];
        Self { scene, nodes, removed: Vec::new(), names: 0 }
    }

    /// Plain insert: refused if the slot is taken.
    fn insert(&mut self, row: ListRow) -> bool {
        let free = self.scene.rows.iter().all(|known| known.slot != row.slot);
        if free {
            self.scene.rows.push(row);
        }
        free
    }

    /// Reads the rows as a device does that pinned `view`. Nobody is ever accused.
    fn refresh(&mut self, node: usize) {
        self.nodes[node].view = self.nodes[node].view.extend(&self.scene.rows).unwrap();
    }

    fn new_device(&mut self) -> Owner {
        self.names += 1;
        Owner::device(&format!("device {}", self.names), &mut self.scene.rng)
    }

    /// Does the step on the actor's view, stale or not. It is inserted only if the actor's own list
    /// accepts it.
    fn turn(&mut self, turn: Turn) {
        if let Some(attack) = turn.attack {
            let row = ATTACKS[attack](self);
            self.insert(row);
        }
        let actor = turn.actor % self.nodes.len();
        if turn.reads_first {
            self.refresh(actor);
        }
        // The scene drafts on the actor's view.
        self.scene.list = self.nodes[actor].view.clone();
        let signer = self.nodes[actor].owner.clone();
        let mut joined = None;
        let signed = match turn.step {
            Step::Add => {
                let new = self.new_device();
                joined = Some(new.clone());
                self.scene.add_entry(&signer, &new)
            }
            Step::Remove(which) => {
                let target = self.nodes[which % self.nodes.len()].owner.id().clone();
                self.scene.remove_entry(&signer, &target).0
            }
            Step::NewRecoveryKey => {
                self.names += 1;
                let new = Owner::recovery(&format!("paper {}", self.names), &mut self.scene.rng);
                let signed = self.scene.new_recovery_entry(&new).0;
                joined = Some(new);
                signed
            }
            Step::Recover(depth) => {
                let new = self.new_device();
                joined = Some(new.clone());
                let after = self.ancestor(depth);
                self.scene.recover_entry(after, &[], &new).0
            }
        };
        let accepted = self.nodes[actor].view.clone().accept(&signed).is_ok();
        if accepted && self.insert(signed.to_row().unwrap()) {
            self.settle(joined);
        }
    }

    /// The hash of one of the last entries.
    fn ancestor(&self, depth: usize) -> EntryHash {
        let hashes: Vec<EntryHash> = self.scene.list.entries().map(SignedEntry::hash).collect();
        hashes[hashes.len() - 1 - depth % hashes.len().min(3)]
    }

    /// Everybody reads, though those who stay act on their older view. A new device pins what it
    /// reads.
    fn settle(&mut self, joined: Option<Owner>) {
        let truth = self.scene.read();
        if let Some(joined) = joined.filter(|joined| truth.active(joined.id()).is_some()) {
            if truth.recovery().is_some_and(|recovery| recovery.id() == joined.id()) {
                self.scene.recovery = joined;
            } else {
                self.nodes.push(Node { owner: joined, view: truth.clone() });
            }
        }
        // A device learns of its removal from the list, and is accused of nothing. If a recovery
        // cuts the removal off, it is a member again.
        let mut everybody = std::mem::take(&mut self.nodes);
        everybody.append(&mut self.removed);
        for mut node in everybody {
            let seen = node.view.extend(&self.scene.rows).unwrap();
            assert_eq!(seen, truth);
            if truth.active(node.owner.id()).is_some() {
                self.nodes.push(node);
            } else {
                node.view = seen;
                self.removed.push(node);
            }
        }
    }

    fn free_slot(&self) -> u64 {
        let taken: Vec<u64> = self.scene.rows.iter().map(|row| row.slot).collect();
        free_slot(Some(self.scene.read().slot()), &taken).unwrap()
    }

    /// An entry that adds a ghost to the current head, for the attacker to spoil.
    fn ghost(&mut self, signer: &Owner) -> (SignedEntry, Owner) {
        self.scene.list = self.scene.read();
        let ghost = Owner::device("ghost", &mut rng(200));
        (self.scene.add_entry(signer, &ghost), ghost)
    }
}

/// What somebody inserts who has the user's token, and the keys of every device that was removed.
const ATTACKS: [fn(&mut Simulation) -> ListRow; 8] = [
    // Garbage.
    |world| ListRow {
        slot: world.free_slot(),
        entry: "AAAA".into(),
        signature: "AAAA".into(),
        cosignature: None,
    },
    // The last entry again, under its own and under another number.
    |world| {
        let last = world.scene.read().entries().last().unwrap().to_row().unwrap();
        ListRow { slot: world.free_slot(), ..last }
    },
    // A ghost that signs for itself.
    |world| {
        let ghost = Owner::device("ghost", &mut rng(200));
        world.ghost(&ghost.clone()).0.to_row().unwrap()
    },
    // A ghost in a member's name.
    |world| {
        let member = world.nodes[0].owner.clone();
        let (signed, ghost) = world.ghost(&member);
        resigned(&signed, &ghost, Some(&ghost), |_| {}).to_row().unwrap()
    },
    // A ghost signed by a removed device, in its own name or that of a member.
    |world| {
        let member = world.nodes[0].owner.clone();
        let removed = world
            .removed
            .last()
            .map(|node| node.owner.clone())
            .unwrap_or_else(|| Owner::device("none", &mut rng(201)));
        let (signed, ghost) = world.ghost(&member);
        let id = removed.id().clone();
        resigned(&signed, &removed, Some(&ghost), |entry| entry.header.signer_id = id).to_row().unwrap()
    },
    // A member's keys swapped: an honest entry with a ghost's keys in it.
    |world| {
        let member = world.nodes[0].owner.clone();
        let (signed, ghost) = world.ghost(&member);
        let mut entry = signed.entry.clone();
        let end = entry.len();
        entry[end - 1216..].fill(1);
        let swapped = SignedEntry { cosignature: Some(ghost.keys.sign(&entry).unwrap()), entry, ..signed };
        ListRow { slot: world.free_slot(), ..row_of(&swapped) }
    },
    // A second genesis with the same recovery public key.
    |world| {
        let ghost = Owner::device("ghost", &mut rng(202));
        let stamp = Stamp { slot: world.free_slot(), time_ms: 0 };
        let secret = EpochSecret::from_bytes([1; 32]);
        let recovery = world.scene.recovery.member.clone();
        let entry = genesis(&world.scene.user, ghost.member.clone(), recovery, stamp)
            .commit(EntryHash::ZERO, &secret);
        SignedEntry::sign(&entry, &ghost.keys, Some(&ghost.keys)).unwrap().to_row().unwrap()
    },
    // A recovery without the recovery key, from the genesis on.
    |world| {
        world.scene.list = world.scene.read();
        let ghost = Owner::device("ghost", &mut rng(203));
        let genesis = world.scene.list.genesis();
        let (signed, _) = world.scene.recover_entry(genesis, &[], &ghost);
        resigned(&signed, &ghost, Some(&ghost), |_| {}).to_row().unwrap()
    },
];

fn row_of(signed: &SignedEntry) -> ListRow {
    use base64::Engine as _;
    ListRow {
        slot: 0,
        entry: base64::engine::general_purpose::STANDARD.encode(&signed.entry),
        signature: signed.signature.to_base64(),
        cosignature: signed.cosignature.map(|signature| signature.to_base64()),
    }
}

/// The rows without those that no honest device wrote.
fn honest(rows: &[ListRow], truth: &DeviceList) -> Vec<ListRow> {
    let accepted =
        |row: &&ListRow| SignedEntry::from_row(row).is_ok_and(|signed| truth.has_seen(signed.hash()));
    rows.iter().filter(accepted).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn honest_devices_agree_and_attacks_change_nothing(turns in turns()) {
        let mut world = Simulation::new();
        for turn in turns {
            world.turn(turn);
            let truth = world.scene.read();
            prop_assert!(truth.members().iter().all(|known| known.member.name() != "ghost"));
        }
        let truth = world.scene.read();
        for node in 0..world.nodes.len() {
            world.refresh(node);
            prop_assert_eq!(&world.nodes[node].view, &truth);
            prop_assert_eq!(world.nodes[node].view.verify_code(), truth.verify_code());
        }
        // In any order, and without what attackers wrote, the rows are the same list.
        let mut rows = honest(&world.scene.rows, &truth);
        rows.reverse();
        prop_assert_eq!(DeviceList::read(&world.scene.user, truth.genesis(), &rows).unwrap(), truth.clone());
        // Whatever part of the rows a server shows, a device goes back to no earlier list.
        for shown in 0..rows.len() {
            let mut part = rows.clone();
            part.remove(shown);
            if let Ok(extended) = truth.extend(&part) {
                prop_assert!(extended.has_seen(truth.head()));
            }
        }
        let stored: Vec<SignedEntry> = truth.entries().cloned().collect();
        let restored = DeviceList::restore(&truth.pin(), &stored).unwrap();
        prop_assert_eq!(restored.extend(&world.scene.rows).unwrap(), truth.clone());
        prop_assert!(stored.iter().all(|signed| Entry::decode(&signed.entry).is_ok()));
    }
}
