//! What users do with the devices, and the faults of the devices and the server meanwhile.

use std::sync::Arc;
use std::time::Duration;

use levi_core::DeviceListState;
use levi_crypto::SessionSecret;
use levi_crypto::at_rest::DatabaseKey;
use levi_devices::MemberKeys;
use levi_devices::list::DeviceList;
use levi_devices::recovery::RecoveryKey;
use levi_transport::Table;
use levi_transport::rows::DeviceRow;
use levi_types::{DeviceId, MessageSyncRequest};

use super::disk::Waiting;
use super::followers::Follower;
use super::process::{CodeCell, Machine, Process};
use super::{Device, Session, World};
use crate::random::Random;
use crate::readers::uuid;

/// The most devices of one simulation. Each costs a keyring in each epoch.
const MOST_DEVICES: usize = 6;

impl World {
    pub(super) fn event(&mut self) {
        match self.random.below(28) {
            0..=5 => self.write(),
            6..=8 => self.read_somewhere(),
            9 => self.new_session(),
            10..=14 => self.pair(),
            15 | 16 => self.remove(),
            17 => self.kill(),
            18 => self.switch(),
            19 => {
                let is_down = self.random.chance(50);
                self.note(format!("the server is {}", if is_down { "down" } else { "up" }));
                self.set_weather(|weather| weather.is_down = is_down);
            }
            20 => self.new_device(),
            21 => self.begin_again(),
            22 => self.new_recovery_key(),
            23 => self.recover_once(),
            24 => self.lose(),
            25 => self.mend_somewhere(),
            _ => {
                let millis = self.random.pick(&[100, 3_000, 70_000]);
                self.clock.advance(Duration::from_millis(millis));
            }
        }
    }

    /// A device is bought, and its person signs in.
    pub(super) fn new_device(&mut self) {
        let number = self.devices.len();
        if number >= MOST_DEVICES {
            return;
        }
        let keys = MemberKeys::generate(&mut self.random);
        let (id, name) = (DeviceId::from(uuid(2, number)), format!("device {number}"));
        let row = DeviceRow {
            public_key: Some(keys.envelope.public_key().to_base64()),
            ..DeviceRow::new(id.clone(), self.user.clone(), name.clone(), "desktop")
        };
        let row = serde_json::to_vec(&[row]).unwrap_or_default();
        if let Err(error) = self.project.write(Table::Devices, &row) {
            self.fail("devices", format!("the simulated server refused a row: {error}"));
        }
        let machine = Machine {
            id,
            name,
            user: self.user.clone(),
            keys,
            database_key: DatabaseKey::generate(&mut self.random),
            disk: Arc::default(),
            store: Arc::default(),
            project: self.project.clone(),
            clock: Arc::clone(&self.clock),
            weather: Arc::clone(&self.weather),
        };
        // The first one begins the list.
        let only_reads = number > 0 && self.random.chance(30);
        let follows = only_reads || self.random.chance(30);
        self.started += 1;
        let process = Process::start(&machine, &Random::new(self.seed, 1_000 + self.started));
        self.devices.push(Device {
            machine,
            process,
            jobs: Vec::new(),
            is_on: true,
            is_lost: false,
            only_reads,
            follower: follows.then(Follower::default),
            is_looking: false,
            look_at: None,
            is_active: true,
            said: DeviceListState::default(),
        });
        self.note(format!("d{number} is signed in{}", if only_reads { ", and only reads" } else { "" }));
        self.follow(number);
    }

    pub(super) fn init(&mut self, number: usize) {
        let key = RecoveryKey::generate(&mut self.random);
        self.papers.push(key.clone());
        self.note(format!("d{number} begins a list"));
        let name = self.name(number);
        self.command(number, |process| process.init(&name, key));
    }

    /// Somebody runs `levi init`, perhaps on two devices at once.
    fn begin_again(&mut self) {
        let outside = self.unlisted();
        for number in outside.into_iter().take(2) {
            self.init(number);
        }
    }

    fn pair(&mut self) {
        let (inside, outside) = (self.listed(), self.unlisted());
        let (Some(old), Some(new)) = (self.one_of(&inside), self.one_of(&outside)) else { return };
        self.pair_with(old, new);
    }

    pub(super) fn pair_with(&mut self, old: usize, new: usize) {
        let code = CodeCell::default();
        self.note(format!("d{old} is to add d{new}"));
        let (name, for_new) = (self.name(new), Arc::clone(&code));
        self.command(old, |process| process.invite(code));
        self.command(new, |process| process.join(&name, for_new));
    }

    /// Perhaps a device removes itself.
    fn remove(&mut self) {
        let inside = self.listed();
        let (Some(by), Some(of)) = (self.one_of(&inside), self.one_of(&inside)) else { return };
        self.remove_by(by, of);
    }

    pub(super) fn remove_by(&mut self, by: usize, of: usize) {
        self.note(format!("d{by} is to remove d{of}"));
        let Some(id) = self.devices.get(of).map(|device| device.machine.id.clone()) else { return };
        self.command(by, |process| process.remove(id));
    }

    fn kill(&mut self) {
        let all: Vec<usize> = (0..self.devices.len()).collect();
        if let Some(number) = self.one_of(&all) {
            self.restart(number);
        }
    }

    /// A laptop is closed or opened.
    fn switch(&mut self) {
        let all: Vec<usize> = (0..self.devices.len()).collect();
        let Some(number) = self.one_of(&all) else { return };
        let Some(device) = self.devices.get_mut(number).filter(|device| !device.is_lost) else { return };
        device.is_on = !device.is_on;
        let is_on = device.is_on;
        self.note(format!("d{number} is {}", if is_on { "on" } else { "off" }));
    }

    /// A device is lost forever.
    fn lose(&mut self) {
        let inside = self.listed();
        let Some(number) = self.one_of(&inside).filter(|_| self.random.chance(50)) else { return };
        if let Some(device) = self.devices.get_mut(number) {
            (device.is_on, device.is_lost) = (false, true);
            device.process.line.end();
            device.jobs.clear();
            self.note(format!("d{number} is lost"));
        }
    }

    fn new_recovery_key(&mut self) {
        let inside = self.listed();
        let (Some(by), Some(old)) = (self.one_of(&inside), self.paper()) else { return };
        let new = RecoveryKey::generate(&mut self.random);
        self.papers.push(new.clone());
        self.note(format!("d{by} is to replace the recovery key"));
        self.command(by, |process| process.new_recovery_key(old, new));
    }

    fn recover_once(&mut self) {
        let outside = self.unlisted();
        let Some(number) = self.one_of(&outside).filter(|_| self.random.chance(40)) else { return };
        // Removes only the lost devices, or all other devices.
        let keep = if self.random.chance(50) { self.listed() } else { Vec::new() };
        self.recover(number, &keep);
    }

    pub(super) fn recover(&mut self, number: usize, keep: &[usize]) {
        let Some(key) = self.paper() else { return };
        let keep: Vec<DeviceId> = keep
            .iter()
            .filter_map(|kept| self.devices.get(*kept))
            .filter(|device| !device.is_lost)
            .map(|device| device.machine.id.clone())
            .collect();
        self.note(format!("d{number} is to recover, and to keep {} devices", keep.len()));
        let name = self.name(number);
        self.command(number, |process| process.recover(&name, keep, key));
    }

    fn new_session(&mut self) {
        let mut inside = self.listed();
        inside.retain(|number| self.devices.get(*number).is_some_and(|device| !device.only_reads));
        let Some(owner) = self.one_of(&inside) else { return };
        let number = self.sessions.len();
        let (id, secret) = (uuid(3, number).into(), SessionSecret::generate(&mut self.random));
        let Some(device) = self.devices.get(owner) else { return };
        // Exposed to the device's own store.
        device.machine.store.save_secret(&id, secret.expose().into());
        let row = serde_json::json!([{ "id": id, "user_id": self.user, "device_id": device.machine.id }]);
        if let Err(error) = self.project.write(Table::Sessions, row.to_string().as_bytes()) {
            self.fail("devices", format!("the simulated server refused a row: {error}"));
        }
        self.note(format!("s{number} begins on d{owner}"));
        self.sessions.push(Session { id, secret, owner, writer: owner, next: 1, is_distributed: false });
        self.distribute(number);
    }

    /// The owner gives the secret to everybody on the list.
    pub(super) fn distribute(&mut self, number: usize) {
        let Some(Session { id, secret, owner, .. }) = self.sessions.get(number) else { return };
        let (id, secret, owner) = (id.clone(), secret.clone(), *owner);
        self.start(owner, |process| process.distribute(number, id, secret));
    }

    fn write(&mut self) {
        if self.sessions.is_empty() {
            return self.new_session();
        }
        let all: Vec<usize> = (0..self.sessions.len()).collect();
        let Some(number) = self.one_of(&all) else { return };
        let count = self.random.between(1, 3);
        let Some(session) = self.sessions.get_mut(number) else { return };
        let Some(device) = self.devices.get_mut(session.writer).filter(|device| !device.is_lost) else {
            return;
        };
        for _ in 0..count {
            let place = session.next;
            session.next += 1;
            let request = MessageSyncRequest {
                message_id: format!("m{place}").as_str().into(),
                session_id: session.id.clone(),
                sequence_number: place,
                content: format!("s{number}/{place}"),
            };
            device.machine.disk.kept().outbox.push(Waiting { request, row: None });
        }
        let writer = session.writer;
        self.note(format!("d{writer} writes {count} messages of s{number}"));
        self.send(writer);
    }

    pub(super) fn send(&mut self, number: usize) {
        if let Some(device) = self.devices.get_mut(number) {
            device.is_active = true;
            device.jobs.push(device.process.send());
        }
    }

    fn read_somewhere(&mut self) {
        let (devices, sessions): (Vec<usize>, Vec<usize>) =
            ((0..self.devices.len()).collect(), (0..self.sessions.len()).collect());
        if let (Some(device), Some(session)) = (self.one_of(&devices), self.one_of(&sessions)) {
            self.read(device, session);
        }
    }

    pub(super) fn read(&mut self, device: usize, session: usize) {
        let Some(id) = self.sessions.get(session).map(|session| session.id.clone()) else { return };
        self.start(device, |process| process.read(session, id));
    }

    pub(super) fn name(&self, number: usize) -> String {
        self.devices.get(number).map(|device| device.machine.name.clone()).unwrap_or_default()
    }

    /// The recovery key of the list as it is.
    pub(super) fn paper(&self) -> Option<RecoveryKey> {
        let list = self.truth()?;
        let recovery = list.recovery()?.keys().clone();
        self.papers
            .iter()
            .find(|paper| paper.member_keys().public_keys().is_ok_and(|keys| keys == recovery))
            .cloned()
    }

    /// Devices that are on the list, lost ones not.
    pub(super) fn listed(&self) -> Vec<usize> {
        let list = self.truth();
        let is_listed = |list: &DeviceList, device: &Device| list.active(&device.machine.id).is_some();
        let all = self.devices.iter().enumerate();
        all.filter(|(_, device)| !device.is_lost && list.as_ref().is_some_and(|list| is_listed(list, device)))
            .map(|(number, _)| number)
            .collect()
    }

    /// Devices that never were on the list.
    pub(super) fn unlisted(&self) -> Vec<usize> {
        let list = self.truth();
        let was_listed =
            |device: &Device| list.as_ref().is_some_and(|list| list.member(&device.machine.id).is_some());
        let all = self.devices.iter().enumerate();
        all.filter(|(_, device)| !device.is_lost && !was_listed(device)).map(|(number, _)| number).collect()
    }
}
