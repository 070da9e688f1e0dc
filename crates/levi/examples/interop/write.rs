//! Writes a session: registers what it needs, seals, and waits until the server has it all.

use std::io::{self, BufRead as _};
use std::time::Duration;

use levi::transport::Supabase as _;
use levi::transport::rows::DeviceRow;
use levi::transport::rows::upsert_of;
use levi::{
    CodingSession, HttpSupabase, MessageSyncRequest, Repository, RepositoryId, SessionId, SessionSecret,
};
use serde::Deserialize;

use crate::Outcome;
use crate::device::Device;

#[derive(Deserialize)]
struct Line {
    sequence_number: i64,
    content: String,
}

pub(crate) async fn run(session: &SessionId, repository: &RepositoryId) -> Outcome {
    let device = Device::sign_in().await?;
    register(&device).await?;
    device.levi.start()?;
    begin(&device, session, repository).await?;
    let messages = write(&device, session).await?;
    let left = device.levi.shutdown(Duration::from_secs(5)).await;
    if (left.pending, left.parked) != (0, 0) {
        return Err(format!("{} messages are waiting and {} are set aside", left.pending, left.parked).into());
    }
    println!("{}", serde_json::json!({ "session_id": session, "messages": messages }));
    Ok(())
}

/// Writes the device's row, with the public key that envelopes are sealed for.
async fn register(device: &Device) -> Outcome {
    let row = DeviceRow {
        public_key: Some(device.private_key()?.public_key().to_base64()),
        ..DeviceRow::new(device.id.clone(), device.user_id.clone(), "Levi", "desktop")
    };
    let signed_in = device.auth.current().await?.ok_or("the sign-in is gone")?;
    let supabase = HttpSupabase::new(&device.http)?;
    Ok(supabase.upsert(&signed_in.access_token, upsert_of(&[row])).await?)
}

/// A new session with a secret of its own, for all devices of the user.
async fn begin(device: &Device, session: &SessionId, repository: &RepositoryId) -> Outcome {
    device.store.save_repository(&Repository::new(
        repository.clone(),
        "example",
        format!("/example/{repository}"),
    ))?;
    device.store.save_session(&CodingSession::new(session.clone(), repository.clone()))?;
    let secret = SessionSecret::generate(&mut rand::rng());
    device.store.save_secret(session, &secret)?;
    let service = device.levi.session_sync(device.id.clone(), device.private_key()?)?;
    let begun = service.sync_new_session(session, repository, &secret).await?;
    if begun.is_done() {
        Ok(())
    } else {
        Err(format!("the session could not be registered: {begun:?}").into())
    }
}

/// Every line is on disk before the next one is taken, and on the server before this returns.
async fn write(device: &Device, session: &SessionId) -> Outcome<usize> {
    let mut receipts = Vec::new();
    for line in io::stdin().lock().lines() {
        let Line { sequence_number, content } = serde_json::from_str(&line?)?;
        let message_id = format!("{session}/{sequence_number}").into();
        let request =
            MessageSyncRequest { message_id, session_id: session.clone(), sequence_number, content };
        receipts.push(device.levi.enqueue_durable(request).await?);
    }
    for receipt in &receipts {
        device.levi.synced(receipt).await?;
    }
    Ok(receipts.len())
}
