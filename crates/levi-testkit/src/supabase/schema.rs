//! The tables of `supabase/migrations`.

mod ddl;
mod definition;

use levi_transport::Table;

use super::value::Kind;
pub(crate) use ddl::ddl;
pub(crate) use definition::{
    Check, Column, Default, Foreign, Grants, Nullable, OnDelete, Owner, TableDef, Unique,
};

impl TableDef {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|table| table.name == name).copied()
    }

    pub(crate) fn of(table: Table) -> &'static Self {
        match table {
            Table::Devices => &DEVICES,
            Table::Repositories => &REPOSITORIES,
            Table::Sessions => &SESSIONS,
            Table::Messages => &MESSAGES,
            Table::Secrets => &SECRETS,
            Table::DeviceList => &trust::DEVICE_LIST,
            Table::Keyrings => &trust::KEYRINGS,
            Table::Pairings => &trust::PAIRINGS,
        }
    }
}

/// Every table, parents before children.
pub(crate) static ALL: [&TableDef; Table::ALL.len()] = [
    &DEVICES,
    &REPOSITORIES,
    &SESSIONS,
    &MESSAGES,
    &SECRETS,
    &trust::DEVICE_LIST,
    &trust::KEYRINGS,
    &trust::PAIRINGS,
];

const fn required(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, nullable: Nullable::No, default: Default::Null, check: None }
}

const fn optional(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, nullable: Nullable::Yes, default: Default::Null, check: None }
}

const fn defaulted(name: &'static str, kind: Kind, default: Default) -> Column {
    Column { name, kind, nullable: Nullable::No, default, check: None }
}

const fn checked(name: &'static str, kind: Kind, nullable: Nullable, check: Check) -> Column {
    Column { name, kind, nullable, default: Default::Null, check: Some(check) }
}

/// Text that is bounded in bytes.
const fn bounded(name: &'static str, nullable: Nullable, constraint: &'static str, bytes: usize) -> Column {
    checked(name, Kind::Text, nullable, Check::MaxBytes(constraint, bytes))
}

const CREATED_AT: Column = defaulted("created_at", Kind::Timestamp, Default::Now);

macro_rules! owned_by_user {
    ($constraint:literal) => {
        Foreign {
            name: $constraint,
            columns: &["user_id"],
            parent: "users",
            parent_columns: &["id"],
            on_delete: OnDelete::Cascade,
        }
    };
}

// After `owned_by_user!`, which it uses.
mod trust;

macro_rules! parent_of_same_user {
    ($constraint:literal, $column:literal, $parent:literal) => {
        Foreign {
            name: $constraint,
            columns: &[$column, "user_id"],
            parent: $parent,
            parent_columns: &["id", "user_id"],
            on_delete: OnDelete::Refuse,
        }
    };
}

macro_rules! reference {
    ($constraint:literal, $column:literal, $parent:literal, $on_delete:expr) => {
        Foreign {
            name: $constraint,
            columns: &[$column],
            parent: $parent,
            parent_columns: &["id"],
            on_delete: $on_delete,
        }
    };
}

static DEVICES: TableDef = TableDef {
    table: Table::Devices,
    name: "devices",
    columns: &[
        required("id", Kind::Uuid),
        required("user_id", Kind::Uuid),
        required("name", Kind::Text),
        required("device_type", Kind::Text),
        bounded("public_key", Nullable::Yes, "devices_public_key_bound", 64),
        defaulted("is_active", Kind::Bool, Default::True),
        CREATED_AT,
    ],
    uniques: &[
        Unique { name: "devices_pkey", columns: &["id"] },
        Unique { name: "devices_id_user_id_key", columns: &["id", "user_id"] },
    ],
    foreign: &[owned_by_user!("devices_user_id_fkey")],
    owner: Owner::UserId,
    grants: Grants::Everything,
};

static REPOSITORIES: TableDef = TableDef {
    table: Table::Repositories,
    name: "repositories",
    columns: &[
        required("id", Kind::Uuid),
        required("user_id", Kind::Uuid),
        required("device_id", Kind::Uuid),
        required("name", Kind::Text),
        required("local_path", Kind::Text),
        optional("remote_url", Kind::Text),
        optional("default_branch", Kind::Text),
        defaulted("is_worktree", Kind::Bool, Default::False),
        optional("worktree_branch", Kind::Text),
        defaulted("status", Kind::Text, Default::Text("active")),
        CREATED_AT,
    ],
    uniques: &[
        Unique { name: "repositories_pkey", columns: &["id"] },
        Unique { name: "repositories_id_user_id_key", columns: &["id", "user_id"] },
        Unique { name: "repositories_device_id_local_path_key", columns: &["device_id", "local_path"] },
    ],
    foreign: &[
        owned_by_user!("repositories_user_id_fkey"),
        parent_of_same_user!("repositories_device_id_user_id_fkey", "device_id", "devices"),
    ],
    owner: Owner::UserId,
    grants: Grants::Everything,
};

static SESSIONS: TableDef = TableDef {
    table: Table::Sessions,
    name: "agent_coding_sessions",
    columns: &[
        required("id", Kind::Uuid),
        required("user_id", Kind::Uuid),
        required("device_id", Kind::Uuid),
        required("repository_id", Kind::Uuid),
        Column {
            name: "status",
            kind: Kind::Text,
            nullable: Nullable::No,
            default: Default::Text("active"),
            check: Some(Check::OneOf("agent_coding_sessions_status_check", &["active", "paused", "ended"])),
        },
        optional("title", Kind::Text),
        optional("current_branch", Kind::Text),
        optional("working_directory", Kind::Text),
        defaulted("is_worktree", Kind::Bool, Default::False),
        optional("worktree_path", Kind::Text),
        defaulted("last_heartbeat_at", Kind::Timestamp, Default::Now),
        CREATED_AT,
    ],
    uniques: &[Unique { name: "agent_coding_sessions_pkey", columns: &["id"] }],
    foreign: &[
        owned_by_user!("agent_coding_sessions_user_id_fkey"),
        parent_of_same_user!("agent_coding_sessions_device_id_user_id_fkey", "device_id", "devices"),
        parent_of_same_user!(
            "agent_coding_sessions_repository_id_user_id_fkey",
            "repository_id",
            "repositories"
        ),
    ],
    owner: Owner::UserId,
    grants: Grants::Everything,
};

static MESSAGES: TableDef = TableDef {
    table: Table::Messages,
    name: "agent_coding_session_messages",
    columns: &[
        required("session_id", Kind::Uuid),
        checked(
            "sequence_number",
            Kind::BigInt,
            Nullable::No,
            Check::Between("agent_coding_session_messages_sequence_number_check", 0, i64::MAX),
        ),
        bounded(
            "content_encrypted",
            Nullable::No,
            "agent_coding_session_messages_content_encrypted_bound",
            64 << 20,
        ),
        bounded("content_nonce", Nullable::No, "agent_coding_session_messages_content_nonce_bound", 64),
        CREATED_AT,
        required("user_id", Kind::Uuid),
        required("change_id", Kind::BigInt),
    ],
    uniques: &[Unique {
        name: "agent_coding_session_messages_pkey",
        columns: &["session_id", "sequence_number"],
    }],
    foreign: &[reference!(
        "agent_coding_session_messages_session_id_fkey",
        "session_id",
        "agent_coding_sessions",
        OnDelete::Cascade
    )],
    owner: Owner::ThroughSession,
    grants: Grants::Everything,
};

static SECRETS: TableDef = TableDef {
    table: Table::Secrets,
    name: "agent_coding_session_secrets",
    columns: &[
        required("session_id", Kind::Uuid),
        required("device_id", Kind::Uuid),
        bounded(
            "ephemeral_public_key",
            Nullable::No,
            "agent_coding_session_secrets_ephemeral_public_key_bound",
            64,
        ),
        bounded("encrypted_secret", Nullable::No, "agent_coding_session_secrets_encrypted_secret_bound", 256),
        optional("sender_device_id", Kind::Uuid),
        CREATED_AT,
    ],
    uniques: &[Unique { name: "agent_coding_session_secrets_pkey", columns: &["session_id", "device_id"] }],
    foreign: &[
        reference!(
            "agent_coding_session_secrets_session_id_fkey",
            "session_id",
            "agent_coding_sessions",
            OnDelete::Cascade
        ),
        reference!("agent_coding_session_secrets_device_id_fkey", "device_id", "devices", OnDelete::Cascade),
        reference!(
            "agent_coding_session_secrets_sender_device_id_fkey",
            "sender_device_id",
            "devices",
            OnDelete::Refuse
        ),
    ],
    owner: Owner::ThroughSession,
    grants: Grants::Everything,
};
