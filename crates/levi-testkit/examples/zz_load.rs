#![allow(missing_docs)]
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;
use levi_testkit::{fixtures, supabase::StandIn};
fn main() {
    let per: usize = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(400);
    let total: usize = std::env::args().nth(2).and_then(|a| a.parse().ok()).unwrap_or(100_000);
    let s = StandIn::start().unwrap();
    let u = s.add_user("a@b.c", "xxxxxx").unwrap();
    let t = s.sign_in(&u).unwrap().access_token;
    let texts: Vec<String> = fixtures::transcript(1).take(total).collect();
    let t0 = Instant::now();
    let w = s.watch_for(&texts);
    println!("watching {} ({} short) in {:?}", w.watched(), w.too_short(), t0.elapsed());
    let mut c = TcpStream::connect(s.url().trim_start_matches("http://")).unwrap();
    let mut post = |target: &str, body: &str| {
        c.write_all(format!("POST {target} HTTP/1.1\r\nHost: x\r\napikey: {}\r\nAuthorization: Bearer {}\r\nPrefer: resolution=merge-duplicates\r\nContent-Length: {}\r\n\r\n", s.publishable_key(), t.expose(), body.len()).as_bytes()).unwrap();
        c.write_all(body.as_bytes()).unwrap();
        let mut b = [0; 4096];
        let n = c.read(&mut b).unwrap();
        let a = String::from_utf8_lossy(&b[..n]).into_owned();
        assert!(a.starts_with("HTTP/1.1 20"), "{a}");
    };
    let (d, r, se) = (fixtures::uuid_of("d", "1"), fixtures::uuid_of("r", "1"), fixtures::uuid_of("s", "1"));
    post("/rest/v1/devices", &format!(r#"{{"id":"{d}","user_id":"{u}","name":"d","device_type":"t"}}"#));
    post("/rest/v1/repositories", &format!(r#"{{"id":"{r}","user_id":"{u}","device_id":"{d}","name":"d","local_path":"t"}}"#));
    post("/rest/v1/agent_coding_sessions", &format!(r#"{{"id":"{se}","user_id":"{u}","device_id":"{d}","repository_id":"{r}"}}"#));
    let mut rnd = fixtures::SeededRandom::new(5);
    let mut bytes = vec![0u8; 1024];
    rnd.fill(&mut bytes);
    use base64::Engine as _;
    let content = base64::engine::general_purpose::STANDARD.encode(&bytes);
    let mut bodies = Vec::new();
    for b in 0..total / per {
        let rows: Vec<String> = (0..per).map(|i| format!(r#"{{"session_id":"{se}","sequence_number":{},"content_encrypted":"{content}","content_nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}"#, b * per + i)).collect();
        bodies.push(format!("[{}]", rows.join(",")));
    }
    let t0 = Instant::now();
    for b in &bodies { post("/rest/v1/agent_coding_session_messages?on_conflict=session_id,sequence_number&columns=session_id,sequence_number,content_encrypted,content_nonce", b); }
    let e = t0.elapsed();
    println!("{total} rows in {e:?}: {:.0} rows/s, {:.1} us/row, {} found", total as f64 / e.as_secs_f64(), e.as_secs_f64() * 1e6 / total as f64, w.sightings().len());
}
