//! Bodies as PostgREST accepts them: unequal keys, chunks, large batches, and late rows.
#![allow(clippy::type_complexity, reason = "a table of cases reads best as it is")]

mod raw;

use levi_testkit::supabase::FakeSupabase;
use levi_transport::Table;
use raw::{MERGE, MESSAGES, Raw, SESSION, User, messages};
use serde_json::json;

#[test]
fn unequal_keys_are_fine_with_columns_named() {
    let server = FakeSupabase::start().unwrap();
    let user = User::sign_in(&server, "ada@example.org");
    user.set_up(1);
    let id = &user.id;
    let ids = ["0d0d0d0d-0000-4000-8000-0000000000a1", "0d0d0d0d-0000-4000-8000-0000000000a2"];
    let rows = format!(
        r#"[{{"id":"{}","user_id":"{id}","name":"a","device_type":"t","extra":1}},
            {{"id":"{}","user_id":"{id}","name":"b","device_type":"t","public_key":"k"}}]"#,
        ids[0], ids[1]
    );
    let target = "/rest/v1/devices?columns=id,user_id,name,device_type,public_key";
    assert_eq!(user.post(target, &rows).status, 201);
    let read = user.get(&format!(
        "/rest/v1/devices?id=in.({},{})&select=public_key,is_active&order=name",
        ids[0], ids[1]
    ));
    assert_eq!(
        read.json(),
        json!([{ "public_key": null, "is_active": true }, { "public_key": "k", "is_active": true }])
    );
}

#[test]
fn a_body_may_come_in_chunks_and_a_connection_serves_many_requests() {
    let server = FakeSupabase::start().unwrap();
    let user = User::sign_in(&server, "ada@example.org");
    user.set_up(1);
    let body = messages(SESSION, 0..200);
    let mut connection = Raw::connect(&server).unwrap();
    let mut head = user.bytes("POST", MESSAGES, &[MERGE, ("Transfer-Encoding", "chunked")], "");
    for chunk in body.as_bytes().chunks(777) {
        head.extend_from_slice(format!("{:X};ext=1\r\n", chunk.len()).as_bytes());
        head.extend_from_slice(chunk);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"0\r\nTrailer: x\r\n\r\n");
    assert_eq!(connection.exchange(&head).unwrap().status, 201);
    for n in 200..220 {
        let bytes = user.bytes("POST", MESSAGES, &[MERGE], &messages(SESSION, [n]));
        assert_eq!(connection.exchange(&bytes).unwrap().status, 201);
    }
    assert_eq!(server.row_count(Table::Messages).unwrap(), 220);
    assert_eq!(server.stats().connections, 3 + 1, "one connection for all of it");
}

#[test]
fn a_batch_of_two_thousand_rows_is_one_insert() {
    let server = FakeSupabase::start().unwrap();
    let user = User::sign_in(&server, "ada@example.org");
    user.set_up(1);
    assert_eq!(user.post(MESSAGES, &messages(SESSION, 0..2000)).status, 201);
    assert_eq!(server.row_count(Table::Messages).unwrap(), 2000);
}

#[test]
fn a_message_that_lands_behind_a_later_one_is_noticed() {
    let server = FakeSupabase::start().unwrap();
    let user = User::sign_in(&server, "ada@example.org");
    user.set_up(1);
    for numbers in [vec![0, 1], vec![4, 3], vec![2], vec![5]] {
        assert_eq!(user.post(MESSAGES, &messages(SESSION, numbers)).status, 201);
    }
    let late: Vec<_> = server.order_violations().iter().map(|v| (v.sequence_number, v.highest)).collect();
    assert_eq!(late, [(2, 4)], "within one request order does not matter");
}

#[test]
fn a_body_over_the_limit_is_refused_whole() {
    let server = FakeSupabase::builder().max_body_bytes(1000).start().unwrap();
    let user = User::sign_in(&server, "ada@example.org");
    user.set_up(1);
    assert_eq!(user.post(MESSAGES, &messages(SESSION, 0..100)).status, 413);
    assert_eq!(server.row_count(Table::Messages).unwrap(), 0);
}
