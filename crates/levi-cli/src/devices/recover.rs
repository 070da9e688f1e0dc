//! `levi recover`: a new device is put on the list with the recovery key.

use levi::DeviceId;
use levi::core::{DeviceListError, Recovery};
use levi::devices::list::{DeviceList, ListMember};
use levi::devices::{Member, MemberType};
use serde::Serialize;

use super::opened::Opened;
use super::{RecoverArgs, person, recovery_key};
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::share::{self, Shared};
use crate::text::{plural, time};

#[derive(Serialize)]
struct Recovered<'a> {
    recovered_as: &'a str,
    fingerprint: String,
    removed: Vec<&'a str>,
    shared: u64,
    unreadable: u64,
}

pub(super) async fn run(args: RecoverArgs, console: Console) -> Result<Exit, CliError> {
    let opened = Opened::new(&args.here).await?;
    if !args.key.key_stdin && !person::is_there(console) {
        return Err(CliError::Usage(
            "there is no terminal to ask for the recovery key; give it with --key-stdin",
        ));
    }
    let key = recovery_key::read(&args.key, "Recovery key: ")?;
    let list = opened.admin.list_with(&key).await?;
    let base = match args.after {
        Some(slot) => list.up_to(slot).ok_or(DeviceListError::NoSuchEntry(slot))?,
        None => list.clone(),
    };
    let keep = args.keep.iter().map(|typed| Ok(find(&base, typed)?.id().clone()));
    let keep: Vec<DeviceId> = keep.collect::<Result<_, CliError>>()?;
    let name = opened.own_name(args.name).await?;
    let own = &opened.connection.device_id;
    let lost = base.active_devices().filter(|member| !keep.contains(member.id()) && member.id() != own);
    let removed: Vec<&str> = lost.map(Member::name).collect();
    show(&list, &removed, &name, console)?;
    if !args.key.key_stdin && !person::says_yes("Go on? [y/N] ")? {
        console.say("nothing was changed")?;
        return Ok(Exit::BadInput);
    }
    let how = Recovery { name: name.clone(), keep, after: args.after };
    let recovery = opened.admin.recover(&key, &how).await?;
    opened.tell_daemon();
    console.say("this device is on the list")?;
    let report = opened.levi.share_as_recovery_key(&recovery, &key).await?;
    let shared = share::report(console, &report);
    let Shared { shared: sessions, unreadable } = shared;
    let fingerprint = opened.admin.fingerprint()?.to_string();
    console.json(&Recovered { recovered_as: &name, fingerprint, removed, shared: sessions, unreadable })?;
    console.say(format!("{} shared with it; read them with `levi pull`", plural(sessions, "session")))?;
    Ok(shared.exit())
}

/// What happened to the list, for a person to see what is theirs, and what will happen now.
fn show(list: &DeviceList, removed: &[&str], name: &str, console: Console) -> Result<(), CliError> {
    let (user, entries) = (list.user_id(), plural(list.entries().len() as u64, "entry"));
    console.say(format!("the list of user {user} has {entries}:\n"))?;
    for (entry, what) in history(list) {
        console.say(format!("  entry {entry:<4}  {what}"))?;
    }
    let removed = if removed.is_empty() { "nobody".to_owned() } else { removed.join(", ") };
    console.say(format!("\nThis device will be added as {name}. Removed will be: {removed}."))
}

/// Who came and went, by entry.
fn history(list: &DeviceList) -> Vec<(u64, String)> {
    let name_of = |id: &DeviceId| list.member(id).map_or("?", |known| known.member.name());
    let mut events = Vec::new();
    for ListMember { member, added, removed } in list.members() {
        let (name, fingerprint) = (member.name(), member.fingerprint());
        let what =
            format!("{}  {name} ({fingerprint}) was added by {}", time(added.time_ms), name_of(&added.by));
        events.push((added.slot, what));
        if let Some(removed) = removed {
            let by = name_of(&removed.by);
            events.push((removed.slot, format!("{}  {name} was removed by {by}", time(removed.time_ms))));
        }
    }
    events.sort_by_key(|(entry, _)| *entry);
    events
}

/// The active device of a list with this name, or whose fingerprint begins so.
fn find<'l>(list: &'l DeviceList, typed: &str) -> Result<&'l Member, DeviceListError> {
    let active = || list.active_devices().filter(|member| member.member_type() == MemberType::Device);
    let mut found: Vec<&Member> = active().filter(|member| member.name() == typed).collect();
    if found.is_empty() {
        found = active().filter(|member| member.fingerprint().starts_with(typed)).collect();
    }
    match &found[..] {
        [] => Err(DeviceListError::NoSuchDevice(typed.to_owned())),
        [one] => Ok(one),
        several => Err(DeviceListError::Ambiguous {
            typed: typed.to_owned(),
            matches: several.iter().map(|member| member.fingerprint().to_string()).collect(),
        }),
    }
}
