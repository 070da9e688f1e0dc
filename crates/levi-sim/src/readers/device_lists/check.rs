//! What must hold at all times: no device accuses anybody, and every error is one that honest
//! devices can cause.

use levi_core::{
    BackfillReport, DeviceListError, DeviceListProblem, DeviceListState, MessageError, ReadError, SyncError,
};
use levi_devices::entry::ListRow;
use levi_devices::list::{DeviceList, Refusal};
use levi_devices::pairing::PairingError;
use levi_transport::rows::{DeviceListRow, decode_rows};
use levi_transport::{Select, Supabase as _};
use levi_types::AccessToken;

use super::World;
use super::process::Messages;
use crate::readers::device::at_once;

impl World {
    /// The list as the server has it. It is honest, so there is at most one.
    pub(super) fn truth(&self) -> Option<DeviceList> {
        let select = Select::device_list(&self.user, None, 2_000);
        let rows = at_once(self.project.select(&AccessToken::from("token"), select))?.ok()?;
        let rows: Vec<DeviceListRow> = decode_rows(&rows).ok()?;
        let rows: Vec<ListRow> = rows
            .into_iter()
            .filter_map(|row| {
                let DeviceListRow { slot, entry, signature, cosignature, .. } = row;
                Some(ListRow { slot: u64::try_from(slot).ok()?, entry, signature, cosignature })
            })
            .collect();
        let genesis = DeviceList::geneses(&self.user, &rows).into_iter().next()?;
        DeviceList::read(&self.user, genesis, &rows).ok()
    }

    /// The device says nothing that is not so.
    pub(super) fn check_state(&mut self, number: usize) {
        let Some(device) = self.devices.get_mut(number) else { return };
        let state = device.process.list.state();
        if device.said == state {
            return;
        }
        device.said = state.clone();
        if let DeviceListState::Stopped(problem) = state {
            let id = device.machine.id.clone();
            self.check_problem(number, &problem);
            if problem == DeviceListProblem::Removed
                && self.truth().is_some_and(|list| list.active(&id).is_some())
            {
                self.fail("accused", format!("d{number} says that it was removed, and it was not"));
            }
        }
    }

    fn check_problem(&mut self, number: usize, problem: &DeviceListProblem) {
        match problem {
            DeviceListProblem::NotLooked
            | DeviceListProblem::NotOnList
            | DeviceListProblem::Removed
            | DeviceListProblem::NoKeyring
            | DeviceListProblem::Store(_) => {}
            accusation => self.fail("accused", format!("d{number} stops: {accusation}")),
        }
    }

    pub(super) fn check_change(&mut self, number: usize, what: &str, result: Result<(), DeviceListError>) {
        let error = match result {
            Ok(()) => return self.note(format!("d{number}: {what} is done")),
            Err(error) => error,
        };
        self.note(format!("d{number}: {what}: {error}"));
        let is_honest = match &error {
            DeviceListError::Problem(problem) => return self.check_problem(number, problem),
            DeviceListError::Supabase(_)
            | DeviceListError::NoList
            | DeviceListError::ListExists
            | DeviceListError::AlreadyListed
            | DeviceListError::NoSuchDevice(_)
            | DeviceListError::CodeUsed
            | DeviceListError::CodeNotShown
            | DeviceListError::TimedOut
            | DeviceListError::OlderKeyring { .. }
            | DeviceListError::Raced => true,
            DeviceListError::Refused(refusal) => {
                // It was on the list before, or the user wants to remove the last device.
                matches!(refusal, Refusal::LastDevice | Refusal::IdTaken(_))
            }
            DeviceListError::Pairing(error) => {
                matches!(
                    error,
                    PairingError::Expired | PairingError::ListChanged | PairingError::NotAdded
                    // Another device has added it meanwhile.
                    | PairingError::Refused(Refusal::IdTaken(_))
                )
            }
            // The paper is an older one by now.
            DeviceListError::Read(_) => true,
            _ => false,
        };
        if !is_honest {
            self.fail("accused", format!("d{number}: {what}: {error:?}"));
        }
    }

    pub(super) fn check_shared(&mut self, number: usize, result: Result<BackfillReport, SyncError>) {
        match result {
            Ok(report) => {
                let BackfillReport { shared, unreadable, .. } = report;
                self.note(format!("d{number} has shared {} sessions, {unreadable:?} not", shared.len()));
            }
            Err(error) => self.check_sync(number, "share", Err(error)),
        }
    }

    pub(super) fn check_sync(&mut self, number: usize, what: &str, result: Result<(), SyncError>) {
        let Err(error) = result else { return self.note(format!("d{number}: {what} is done")) };
        self.note(format!("d{number}: {what}: {error}"));
        match &error {
            SyncError::DeviceList(problem) => self.check_problem(number, problem),
            SyncError::Supabase(_) => {}
            // The recipient was removed meanwhile.
            SyncError::NoDeviceIdentity => {}
            error => self.fail("accused", format!("d{number}: {what}: {error:?}")),
        }
    }

    pub(super) fn check_read(&mut self, number: usize, session: usize, result: Result<Messages, ReadError>) {
        let mut read = super::end::Read::default();
        match result {
            Ok(messages) => {
                for message in messages {
                    match message {
                        Ok(message) => {
                            let place = message.sequence_number;
                            if message.content != format!("s{session}/{place}") {
                                self.fail("readable", format!("d{number} reads {:?}", message.content));
                            }
                            read.opened.insert(place);
                        }
                        Err(row) => self.check_row(number, session, &row.error),
                    }
                }
            }
            Err(error) => {
                self.note(format!("d{number} cannot read s{session}: {error}"));
                self.check_read_error(number, session, &error);
            }
        }
        self.note(format!("d{number} reads {} messages of s{session}", read.opened.len()));
        self.reads.insert((number, session), read);
    }

    pub(super) fn check_row(&mut self, number: usize, session: usize, error: &MessageError) {
        self.note(format!("d{number} cannot read a message of s{session}: {error}"));
        match error {
            MessageError::UnknownEpoch { .. } | MessageError::NotOnList => {}
            MessageError::NoSecret(error) => self.check_read_error(number, session, error),
            error => self.fail("accused", format!("d{number}, s{session}: {error}")),
        }
    }

    fn check_read_error(&mut self, number: usize, session: usize, error: &ReadError) {
        match error {
            ReadError::Supabase(_) | ReadError::NoEnvelope { .. } => {}
            error => self.fail("accused", format!("d{number}, s{session}: {error}")),
        }
    }
}
