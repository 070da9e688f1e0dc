//! Settings are obeyed, or refused by name.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod project;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use levi_testkit::supabase::{Fault, Scope, Times};
use project::{EMAIL, Outcome, PASSWORD, Project, lines, path};

const KEY: &str = "sb_publishable_x";

/// Far below what a request may take by itself, far above a patience of one second.
const SOON: Duration = Duration::from_secs(8);

/// The variables that name proxies, in capitals.
const PROXIES: [&str; 4] = ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"];

/// Signs in with `options`, and with these variables in the environment.
fn login(project: &Project, options: &[&str], environment: &[(&str, &str)]) -> Outcome {
    let args = [&["login", "--key", KEY, "--email", EMAIL, "--password-stdin"][..], options].concat();
    let mut command = project.blank("blank").command(&args);
    for name in PROXIES {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    let mut child = command.envs(environment.iter().copied()).spawn().unwrap();
    // It may have ended before it reads.
    let _ = child.stdin.take().unwrap().write_all(PASSWORD.as_bytes());
    Outcome::of(child.wait_with_output().unwrap())
}

#[test]
fn addresses_that_cannot_work_are_refused_and_say_why() {
    let project = Project::new();
    for (url, why) in [
        ("https://https://abcd.supabase.co", "twice"),
        ("https://:443", "no host"),
        ("https://abcd.supabase.co:99999", "port"),
        ("https://abcd.supabase.co/#settings", "fragment"),
        ("https://abcd.supabase.co?x=1", "query"),
        ("https://me:secret@abcd.supabase.co", "password"),
    ] {
        let refused = login(&project, &["--url", url], &[]).assert_code(1);
        assert!(refused.err.contains(why) && !refused.err.contains("secret"), "{url}: {}", refused.err);
    }
}

#[test]
fn files_and_headers_that_cannot_be_used_are_refused() {
    let project = Project::new();
    let nonsense = project.file("nonsense.pem", "no certificate");
    let url = ["--url", "https://abcd.supabase.co"];
    let with = |options: &[&str]| login(&project, &[&url[..], options].concat(), &[]).assert_code(1).err;
    assert!(with(&["--ca-file", path(&nonsense)]).contains("--ca-file"));
    assert!(with(&["--ca-file", "nowhere.pem"]).contains("nowhere.pem"));
    assert!(with(&["--header", "no colon"]).contains("--header"));
    assert!(with(&["--header", "Authorization: Bearer me"]).contains("authorization"));
    let environment = [("LEVI_CA_FILE", path(&nonsense))];
    assert!(login(&project, &url, &environment).assert_code(1).err.contains("--ca-file"));
    let environment = [("LEVI_HEADER", "X-Good: 1\napikey: mine\n")];
    let refused = login(&project, &url, &environment).assert_code(1).err;
    assert!(refused.contains("apikey") && !refused.contains("mine"), "{refused}");
}

#[test]
fn a_proxy_is_used_or_refused_by_the_name_of_its_variable() {
    let project = Project::new();
    let url = ["--url", "https://levi.invalid"];
    for (variable, value) in [("ALL_PROXY", "gopher://proxy"), ("HTTPS_PROXY", "http://proxy:99999")] {
        let refused = login(&project, &url, &[(variable, value)]).assert_code(1).err;
        assert!(refused.contains(variable), "{refused}");
    }
    for scheme in ["socks5h", "http"] {
        let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("{scheme}://{}", proxy.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let mut stream = proxy.accept().unwrap().0;
            let mut bytes = Vec::new();
            let mut some = [0; 512];
            while !String::from_utf8_lossy(&bytes).contains("levi.invalid") {
                let read = stream.read(&mut some).unwrap();
                if read == 0 {
                    break;
                }
                bytes.extend_from_slice(&some[..read]);
                if bytes == [5, 1, 0] {
                    stream.write_all(&[5, 0]).unwrap();
                }
            }
            String::from_utf8_lossy(&bytes).into_owned()
        });
        login(&project, &url, &[("ALL_PROXY", &address)]).assert_code(5);
        let asked = asked.join().unwrap();
        assert!(asked.contains("levi.invalid"), "{scheme}: the proxy was asked for {asked:?}");
        // Nobody listens there any more: NO_PROXY leaves it out, and the name does not resolve.
        let environment = [("ALL_PROXY", address.as_str()), ("NO_PROXY", ".invalid")];
        let direct = login(&project, &url, &environment).assert_code(5).err;
        assert!(direct.contains("dns") || direct.contains("timeout"), "{direct}");
    }
}

/// Runs `levi demo` against the project at `url`, with these variables in the environment.
#[cfg(feature = "demo")]
fn demo(project: &Project, url: &str, options: &[&str], environment: &[(&str, &str)]) -> Outcome {
    let key = project.server.publishable_key();
    let args = ["demo", "--server", url, "--key", key, "--email", "new@example.org", "--messages", "4"];
    let mut command = project.blank("demo").command(&[&args[..], options].concat());
    for name in PROXIES {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.env("LEVI_PASSWORD", PASSWORD).envs(environment.iter().copied());
    Outcome::of(command.output().unwrap())
}

#[cfg(feature = "demo")]
#[test]
fn the_demo_obeys_the_settings_of_requests_too() {
    let project = Project::new();
    let url = project.server.url();
    demo(&project, &url, &["--header", "X-Gateway-Key: open sesame"], &[]).assert_code(0);
    let requests = project.server.requests();
    assert!(requests.iter().any(|request| request.target == "/auth/v1/signup"), "nobody signed up");
    for request in &requests {
        let header = request.header("x-gateway-key");
        assert_eq!(header, Some("open sesame"), "{} {}", request.method, request.target);
    }
    let nonsense = project.file("nonsense.pem", "no certificate");
    for (options, environment) in
        [(vec!["--ca-file", path(&nonsense)], vec![]), (vec![], vec![("LEVI_CA_FILE", path(&nonsense))])]
    {
        let refused = demo(&project, "https://levi.invalid", &options, &environment).assert_code(1);
        assert!(refused.err.contains("--ca-file"), "{}", refused.err);
    }
    let refused = demo(&project, "https://levi.invalid", &[], &[("ALL_PROXY", "gopher://proxy")]);
    assert!(refused.assert_code(1).err.contains("ALL_PROXY"));
}

#[test]
fn a_patience_that_no_clock_can_express_is_refused() {
    let project = Project::new();
    let refused = project.blank("blank").run(&["sync", "--patience", "18446744073709551615"]);
    assert!(refused.assert_code(2).err.contains("--patience"));
}

/// Measured from outside: a request may take 15 s, and none of them is waited for.
#[test]
fn patience_is_how_long_the_process_waits_for_a_server_that_never_answers() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let file = project.file("session.ndjson", lines(["one", "two"]));
    project.server.faults().plan(Scope::any(), Times::Always, Fault::StallBeforeWrite);
    let start = Instant::now();
    let stalled = laptop.run(&["sync", path(&file), "--patience", "1"]).assert_code(3);
    assert!(start.elapsed() < SOON, "{:?}: {stalled:?}", start.elapsed());
    // One patience for all sessions, not one for each.
    let many: String = (0..20)
        .map(|number| {
            let session = levi_testkit::fixtures::uuid_of("session", &number.to_string());
            format!("{{\"content\":\"x\",\"session_id\":\"{session}\"}}\n")
        })
        .collect();
    let start = Instant::now();
    let gave_up = laptop.run_with(&["sync", "--patience", "1"], many).assert_code(5);
    assert!(start.elapsed() < SOON, "{:?}: {gave_up:?}", start.elapsed());
    project.server.faults().clear();
    project.server.faults().release();
    laptop.run(&["sync", path(&file)]).assert_code(0);
    assert_eq!(project.messages_on_server(), 2);
}

/// Nobody waits for the end of a patience, or of a backoff, to learn what is known after the first request.
#[test]
fn why_nothing_is_sent_is_said_at_once_and_once() {
    let project = Project::new();
    let laptop = project.device("laptop");
    let file = project.file("session.ndjson", lines(["one", "two"]));
    let other = levi_testkit::fixtures::uuid_of("device", "other");
    project.server.go_down();
    for args in [&["sync", path(&file), "--patience", "600"][..], &["pull"], &["share", &other]] {
        let mut child = laptop.start(args);
        drop(child.stdin.take());
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        assert!(first.contains("cannot be reached") && first.contains("connect"), "{args:?}: {first}");
        assert!(first.contains("next try in"), "{args:?}: {first}");
        assert!(child.try_wait().unwrap().is_none(), "{args:?} has ended before");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(lines.map_while(Result::ok).count(), 0, "{args:?} repeats itself");
    }
    let code = laptop.run(&["sync", path(&file), "--patience", "3", "--json"]).assert_code(3);
    assert_eq!(code.err.lines().count(), 1, "several attempts, one reason: {}", code.err);
}
