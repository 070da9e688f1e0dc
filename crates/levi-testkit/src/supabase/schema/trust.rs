//! The tables of the signed device list.

use levi_transport::Table;

use super::{CREATED_AT, Check, Foreign, Grants, Nullable, OnDelete, Owner, TableDef, Unique};
use super::{bounded, checked, required};
use crate::supabase::value::Kind;

pub(super) static DEVICE_LIST: TableDef = TableDef {
    table: Table::DeviceList,
    name: "levi_device_list",
    columns: &[
        required("user_id", Kind::Uuid),
        checked("slot", Kind::BigInt, Nullable::No, Check::Between("levi_device_list_slot_check", 0, 1999)),
        bounded("entry", Nullable::No, "levi_device_list_entry_check", 8192),
        bounded("signature", Nullable::No, "levi_device_list_signature_check", 128),
        bounded("cosignature", Nullable::Yes, "levi_device_list_cosignature_check", 128),
        CREATED_AT,
    ],
    uniques: &[Unique { name: "levi_device_list_pkey", columns: &["user_id", "slot"] }],
    foreign: &[owned_by_user!("levi_device_list_user_id_fkey")],
    owner: Owner::UserId,
    grants: Grants::AppendOnly,
};

pub(super) static KEYRINGS: TableDef = TableDef {
    table: Table::Keyrings,
    name: "levi_keyrings",
    columns: &[
        required("user_id", Kind::Uuid),
        required("member_id", Kind::Uuid),
        checked(
            "epoch",
            Kind::Integer,
            Nullable::No,
            Check::Between("levi_keyrings_epoch_check", 1, i64::MAX),
        ),
        bounded("enc", Nullable::No, "levi_keyrings_enc_check", 2048),
        bounded("sealed", Nullable::No, "levi_keyrings_sealed_check", 65536),
        CREATED_AT,
    ],
    uniques: &[Unique { name: "levi_keyrings_pkey", columns: &["user_id", "member_id"] }],
    foreign: &[owned_by_user!("levi_keyrings_user_id_fkey")],
    owner: Owner::UserId,
    grants: Grants::NoDelete,
};

pub(super) static PAIRINGS: TableDef = TableDef {
    table: Table::Pairings,
    name: "levi_pairings",
    columns: &[
        required("user_id", Kind::Uuid),
        bounded("id", Nullable::No, "levi_pairings_id_check", 64),
        bounded("request", Nullable::No, "levi_pairings_request_check", 8192),
        bounded("answer", Nullable::Yes, "levi_pairings_answer_check", 16384),
        bounded("cosignature", Nullable::Yes, "levi_pairings_cosignature_check", 128),
        CREATED_AT,
    ],
    uniques: &[Unique { name: "levi_pairings_pkey", columns: &["user_id", "id"] }],
    foreign: &[owned_by_user!("levi_pairings_user_id_fkey")],
    owner: Owner::UserId,
    grants: Grants::Everything,
};
