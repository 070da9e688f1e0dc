//! A server that lies: what it shows one device goes through a function first.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use levi_transport::{ApiError, Select, Supabase, Update, Upsert};
use levi_types::AccessToken;

/// Changes the answer to a select.
pub type Rewrite = Box<dyn Fn(&Select, Vec<u8>) -> Vec<u8> + Send + Sync>;

/// The server as one device sees it. Answers to selects are rewritten; everything else passes.
pub struct RewritingSupabase {
    inner: Arc<dyn Supabase>,
    rewrite: Mutex<Option<Rewrite>>,
}

impl RewritingSupabase {
    /// An honest one.
    pub fn new(inner: Arc<dyn Supabase>) -> Self {
        Self { inner, rewrite: Mutex::default() }
    }

    /// From now on answers go through `rewrite`.
    pub fn rewrite(&self, rewrite: impl Fn(&Select, Vec<u8>) -> Vec<u8> + Send + Sync + 'static) {
        *self.lock() = Some(Box::new(rewrite));
    }

    /// From now on answers are the server's own.
    pub fn be_honest(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Rewrite>> {
        self.rewrite.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Supabase for RewritingSupabase {
    async fn upsert(&self, token: &AccessToken, upsert: Upsert) -> Result<(), ApiError> {
        self.inner.upsert(token, upsert).await
    }

    async fn insert(&self, token: &AccessToken, insert: Upsert) -> Result<Vec<u8>, ApiError> {
        self.inner.insert(token, insert).await
    }

    async fn update(&self, token: &AccessToken, update: Update) -> Result<Vec<u8>, ApiError> {
        self.inner.update(token, update).await
    }

    async fn select(&self, token: &AccessToken, select: Select) -> Result<Vec<u8>, ApiError> {
        let body = self.inner.select(token, select.clone()).await?;
        Ok(match &*self.lock() {
            Some(rewrite) => rewrite(&select, body),
            None => body,
        })
    }
}
