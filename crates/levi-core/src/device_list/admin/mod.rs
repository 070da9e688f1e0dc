//! Changes of the list by a person on this device: begin it, add a device, remove one, recover. Each change is one signed
//! entry and the keyrings that go with it.

mod append;
mod error;
mod init;
mod invite;
mod join;
mod keyrings;
mod recover;
mod remove;

use std::sync::Arc;
use std::time::Duration;

use levi_devices::list::ListMember;
use levi_devices::{Fingerprint, Member, MemberType, VerifyCode};
use levi_transport::Supabase;
use levi_types::{Auth, AuthSession, Clock, DeviceId, Monotonic};

pub(super) use self::append::keyring_rows;
pub use self::error::DeviceListError;
pub use self::init::OtherDevices;
pub use self::invite::{OpenInvitation, PairingRequest};
pub use self::recover::Recovery;

use super::look::LookError;
use super::{DeviceListState, SignedDeviceList};
use crate::delay::delay;
use crate::read_policy::Retries;
use crate::reads::Reads;
use crate::server::Server;

/// How often a pairing row is looked at.
const POLL: Duration = Duration::from_secs(1);

/// Changes the signed device list of the user who is signed in, as this device.
///
/// It needs no terminal: the caller shows what the user must see, and passes on the answers.
pub struct DeviceListAdmin {
    server: Server,
    list: SignedDeviceList,
    clock: Arc<dyn Clock>,
    poll: Duration,
}

/// A device that is or was on the list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedDevice {
    /// Its id in the table `devices`.
    pub id: DeviceId,
    /// The name that it had when it was added.
    pub name: String,
    /// A short text that stands for its keys, for people to compare.
    pub fingerprint: Fingerprint,
    /// A device, or the recovery key.
    pub member_type: MemberType,
    /// The name of the member that added it.
    pub added_by: String,
    /// When, in milliseconds since 1970, by that member's clock.
    pub added_ms: i64,
    /// The slot of the entry that added it.
    pub added_slot: u64,
    /// When it was removed, likewise.
    pub removed_ms: Option<i64>,
    /// The slot of the entry that removed it.
    pub removed_slot: Option<u64>,
    /// Whether it is this device.
    pub is_this: bool,
}

impl DeviceListAdmin {
    /// Changes `list`, which must be this device's.
    pub fn new(
        supabase: Arc<dyn Supabase>,
        auth: Arc<dyn Auth>,
        list: SignedDeviceList,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let server = Server::new(supabase, auth, list.0.cache.clone());
        Self { server, list, clock, poll: POLL }
    }

    /// Looks at a pairing row every `interval` (default: every second).
    #[must_use]
    pub const fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.poll = interval;
        self
    }

    /// Looks at the list on the server, and returns whether it can be relied on now.
    ///
    /// # Errors
    /// [`DeviceListError`] if the server cannot be asked. That the list cannot be relied on is no error here.
    pub async fn state(&self) -> Result<DeviceListState, DeviceListError> {
        let auth = self.server.session().await?;
        match self.list.look(&self.reads(&auth), &auth.user_id).await {
            Ok(state) => Ok(state),
            Err(LookError::Server(error)) => Err(error.into()),
            Err(LookError::Store(problem)) => Ok(DeviceListState::Stopped(problem)),
            Err(LookError::Overtaken) => Err(DeviceListError::Raced),
        }
    }

    /// Looks at the list on the server, and returns its members in the order in which they were added.
    ///
    /// # Errors
    /// [`DeviceListError`]
    pub async fn devices(&self) -> Result<Vec<ListedDevice>, DeviceListError> {
        let auth = self.server.session().await?;
        self.look(&auth).await?;
        let list = self.list.list(&auth.user_id).ok_or(DeviceListError::NoList)?;
        let name_of = |id: &DeviceId| list.member(id).map(|known| known.member.name().to_owned());
        Ok(list.members().iter().map(|known| self.listed(known, name_of)).collect())
    }

    /// Digits that are equal on two devices exactly if both have seen the same list.
    ///
    /// # Errors
    /// [`DeviceListError`]
    pub async fn verify_code(&self) -> Result<VerifyCode, DeviceListError> {
        // Where the server shows another list, this device's own is what a person compares.
        self.state().await?;
        let auth = self.server.session().await?;
        let list = self.list.list(&auth.user_id).ok_or(DeviceListError::NoList)?;
        Ok(list.verify_code())
    }

    /// The active device whose name is `typed`, or whose fingerprint begins so.
    ///
    /// # Errors
    /// [`DeviceListError::NoSuchDevice`] or [`DeviceListError::Ambiguous`].
    pub async fn find(&self, typed: &str) -> Result<ListedDevice, DeviceListError> {
        let active = self
            .devices()
            .await?
            .into_iter()
            .filter(|device| device.removed_ms.is_none() && device.member_type == MemberType::Device);
        let active: Vec<ListedDevice> = active.collect();
        let by_name: Vec<&ListedDevice> = active.iter().filter(|device| device.name == typed).collect();
        let found = match by_name.is_empty() {
            true => active.iter().filter(|device| device.fingerprint.starts_with(typed)).collect(),
            false => by_name,
        };
        match &found[..] {
            [] => Err(DeviceListError::NoSuchDevice(typed.to_owned())),
            [one] => Ok((*one).clone()),
            several => Err(DeviceListError::Ambiguous {
                typed: typed.to_owned(),
                matches: several.iter().map(|device| device.fingerprint.to_string()).collect(),
            }),
        }
    }

    /// This device's own fingerprint, for a person to compare.
    ///
    /// # Errors
    /// [`DeviceListError::Keys`] if the keys cannot be used.
    pub fn fingerprint(&self) -> Result<Fingerprint, DeviceListError> {
        Ok(self.this_device("this device")?.fingerprint())
    }

    fn listed(&self, known: &ListMember, name_of: impl Fn(&DeviceId) -> Option<String>) -> ListedDevice {
        let ListMember { member, added, removed } = known;
        ListedDevice {
            id: member.id().clone(),
            name: member.name().to_owned(),
            fingerprint: member.fingerprint(),
            member_type: member.member_type(),
            added_by: name_of(&added.by).unwrap_or_default(),
            added_ms: added.time_ms,
            added_slot: added.slot,
            removed_ms: removed.as_ref().map(|removed| removed.time_ms),
            removed_slot: removed.as_ref().map(|removed| removed.slot),
            is_this: member.id() == self.list.device_id(),
        }
    }

    /// This device as a member.
    fn this_device(&self, name: &str) -> Result<Member, DeviceListError> {
        let (id, keys) = (self.list.device_id().clone(), self.list.0.keys.public_keys()?);
        Ok(Member::new(id, MemberType::Device, name, keys)?)
    }

    /// Looks at the list and requires that it can be relied on.
    async fn look(&self, auth: &AuthSession) -> Result<(), DeviceListError> {
        let state = self.list.look(&self.reads(auth), &auth.user_id).await?;
        match state {
            DeviceListState::Stopped(problem) => Err(problem.into()),
            _ => Ok(()),
        }
    }

    fn reads(&self, auth: &AuthSession) -> Reads<'_> {
        self.server.reads(auth, Retries::none())
    }

    fn now_ms(&self) -> i64 {
        self.clock.now().wall.as_millis()
    }

    /// Waits for another device, for at most `within`.
    fn patience(&self, within: Duration) -> Patience<'_> {
        Patience { admin: self, begun: self.clock.now().monotonic, within }
    }
}

/// How long a row is asked for again.
struct Patience<'a> {
    admin: &'a DeviceListAdmin,
    begun: Monotonic,
    within: Duration,
}

impl Patience<'_> {
    /// Waits until it is time to ask again.
    async fn wait(&self) -> Result<(), DeviceListError> {
        if self.admin.clock.now().monotonic.since(self.begun) >= self.within {
            return Err(DeviceListError::TimedOut);
        }
        delay(self.admin.poll).await;
        Ok(())
    }
}
