//! What the recovery key was given: devices look after it, and it opens on the day on which somebody needs it.

use levi_crypto::envelope::{self, Envelope, Route};
use levi_devices::list::DeviceList;
use levi_devices::recovery::RecoveryKey;
use levi_transport::rows::{SecretRow, decode_rows};
use levi_transport::{PagedQuery as _, SecretsFor, Supabase as _};
use levi_types::{AccessToken, DeviceId};

use super::process::Process;
use super::{Session, World};
use crate::readers::device::at_once;

impl World {
    /// Somebody runs `levi verify`.
    pub(super) fn mend_somewhere(&mut self) {
        let inside = self.listed();
        if let Some(number) = self.one_of(&inside) {
            self.note(format!("d{number} looks after the recovery key"));
            self.command(number, Process::mend);
        }
    }

    pub(super) fn mend_everywhere(&mut self) {
        for number in self.listed() {
            self.command(number, Process::mend);
        }
    }

    /// The recovery key opens every session that its own device has distributed.
    pub(super) fn check_paper(&mut self) {
        let Some((list, paper)) = self.truth().zip(self.paper()).filter(|_| self.violation.is_none()) else {
            return;
        };
        let Some(recovery) = list.recovery().map(|member| member.id().clone()) else { return };
        let rows = self.envelopes_for(&recovery);
        let inside = self.listed();
        let can = |session: &&Session| {
            let owner = self.devices.get(session.owner).filter(|owner| !owner.only_reads);
            owner.is_some() && inside.contains(&session.owner) && session.is_distributed
        };
        let opens = |session: &Session| {
            let row = rows.iter().find(|row| row.session_id == session.id);
            row.is_some_and(|row| self.opens(&list, &paper, row, session))
        };
        let closed = self.sessions.iter().filter(can).find(|session| !opens(session));
        if let Some(session) = closed.map(|session| session.id.clone()) {
            self.fail("recovery", format!("the recovery key does not open {session}"));
        }
    }

    fn opens(&self, list: &DeviceList, paper: &RecoveryKey, row: &SecretRow, session: &Session) -> bool {
        let Some(sender) = row.sender_device_id.as_ref().and_then(|sender| list.member(sender)) else {
            return false;
        };
        let Ok(sealed) = Envelope::from_wire(&row.ephemeral_public_key, &row.encrypted_secret) else {
            return false;
        };
        let route = Route {
            user_id: &self.user,
            session_id: &session.id,
            sender_device_id: sender.member.id(),
            recipient_device_id: &row.device_id,
        };
        let (key, sender) = (paper.member_keys().envelope, sender.member.keys().envelope());
        envelope::open(&sealed, route, &key, sender).is_ok_and(|secret| secret == session.secret)
    }

    fn envelopes_for(&self, recovery: &DeviceId) -> Vec<SecretRow> {
        let select = SecretsFor(recovery).page(None, 10_000);
        let rows = at_once(self.project.select(&AccessToken::from("token"), select)).and_then(Result::ok);
        rows.and_then(|rows| decode_rows(&rows).ok()).unwrap_or_default()
    }
}
