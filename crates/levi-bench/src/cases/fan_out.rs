//! Distributing a new session's secret to many devices.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use levi::crypto::envelope::DevicePublicKey;
use levi::transport::rows::DeviceRow;
use levi::types::{AuthError, AuthSession};
use levi::{
    Auth, DeviceId, DevicePrivateKey, SecretsCache, SessionId, SessionSecret, SessionSyncService, UserId,
};
use levi_crypto::envelope::{self, Route};
use levi_testkit::fixtures::uuid_of;

use crate::in_process::InProcessServer;
use crate::process::cpu_time;
use crate::report::{Figure, Run, Target};
use crate::{Effort, Fallible, fixture};

pub(crate) async fn measure(run: &mut Run, effort: Effort) -> Fallible<()> {
    for devices in [3, 100, 1_000] {
        let user = UserDevices::new(devices);
        let server = Arc::new(InProcessServer {
            devices: serde_json::to_vec(&user.rows)?,
            ..InProcessServer::default()
        });
        let service = SessionSyncService::with_parts(
            server.clone(),
            fixture::secrets(),
            Arc::new(FixedAuth(user.id.clone())),
            user.rows[0].id.clone(),
            DevicePrivateKey::from_bytes(*user.own.expose_bytes()),
            SecretsCache::new(),
        );
        let (mut levi, mut baseline) = (Vec::new(), Vec::new());
        let (mut levi_cpu, mut baseline_cpu) = (Duration::ZERO, Duration::ZERO);
        let (session, secret) = (fixture::session(0), fixture::secret()?);
        // About the same time for each number of devices.
        let rounds = (effort.pick(8_000, 40_000) / devices).min(400);
        let before = server.upserts.load(Ordering::Relaxed);
        for _ in 0..rounds {
            let (start, used) = (Instant::now(), cpu_time());
            let distribution = service.distribute_secret_now(&session, &secret).await?;
            levi.push(start.elapsed().as_secs_f64() * 1e3);
            levi_cpu += cpu_time() - used;
            if distribution.delivered.len() != devices {
                return Err("a device received no envelope".into());
            }
            let (start, used) = (Instant::now(), cpu_time());
            user.seal_all(&session, &secret);
            baseline.push(start.elapsed().as_secs_f64() * 1e3);
            baseline_cpu += cpu_time() - used;
        }
        let requests = (server.upserts.load(Ordering::Relaxed) - before) / rounds as u64;
        run.figure(Figure {
            what: format!("a secret to {devices} devices"),
            against: "HPKE sealing only, spread over the cores".into(),
            unit: "ms".into(),
            levi,
            baseline,
            target: Target::AtMost(1.1),
            note: format!(
                "{requests} upsert(s), server in the same process; processor time {:.2} of sealing only",
                levi_cpu.as_secs_f64() / baseline_cpu.as_secs_f64()
            ),
        });
    }
    Ok(())
}

/// A user and their devices.
struct UserDevices {
    id: UserId,
    own: DevicePrivateKey,
    rows: Vec<DeviceRow>,
    keys: Vec<(DeviceId, DevicePublicKey)>,
}

impl UserDevices {
    fn new(devices: usize) -> Self {
        let user_id: UserId = uuid_of("user", "ada").as_str().into();
        let own = DevicePrivateKey::generate(&mut rand::rng());
        let keys: Vec<(DeviceId, DevicePublicKey)> = (0..devices)
            .map(|number| {
                let key = DevicePrivateKey::generate(&mut rand::rng());
                (uuid_of("device", &number.to_string()).as_str().into(), key.public_key())
            })
            .collect();
        let row = |(id, key): &(DeviceId, DevicePublicKey)| DeviceRow {
            id: id.clone(),
            user_id: user_id.clone(),
            name: String::new(),
            device_type: String::new(),
            public_key: Some(key.to_base64()),
            is_active: true,
        };
        Self { rows: keys.iter().map(row).collect(), id: user_id.clone(), own, keys }
    }

    /// The baseline: as many threads as cores, each of which seals an equal share.
    fn seal_all(&self, session: &SessionId, secret: &SessionSecret) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let share = self.keys.len().div_ceil(cores).max(1);
        std::thread::scope(|scope| {
            for keys in self.keys.chunks(share) {
                scope.spawn(move || {
                    for (id, key) in keys {
                        let route = Route {
                            user_id: &self.id,
                            session_id: session,
                            sender_device_id: &self.rows[0].id,
                            recipient_device_id: id,
                        };
                        let sealed = envelope::seal(secret, route, &self.own, key, &mut rand::rng());
                        std::hint::black_box(sealed.is_ok());
                    }
                });
            }
        });
    }
}

/// A user who is signed in with a token that never expires.
struct FixedAuth(UserId);

#[async_trait]
impl Auth for FixedAuth {
    async fn session(&self) -> Result<AuthSession, AuthError> {
        Ok(AuthSession { user_id: self.0.clone(), access_token: "token".into() })
    }

    async fn refresh(&self, _: &levi::types::AccessToken) -> Result<AuthSession, AuthError> {
        self.session().await
    }
}
