//! Each kind of request and each error body that Levi must understand, over a real socket.
#![allow(clippy::type_complexity, reason = "a table of cases reads best as it is")]

mod raw;

use levi_testkit::supabase::FakeSupabase;
use levi_transport::Table;
use raw::{DEVICE, MERGE, MESSAGES, REPOSITORY, Raw, SESSION, User, messages, request};
use serde_json::json;

const SESSIONS: &str = "/rest/v1/agent_coding_sessions";

#[test]
fn an_upsert_inserts_merges_and_does_both_in_one_batch() {
    let server = FakeSupabase::start().unwrap();
    let user = User::sign_in(&server, "ada@example.org");
    user.set_up(1);
    let sent = [(0..3, 201), (1..3, 200), (2..5, 201)];
    for (numbers, status) in sent {
        let answer = user.post(MESSAGES, &messages(SESSION, numbers.clone()));
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{numbers:?}");
        assert_eq!(answer.header("preference-applied"), Some("resolution=merge-duplicates, return=minimal"));
    }
    let stored = server.messages(&SESSION.into()).unwrap();
    assert_eq!(stored.iter().map(|m| m.sequence_number).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!(server.messages_rewritten(), 3);
    assert_eq!(server.order_violations(), []);
    let stats = server.stats();
    let table = stats.table(Table::Messages);
    assert_eq!((table.posts, table.rows_inserted, table.rows_updated), (3, 5, 3));
}

#[test]
fn other_resolutions_fail_on_or_pass_over_what_is_there() {
    let server = FakeSupabase::start().unwrap();
    let user = User::sign_in(&server, "ada@example.org");
    user.set_up(1);
    assert_eq!(user.post(MESSAGES, &messages(SESSION, [1])).status, 201);
    let again = user.send("POST", MESSAGES, &[], &messages(SESSION, [0, 1]));
    assert_eq!(
        again.error(),
        (
            409,
            "23505".into(),
            r#"duplicate key value violates unique constraint "agent_coding_session_messages_pkey""#.into()
        )
    );
    assert_eq!(
        again.json()["details"],
        format!("Key (session_id, sequence_number)=({SESSION}, 1) already exists.")
    );
    let ignore = [("Prefer", "resolution=ignore-duplicates,return=representation")];
    let ignored = user.send("POST", MESSAGES, &ignore, &messages(SESSION, [1, 2, 2]));
    assert_eq!(ignored.status, 201);
    let returned = ignored.json();
    assert_eq!(returned.as_array().unwrap().len(), 1, "{returned}");
    assert_eq!(returned[0]["sequence_number"], 2);
    assert_eq!(server.row_count(Table::Messages).unwrap(), 2, "number 0 went with the batch that failed");
}

/// One bad row and PostgREST's answer: target, body, status, code, message.
#[test]
fn every_refusal_has_postgrests_status_code_and_words() {
    let server = FakeSupabase::start().unwrap();
    let user = User::sign_in(&server, "ada@example.org");
    user.set_up(1);
    let id = &user.id;
    let message = |fields: &str| format!(r#"[{{"session_id":"{SESSION}",{fields}}}]"#);
    let full = r#""content_encrypted":"YQ==","content_nonce":"Yg==""#;
    let session = |status: &str, repository: &str| {
        format!(
            r#"{{"id":"{SESSION}","user_id":"{id}","device_id":"{DEVICE}","repository_id":"{repository}","status":"{status}"}}"#
        )
    };
    let absent = "0e0e0e0e-0000-4000-8000-0000000000ff";
    let table: Vec<(&str, String, u16, &str, &str)> = vec![
        (
            "/rest/v1/nothing",
            "[]".into(),
            404,
            "PGRST205",
            "Could not find the table 'public.nothing' in the schema cache",
        ),
        (
            "/rest/v1/devices?columns=id,colour",
            "[]".into(),
            400,
            "PGRST204",
            "Could not find the 'colour' column of 'devices' in the schema cache",
        ),
        (
            "/rest/v1/devices",
            r#"[{"colour":1}]"#.into(),
            400,
            "PGRST204",
            "Could not find the 'colour' column of 'devices' in the schema cache",
        ),
        (
            "/rest/v1/devices",
            r#"[{"id":1},{"name":2}]"#.into(),
            400,
            "PGRST102",
            "All object keys must match",
        ),
        ("/rest/v1/devices", r#"[{"id":1"#.into(), 400, "PGRST102", "Empty or invalid json"),
        ("/rest/v1/devices", String::new(), 400, "PGRST102", "Empty or invalid json"),
        (MESSAGES, r#"[{"session_id":"#.into(), 400, "22P02", "invalid input syntax for type json"),
        (
            MESSAGES,
            format!(r#"[{{"session_id":"not-a-uuid","sequence_number":1,{full}}}]"#),
            400,
            "22P02",
            r#"invalid input syntax for type uuid: "not-a-uuid""#,
        ),
        (
            MESSAGES,
            message(&format!(r#""sequence_number":1.5,{full}"#)),
            400,
            "22P02",
            r#"invalid input syntax for type bigint: "1.5""#,
        ),
        (
            MESSAGES,
            message(&format!(r#""sequence_number":9223372036854775808,{full}"#)),
            400,
            "22003",
            r#"value "9223372036854775808" is out of range for type bigint"#,
        ),
        (
            MESSAGES,
            message(r#""sequence_number":1,"content_encrypted":"a\u0000b","content_nonce":"""#),
            400,
            "22P05",
            "unsupported Unicode escape sequence",
        ),
        (
            MESSAGES,
            message(r#""sequence_number":1,"content_encrypted":"YQ==""#),
            400,
            "23502",
            r#"null value in column "content_nonce" of relation "agent_coding_session_messages" violates not-null constraint"#,
        ),
        (
            MESSAGES,
            message(&format!(r#""sequence_number":-1,{full}"#)),
            400,
            "23514",
            r#"new row for relation "agent_coding_session_messages" violates check constraint "agent_coding_session_messages_sequence_number_check""#,
        ),
        (
            SESSIONS,
            session("asleep", REPOSITORY),
            400,
            "23514",
            r#"new row for relation "agent_coding_sessions" violates check constraint "agent_coding_sessions_status_check""#,
        ),
        (
            SESSIONS,
            session("active", absent),
            409,
            "23503",
            r#"insert or update on table "agent_coding_sessions" violates foreign key constraint "agent_coding_sessions_repository_id_user_id_fkey""#,
        ),
        (
            MESSAGES,
            messages(SESSION, [7, 8, 7]),
            500,
            "21000",
            "ON CONFLICT DO UPDATE command cannot affect row a second time",
        ),
        // The policy checks the session before the foreign key does.
        (
            MESSAGES,
            messages("0a0a0a0a-0000-4000-8000-0000000000ff", [1]),
            403,
            "42501",
            r#"new row violates row-level security policy for table "agent_coding_session_messages""#,
        ),
        (
            "/rest/v1/devices?on_conflict=name",
            format!(r#"{{"id":"{absent}","user_id":"{id}","name":"d","device_type":"t"}}"#),
            400,
            "42P10",
            "there is no unique or exclusion constraint matching the ON CONFLICT specification",
        ),
    ];
    let before = server.row_count(Table::Messages).unwrap();
    for (target, body, status, code, text) in table {
        let answer = user.post(target, &body);
        assert_eq!(answer.error(), (status, code.to_owned(), text.to_owned()), "POST {target} {body}");
        for field in ["details", "hint"] {
            assert!(answer.json().get(field).is_some(), "{field} is always there: {answer:?}");
        }
    }
    assert_eq!(server.row_count(Table::Messages).unwrap(), before, "all or nothing");
}

#[test]
fn details_name_the_missing_parent() {
    let server = FakeSupabase::start().unwrap();
    let absent = "0a0a0a0a-0000-4000-8000-0000000000ff";
    // Without policies, the foreign key of a message is checked.
    let bytes = request(
        "POST",
        MESSAGES,
        &[("apikey", server.secret_key()), MERGE],
        messages(absent, [1]).as_bytes(),
    );
    let answer = Raw::connect(&server).unwrap().exchange(&bytes).unwrap();
    assert_eq!(
        (answer.status, answer.json()),
        (
            409,
            json!({
                "code": "23503",
                "details": format!("Key (session_id)=({absent}) is not present in table \"agent_coding_sessions\"."),
                "hint": null,
                "message": "insert or update on table \"agent_coding_session_messages\" violates foreign key constraint \"agent_coding_session_messages_session_id_fkey\"",
            })
        )
    );
}

#[test]
fn keys_and_tokens_are_refused_as_the_gateway_and_postgrest_do() {
    let server = FakeSupabase::start().unwrap();
    let user = User::sign_in(&server, "ada@example.org");
    let key = server.publishable_key();
    let expired = format!("Bearer {}", user.token);
    server.expire_tokens(&user.id);
    let table: Vec<(Vec<(&str, &str)>, u16, &str, &str)> = vec![
        (vec![], 401, "", "No API key found in request"),
        (vec![("apikey", "sb_publishable_other")], 401, "", "Invalid API key"),
        (vec![("apikey", key)], 401, "42501", "permission denied for table devices"),
        (vec![("apikey", key), ("Authorization", &expired)], 401, "PGRST303", "JWT expired"),
        (
            vec![("apikey", key), ("Authorization", "Bearer x.y")],
            401,
            "PGRST301",
            "Expected 3 parts in JWT; got 2",
        ),
        (
            vec![("apikey", key), ("Authorization", "Bearer x.y.z")],
            401,
            "PGRST301",
            "No suitable key or wrong key type",
        ),
        (
            vec![("apikey", key), ("Authorization", "Bearer ")],
            401,
            "PGRST301",
            "Empty JWT is sent in Authorization header",
        ),
    ];
    for (headers, status, code, message) in table {
        let answer = Raw::connect(&server)
            .unwrap()
            .exchange(&request("GET", "/rest/v1/devices", &headers, b""))
            .unwrap();
        assert_eq!(answer.error(), (status, code.to_owned(), message.to_owned()), "{headers:?}");
    }
}

#[test]
fn another_user_neither_reads_nor_writes_nor_updates_nor_deletes() {
    let server = FakeSupabase::start().unwrap();
    let ada = User::sign_in(&server, "ada@example.org");
    let eve = User::sign_in(&server, "eve@example.org");
    let (device, repository, session) = ada.set_up(1);
    eve.set_up(2);
    assert_eq!(ada.post(MESSAGES, &messages(&session, [1])).status, 201);
    let secret = format!(
        r#"{{"session_id":"{session}","device_id":"{device}","ephemeral_public_key":"a","encrypted_secret":"b"}}"#
    );
    assert_eq!(ada.post("/rest/v1/agent_coding_session_secrets", &secret).status, 201);

    let ada_id = &ada.id;
    let rows = [
        (
            "devices",
            format!("id=eq.{device}"),
            format!(r#"{{"id":"{device}","user_id":"{ada_id}","name":"x","device_type":"t"}}"#),
            r#"{"name":"eve's"}"#,
        ),
        (
            "repositories",
            format!("id=eq.{repository}"),
            format!(
                r#"{{"id":"{repository}","user_id":"{ada_id}","device_id":"{device}","name":"x","local_path":"/x"}}"#
            ),
            r#"{"name":"eve's"}"#,
        ),
        (
            "agent_coding_sessions",
            format!("id=eq.{session}"),
            format!(
                r#"{{"id":"{session}","user_id":"{ada_id}","device_id":"{device}","repository_id":"{repository}"}}"#
            ),
            r#"{"title":"eve's"}"#,
        ),
        (
            "agent_coding_session_messages",
            format!("session_id=eq.{session}"),
            messages(&session, [1]),
            r#"{"content_nonce":"eve's"}"#,
        ),
        (
            "agent_coding_session_secrets",
            format!("session_id=eq.{session}"),
            secret,
            r#"{"encrypted_secret":"eve's"}"#,
        ),
    ];
    let all = [Table::Devices, Table::Repositories, Table::Sessions, Table::Messages, Table::Secrets];
    let before: Vec<_> = all.map(|table| server.rows(table).unwrap()).into();
    for (table, filter, row, change) in &rows {
        let target = format!("/rest/v1/{table}?{filter}");
        assert_eq!(ada.get(&target).json().as_array().unwrap().len(), 1, "{table}: the owner reads it");
        assert_eq!(eve.get(&target).json(), json!([]), "{table}: reading");
        let written = eve.post(&format!("/rest/v1/{table}"), row);
        assert_eq!((written.status, written.error().1.as_str()), (403, "42501"), "{table}: writing");
        assert_eq!(eve.send("PATCH", &target, &[], change).status, 204, "{table}: updating says nothing");
        assert_eq!(eve.send("DELETE", &target, &[], "").status, 204, "{table}: deleting says nothing");
    }
    assert_eq!(all.map(|table| server.rows(table).unwrap()).to_vec(), before, "and nothing has changed");
    // An upsert with her own user id cannot take over a row of Ada's.
    let eve_id = &eve.id;
    let takeover = format!(r#"{{"id":"{device}","user_id":"{eve_id}","name":"x","device_type":"t"}}"#);
    let answer = eve.post("/rest/v1/devices", &takeover);
    assert_eq!(
        answer.error(),
        (
            403,
            "42501".into(),
            r#"new row violates row-level security policy (USING expression) for table "devices""#.into()
        )
    );
    for (table, filter, _, change) in rows.iter().rev() {
        let target = format!("/rest/v1/{table}?{filter}");
        let returning = [("Prefer", "return=representation")];
        assert_eq!(
            ada.send("PATCH", &target, &returning, change).json().as_array().unwrap().len(),
            1,
            "{table}"
        );
        assert_eq!(
            ada.send("DELETE", &target, &returning, "").json().as_array().unwrap().len(),
            1,
            "{table}"
        );
    }
}

#[test]
fn reads_filter_sort_and_stop_at_the_servers_limit() {
    let server = FakeSupabase::builder().max_rows(3).start().unwrap();
    let user = User::sign_in(&server, "ada@example.org");
    user.set_up(1);
    user.set_up(2);
    let big = 9_007_199_254_740_993_i64;
    assert_eq!(user.post(MESSAGES, &messages(SESSION, [5, 1, 4, 2, 3, big])).status, 201);
    let table = [
        ("order=sequence_number", vec![1, 2, 3]),
        ("order=sequence_number&limit=2&offset=1", vec![2, 3]),
        ("order=sequence_number&limit=1000&offset=4", vec![5, big]),
        ("sequence_number=gt.3&order=sequence_number.asc", vec![4, 5, big]),
        ("sequence_number=gte.3&sequence_number=lt.5&order=sequence_number", vec![3, 4]),
        ("sequence_number=in.(1,9007199254740993)&order=sequence_number.desc", vec![big, 1]),
        ("sequence_number=not.in.(1,2,3)&order=sequence_number.desc.nullslast", vec![big, 5, 4]),
        ("sequence_number=neq.1&sequence_number=lte.2", vec![2]),
        ("content_nonce=is.null", vec![]),
        ("content_nonce=not.is.null&sequence_number=eq.4", vec![4]),
        ("limit=0", vec![]),
    ];
    for (query, expected) in table {
        let target = format!(
            "/rest/v1/agent_coding_session_messages?session_id=eq.{SESSION}&select=sequence_number&{query}"
        );
        let rows = user.get(&target).json();
        let numbers: Vec<i64> =
            rows.as_array().unwrap().iter().map(|row| row["sequence_number"].as_i64().unwrap()).collect();
        assert_eq!(numbers, expected, "{query}");
    }
    let counted = user.send("GET", "/rest/v1/devices?limit=1", &[("Prefer", "count=exact")], "");
    assert_eq!((counted.status, counted.header("content-range")), (206, Some("0-0/2")));
    let bad = [
        ("/rest/v1/devices?id=eq.x", 400, "22P02"),
        ("/rest/v1/devices?colour=eq.x", 400, "42703"),
        ("/rest/v1/devices?select=colour", 400, "42703"),
        ("/rest/v1/devices?name=x", 400, "PGRST100"),
        ("/rest/v1/devices?name=resembles.x", 400, "PGRST100"),
    ];
    for (target, status, code) in bad {
        let error = user.get(target).error();
        assert_eq!((error.0, error.1.as_str()), (status, code), "{target}");
    }
}
