//! A new session's secret for many devices.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use levi::crypto::envelope::DevicePublicKey;
use levi::types::{AuthError, AuthSession};
use levi::{
    Auth, DeviceId, DevicePrivateKey, DeviceRow, SecretsCache, SessionId, SessionSecret, SessionSyncService,
    UserId,
};
use levi_crypto::envelope::{self, Route};
use levi_testkit::fixtures::uuid_of;

use crate::near::Near;
use crate::process::cpu_time;
use crate::report::{Figure, Mark, Run};
use crate::{Effort, Fallible, fixture};

pub(crate) async fn measure(run: &mut Run, effort: Effort) -> Fallible<()> {
    for devices in [3, 100, 1_000] {
        let family = Family::new(devices);
        let near = Arc::new(Near { devices: serde_json::to_vec(&family.rows)?, ..Near::default() });
        let service = SessionSyncService::with_parts(
            near.clone(),
            fixture::secrets(),
            Arc::new(Ada(family.user.clone())),
            family.rows[0].id.clone(),
            DevicePrivateKey::from_bytes(*family.own.expose_bytes()),
            SecretsCache::new(),
        );
        let (mut levi, mut bare) = (Vec::new(), Vec::new());
        let (mut levi_cpu, mut bare_cpu) = (Duration::ZERO, Duration::ZERO);
        let (session, secret) = (fixture::session(0), fixture::secret()?);
        // About as much time for each number of devices.
        let rounds = (effort.pick(8_000, 40_000) / devices).min(400);
        let before = near.upserts.load(Ordering::Relaxed);
        for _ in 0..rounds {
            let (start, used) = (Instant::now(), cpu_time());
            let distribution = service.distribute_secret_now(&session, &secret).await?;
            levi.push(start.elapsed().as_secs_f64() * 1e3);
            levi_cpu += cpu_time() - used;
            if distribution.delivered.len() != devices {
                return Err("a device got no envelope".into());
            }
            let (start, used) = (Instant::now(), cpu_time());
            family.seal_all(&session, &secret);
            bare.push(start.elapsed().as_secs_f64() * 1e3);
            bare_cpu += cpu_time() - used;
        }
        let requests = (near.upserts.load(Ordering::Relaxed) - before) / rounds as u64;
        run.figure(Figure {
            what: format!("a secret to {devices} devices"),
            against: "the bare HPKE seals, spread over the cores".into(),
            unit: "ms".into(),
            levi,
            rival: bare,
            mark: Mark::AtMost(1.1),
            note: format!(
                "{requests} upsert(s), server in the same process; processor time {:.2} of the bare seals'",
                levi_cpu.as_secs_f64() / bare_cpu.as_secs_f64()
            ),
        });
    }
    Ok(())
}

/// A user's devices.
struct Family {
    user: UserId,
    own: DevicePrivateKey,
    rows: Vec<DeviceRow>,
    keys: Vec<(DeviceId, DevicePublicKey)>,
}

impl Family {
    fn new(devices: usize) -> Self {
        let user: UserId = uuid_of("user", "ada").as_str().into();
        let own = DevicePrivateKey::generate(&mut rand::rng());
        let keys: Vec<(DeviceId, DevicePublicKey)> = (0..devices)
            .map(|number| {
                let key = DevicePrivateKey::generate(&mut rand::rng());
                (uuid_of("device", &number.to_string()).as_str().into(), key.public_key())
            })
            .collect();
        let row = |(id, key): &(DeviceId, DevicePublicKey)| DeviceRow {
            id: id.clone(),
            user_id: user.clone(),
            name: None,
            device_type: None,
            public_key: Some(key.to_base64()),
            is_active: true,
        };
        Self { rows: keys.iter().map(row).collect(), user: user.clone(), own, keys }
    }

    /// The least that must be done: as many threads as cores, each with its share of the seals.
    fn seal_all(&self, session: &SessionId, secret: &SessionSecret) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let share = self.keys.len().div_ceil(cores).max(1);
        std::thread::scope(|scope| {
            for keys in self.keys.chunks(share) {
                scope.spawn(move || {
                    for (id, key) in keys {
                        let route = Route {
                            user_id: &self.user,
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

struct Ada(UserId);

#[async_trait]
impl Auth for Ada {
    async fn session(&self) -> Result<AuthSession, AuthError> {
        Ok(AuthSession { user_id: self.0.clone(), access_token: "token".into() })
    }

    async fn refresh(&self, _: &levi::AccessToken) -> Result<AuthSession, AuthError> {
        self.session().await
    }
}
