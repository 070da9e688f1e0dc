//! The search for the bad row of a request that was refused: fewer and fewer rows together.

use levi_transport::{ApiError, offenders};
use levi_types::SessionId;

use super::Batcher;
use super::io::{Action, Batch, Part};
use super::lane::Group;
use super::notice::Notice;
use super::outcome::kind_of;
use super::poison::SearchSize;

impl Batcher {
    pub(super) fn begin_search(&mut self, batch: &Batch, error: &ApiError) {
        let mut size = SearchSize {
            refused: batch.rows(),
            waiting: 0,
            blames: self.breaker.attempts() as usize,
            batch_size: self.config.batch_size,
        };
        size.waiting = self.windows.waiting_rows(size.most_when_repeated());
        self.poison.begin_search(kind_of(batch), &error.code, size);
    }

    /// Several sessions shared a refused batch: the ones that the error names are sent alone; if it names none,
    /// each half is sent by itself.
    pub(super) fn isolate(&mut self, batch: Batch, error: &ApiError) {
        self.notice_split(batch.rows(), error);
        let sessions = batch.parts.iter().filter_map(|part| part.key.session_id());
        let named: Vec<SessionId> = offenders(error, sessions).into_iter().cloned().collect();
        let is_named = |part: &Part| part.key.session_id().is_some_and(|session| named.contains(session));
        let count = batch.parts.iter().filter(|part| is_named(part)).count();
        let names_some = count > 0 && count < batch.parts.len();
        let middle = batch.parts.len() / 2;
        let halves = [self.windows.new_group(), self.windows.new_group()];
        for (index, part) in batch.parts.into_iter().enumerate() {
            let group = if !names_some {
                halves[usize::from(index >= middle)]
            } else if is_named(&part) {
                self.windows.new_group()
            } else {
                halves[0]
            };
            self.put_back_into(group, part);
        }
    }

    pub(super) fn put_back_into(&mut self, group: Group, part: Part) {
        if let Some(lane) = self.windows.lane(part.lane) {
            lane.group = group;
        }
        self.windows.put_back(part);
    }

    /// The rows of one lane were refused: send fewer, until the bad one is alone.
    pub(super) fn bisect(&mut self, part: Part, error: &ApiError) {
        self.notice_split(part.rows.len(), error);
        let one_by_one = self.poison.goes_one_by_one(part.key.kind(), &error.code);
        let group = self.windows.new_group();
        if let Some(lane) = self.windows.lane(part.lane) {
            lane.bisecting = if one_by_one { 1 } else { part.rows.len() };
        }
        self.put_back_into(group, part);
    }

    fn notice_split(&mut self, rows: usize, error: &ApiError) {
        self.actions.push_back(Action::Notice(Notice::Split { rows, code: error.code.clone() }));
    }
}
