//! The five tables, with the names and keys of `docs/protocol.md`.

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
}

impl Table {
    /// Every table, parents before children.
    pub const ALL: [Self; 5] =
        [Self::Devices, Self::Repositories, Self::Sessions, Self::Messages, Self::Secrets];

    /// The table's name, as in `/rest/v1/<name>`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Repositories => "repositories",
            Self::Sessions => "agent_coding_sessions",
            Self::Messages => "agent_coding_session_messages",
            Self::Secrets => "agent_coding_session_secrets",
        }
    }

    /// The unique columns by which an upsert merges (`on_conflict=`), comma separated.
    pub const fn conflict_columns(self) -> &'static str {
        match self {
            Self::Devices | Self::Repositories | Self::Sessions => "id",
            Self::Messages => "session_id,sequence_number",
            Self::Secrets => "session_id,device_id",
        }
    }

    /// The columns of base64, which must be text: PostgREST shows a `bytea` in hexadecimal.
    pub const fn base64_columns(self) -> &'static [&'static str] {
        match self {
            Self::Devices => &["public_key"],
            Self::Repositories | Self::Sessions => &[],
            Self::Messages => &["content_encrypted", "content_nonce"],
            Self::Secrets => &["ephemeral_public_key", "encrypted_secret"],
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
        }
    }
}
