use levi_transport::Table;

/// What a fake Supabase has counted so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections accepted.
    pub connections: u64,
    /// Requests read whole.
    pub requests: u64,
    /// Requests carried out, and answered as far as their fault allowed.
    pub finished: u64,
    /// Requests that did not become whole: cut off, or no HTTP.
    pub unfinished: u64,
    /// Answers with a status below 400, counted when they were ready to be written.
    pub accepted: u64,
    /// Answers with a status of 400 or more, planned ones included.
    pub refused: u64,
    /// Successful sign-ins by password, sign-ups included.
    pub sign_ins: u64,
    /// Successful refreshes.
    pub refreshes: u64,
    /// Bytes of bodies that arrived.
    pub bytes: u64,
    pub(crate) tables: [TableStats; 5],
}

/// The same for one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// POST requests that arrived whole.
    pub posts: u64,
    /// GET and HEAD requests that arrived whole.
    pub gets: u64,
    /// Rows inserted and committed.
    pub rows_inserted: u64,
    /// Rows that were there already and were written again.
    pub rows_updated: u64,
    /// Rows handed out.
    pub rows_read: u64,
    /// Bytes of bodies that arrived.
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
    }
}
