//! `levi devices`: who is on the list; without one, who is given the secrets of sessions.

use levi::DeviceId;
use levi::core::{DeviceListError, ListedDevice};
use levi::devices::MemberType;
use levi::transport::Select;
use levi::transport::rows::DeviceRow;
use levi::transport::rows::decode_rows;
use serde::Serialize;

use super::opened::Opened;
use super::{Here, LIMIT};
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::text::{printable, time};

/// Rows of `devices` per request.
const PAGE: u32 = 500;

/// One line of the output for a member of the list.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    fingerprint: String,
    device_id: &'a DeviceId,
    kind: &'static str,
    added_by: &'a str,
    added_ms: i64,
    added_entry: u64,
    removed_ms: Option<i64>,
    removed_entry: Option<u64>,
    this_device: bool,
}

/// One line of the output for a row of the table, if there is no list.
#[derive(Serialize)]
struct Registered<'a> {
    name: &'a str,
    device_id: &'a DeviceId,
    device_type: &'a str,
    listed: bool,
    this_device: bool,
}

#[derive(Serialize)]
struct ThisDevice {
    this_fingerprint: String,
}

pub(super) async fn run(here: &Here, console: Console) -> Result<Exit, CliError> {
    let opened = Opened::new(here).await?;
    match opened.admin.devices().await {
        Ok(devices) => {
            console.say(heading())?;
            devices.iter().try_for_each(|device| print(device, console))?;
            Ok(Exit::Done)
        }
        Err(DeviceListError::NoList) => {
            table(&opened, console).await?;
            own_fingerprint(&opened, console)?;
            console.say(format!("\n{LIMIT}"))?;
            Ok(Exit::Done)
        }
        Err(error @ DeviceListError::Problem(_)) => {
            // A script needs it to pair this device.
            own_fingerprint(&opened, console)?;
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}

fn own_fingerprint(opened: &Opened, console: Console) -> Result<(), CliError> {
    let this_fingerprint = opened.admin.fingerprint()?.to_string();
    console.say(format!("the fingerprint of this device is {this_fingerprint}"))?;
    console.json(&ThisDevice { this_fingerprint })
}

fn heading() -> String {
    format!("{:<20}  {:<19}  {:<16}  {:<32}  state", "name", "fingerprint", "added by", "since")
}

fn print(device: &ListedDevice, console: Console) -> Result<(), CliError> {
    let is_recovery = device.member_type == MemberType::Recovery;
    console.json(&Listed {
        name: &device.name,
        fingerprint: device.fingerprint.to_string(),
        device_id: &device.id,
        kind: if is_recovery { "recovery" } else { "device" },
        added_by: &device.added_by,
        added_ms: device.added_ms,
        added_entry: device.added_slot,
        removed_ms: device.removed_ms,
        removed_entry: device.removed_slot,
        this_device: device.is_this,
    })?;
    let ListedDevice { name, fingerprint, added_by, added_ms, added_slot, .. } = device;
    let since = format!("{} (entry {added_slot})", time(*added_ms));
    console.say(format!("{name:<20}  {fingerprint}  {added_by:<16}  {since:<32}  {}", state(device)))
}

fn state(device: &ListedDevice) -> String {
    match (device.removed_ms, device.removed_slot) {
        (Some(removed), Some(entry)) => format!("removed {} (entry {entry})", time(removed)),
        _ if device.is_this => "active, this device".to_owned(),
        _ => "active".to_owned(),
    }
}

/// The active rows of `devices`.
async fn table(opened: &Opened, console: Console) -> Result<(), CliError> {
    let (user, own) = (&opened.connection.user_id, &opened.connection.device_id);
    let mut after: Option<DeviceId> = None;
    console.say(format!("{:<20}  {:<36}  type", "name", "id"))?;
    loop {
        let select = Select::active_devices(user, after.as_ref(), PAGE);
        let rows: Vec<DeviceRow> = decode_rows(&opened.connection.select(select).await?)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.id.clone());
        for DeviceRow { id, name, device_type, .. } in &rows {
            let this_device = id == own;
            console.json(&Registered { name, device_id: id, device_type, listed: false, this_device })?;
            let this = if this_device { ", this device" } else { "" };
            let (name, device_type) = (printable(name), printable(device_type));
            console.say(format!("{name:<20}  {id:<36}  {device_type}{this}"))?;
        }
    }
}
