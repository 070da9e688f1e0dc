//! The tables, with the names and keys of `docs/protocol.md`.

/// A table of the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// `devices`
    Devices,
    /// `repositories`
    Repositories,
    /// `agent_coding_sessions`
    Sessions,
    /// `agent_coding_session_messages`
    Messages,
    /// `agent_coding_session_secrets`
    Secrets,
    /// `levi_device_list`
    DeviceList,
    /// `levi_keyrings`
    Keyrings,
    /// `levi_pairings`
    Pairings,
}

impl Table {
    /// What syncing needs, parents before children: the tables of the first migration.
    pub const SYNC: [Self; 5] =
        [Self::Devices, Self::Repositories, Self::Sessions, Self::Messages, Self::Secrets];

    /// What only a signed device list needs.
    pub const TRUST: [Self; 3] = [Self::DeviceList, Self::Keyrings, Self::Pairings];

    /// Every table, parents before children.
    pub const ALL: [Self; 8] = [
        Self::Devices,
        Self::Repositories,
        Self::Sessions,
        Self::Messages,
        Self::Secrets,
        Self::DeviceList,
        Self::Keyrings,
        Self::Pairings,
    ];

    /// The columns of [`Messages`](Self::Messages) that the database fills and only the change feed
    /// reads: the owner of the session, and a number that rises with every change of any of that
    /// user's messages. Clients never send them.
    pub const FEED_COLUMNS: [&'static str; 2] = ["user_id", "change_id"];

    /// The table's name, as in `/rest/v1/<name>`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Repositories => "repositories",
            Self::Sessions => "agent_coding_sessions",
            Self::Messages => "agent_coding_session_messages",
            Self::Secrets => "agent_coding_session_secrets",
            Self::DeviceList => "levi_device_list",
            Self::Keyrings => "levi_keyrings",
            Self::Pairings => "levi_pairings",
        }
    }

    /// The unique columns by which an upsert merges (`on_conflict=`), comma separated. Nothing
    /// merges into [`DeviceList`](Self::DeviceList), which is append-only.
    pub const fn conflict_columns(self) -> &'static str {
        match self {
            Self::Devices | Self::Repositories | Self::Sessions => "id",
            Self::Messages => "session_id,sequence_number",
            Self::Secrets => "session_id,device_id",
            Self::DeviceList => "user_id,slot",
            Self::Keyrings => "user_id,member_id",
            Self::Pairings => "user_id,id",
        }
    }

    /// The columns of base64, which must be text: PostgREST shows a `bytea` in hexadecimal.
    pub const fn base64_columns(self) -> &'static [&'static str] {
        match self {
            Self::Devices => &["public_key"],
            Self::Repositories | Self::Sessions => &[],
            Self::Messages => &["content_encrypted", "content_nonce"],
            Self::Secrets => &["ephemeral_public_key", "encrypted_secret"],
            Self::DeviceList => &["entry", "signature", "cosignature"],
            Self::Keyrings => &["enc", "sealed"],
            Self::Pairings => &["request", "answer", "cosignature"],
        }
    }

    /// Every column that Levi reads or writes, comma separated (`columns=`, `select=`).
    pub const fn columns(self) -> &'static str {
        match self {
            Self::Devices => "id,user_id,name,device_type,public_key,is_active",
            Self::Repositories => {
                "id,user_id,device_id,name,local_path,remote_url,default_branch,is_worktree,worktree_branch,status"
            }
            Self::Sessions => {
                "id,user_id,device_id,repository_id,status,title,current_branch,working_directory,\
                 is_worktree,worktree_path,last_heartbeat_at"
            }
            Self::Messages => "session_id,sequence_number,content_encrypted,content_nonce",
            Self::Secrets => "session_id,device_id,ephemeral_public_key,encrypted_secret,sender_device_id",
            Self::DeviceList => "user_id,slot,entry,signature,cosignature",
            Self::Keyrings => "user_id,member_id,epoch,enc,sealed",
            Self::Pairings => "user_id,id,request,answer,cosignature",
        }
    }
}
