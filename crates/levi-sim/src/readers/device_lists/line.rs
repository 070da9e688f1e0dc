//! A process's connection to the server. Each request takes two steps of the simulation, so that
//! other devices act between a request and its answer.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use async_trait::async_trait;
use levi_transport::{ApiError, Select, Supabase, Update, Upsert, Verdict};
use levi_types::AccessToken;

use super::super::server::Project;
use crate::random::Random;

/// What can go wrong everywhere.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    /// Faults among a hundred requests.
    pub(super) faults: u64,
    pub(super) is_down: bool,
}

/// The connection of one process, and whether the process is still alive.
pub(super) struct Line {
    weather: Arc<Mutex<Weather>>,
    state: Mutex<State>,
}

struct State {
    random: Random,
    is_dead: bool,
}

/// What becomes of a request.
enum Fate {
    Arrives,
    /// The server does not hear of it.
    Lost,
    /// It does, and its answer is lost.
    AnswerLost,
    Refused,
    /// The process ends before it is sent.
    DiesBefore,
    /// The process ends before the answer is there.
    DiesAfter,
}

impl Line {
    pub(super) fn new(weather: Arc<Mutex<Weather>>, random: Random) -> Self {
        Self { weather, state: Mutex::new(State { random, is_dead: false }) }
    }

    /// The process ends: nothing that it does after this has an effect.
    pub(super) fn end(&self) {
        self.state().is_dead = true;
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state().is_dead
    }

    fn fate(&self) -> Fate {
        let Weather { faults, is_down } = *self.weather.lock().unwrap_or_else(PoisonError::into_inner);
        if is_down {
            return Fate::Lost;
        }
        let mut state = self.state();
        if !state.random.chance(faults) {
            return Fate::Arrives;
        }
        match state.random.below(8) {
            0 | 1 => Fate::Lost,
            2..=4 => Fate::AnswerLost,
            5 => Fate::Refused,
            6 => Fate::DiesBefore,
            _ => Fate::DiesAfter,
        }
    }

    /// What becomes of a write to the disk.
    pub(super) fn disk(&self) -> DiskFate {
        if self.is_dead() {
            return DiskFate::Fails;
        }
        match self.fate() {
            Fate::Arrives | Fate::Lost | Fate::AnswerLost => DiskFate::Stores,
            Fate::Refused => DiskFate::Fails,
            Fate::DiesBefore => {
                self.end();
                DiskFate::Fails
            }
            Fate::DiesAfter => {
                self.end();
                DiskFate::Stores
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What becomes of a write to the disk.
pub(super) enum DiskFate {
    Stores,
    Fails,
}

/// The project behind a line.
#[derive(Clone)]
pub(super) struct Network {
    pub(super) project: Project,
    pub(super) line: Arc<Line>,
}

impl Network {
    async fn carry<T>(&self, request: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        step().await;
        let unreachable = || ApiError::new(Verdict::Unreachable, "connection", "the connection was lost");
        if self.line.is_dead() {
            return std::future::pending().await;
        }
        match self.line.fate() {
            Fate::Arrives => {
                let answer = request.await;
                step().await;
                answer
            }
            Fate::Lost => Err(unreachable()),
            Fate::AnswerLost => {
                let _ = request.await;
                step().await;
                Err(unreachable())
            }
            Fate::Refused => Err(ApiError::new(Verdict::Busy, "57P03", "the database starts up")),
            Fate::DiesBefore => {
                self.line.end();
                std::future::pending().await
            }
            Fate::DiesAfter => {
                let _ = request.await;
                self.line.end();
                std::future::pending().await
            }
        }
    }
}

/// Waits until the simulation continues this process.
pub(super) async fn step() {
    let mut is_next = false;
    poll_fn(|_| if std::mem::replace(&mut is_next, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

#[async_trait]
impl Supabase for Network {
    async fn upsert(&self, token: &AccessToken, upsert: Upsert) -> Result<(), ApiError> {
        self.carry(self.project.upsert(token, upsert)).await
    }

    async fn insert(&self, token: &AccessToken, insert: Upsert) -> Result<Vec<u8>, ApiError> {
        self.carry(self.project.insert(token, insert)).await
    }

    async fn update(&self, token: &AccessToken, update: Update) -> Result<Vec<u8>, ApiError> {
        self.carry(self.project.update(token, update)).await
    }

    async fn select(&self, token: &AccessToken, select: Select) -> Result<Vec<u8>, ApiError> {
        self.carry(self.project.select(token, select)).await
    }
}
