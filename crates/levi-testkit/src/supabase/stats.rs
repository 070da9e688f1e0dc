use levi_transport::Table;

use super::realtime::RealtimeStats;

/// The counters of a fake Supabase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections accepted.
    pub connections: u64,
    /// Requests that arrived complete.
    pub requests: u64,
    /// Requests that are finished, including their answer if no fault prevented it.
    pub finished: u64,
    /// Requests that were cut off or are not HTTP.
    pub unfinished: u64,
    /// Answers with a status below 400, counted before they are written.
    pub accepted: u64,
    /// Answers with a status of 400 or more, including planned ones.
    pub refused: u64,
    /// Successful sign-ins by password, including sign-ups.
    pub sign_ins: u64,
    /// Successful refreshes.
    pub refreshes: u64,
    /// Bytes of bodies.
    pub bytes: u64,
    /// Bytes of answers, with their heads.
    pub bytes_out: u64,
    /// Realtime's.
    pub realtime: RealtimeStats,
    pub(crate) tables: [TableStats; Table::ALL.len()],
}

/// The counters of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// POST requests that arrived complete.
    pub posts: u64,
    /// GET and HEAD requests that arrived complete.
    pub gets: u64,
    /// Rows inserted and committed.
    pub rows_inserted: u64,
    /// Existing rows that were written again.
    pub rows_updated: u64,
    /// Rows returned.
    pub rows_read: u64,
    /// Bytes of bodies.
    pub bytes: u64,
}

impl Stats {
    /// The counters of one table.
    pub const fn table(&self, table: Table) -> &TableStats {
        &self.tables[slot(table)]
    }

    pub(crate) const fn table_mut(&mut self, table: Table) -> &mut TableStats {
        &mut self.tables[slot(table)]
    }
}

const fn slot(table: Table) -> usize {
    match table {
        Table::Devices => 0,
        Table::Repositories => 1,
        Table::Sessions => 2,
        Table::Messages => 3,
        Table::Secrets => 4,
        Table::DeviceList => 5,
        Table::Keyrings => 6,
        Table::Pairings => 7,
    }
}
