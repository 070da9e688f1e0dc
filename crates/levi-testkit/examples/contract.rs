//! Runs the contract suite against a project and prints the result of each case.
//!
//! ```text
//! LEVI_CONTRACT_URL=https://<ref>.supabase.co LEVI_CONTRACT_KEY=sb_publishable_... \
//! LEVI_CONTRACT_EMAIL_1=... LEVI_CONTRACT_PASSWORD_1=... \
//! LEVI_CONTRACT_EMAIL_2=... LEVI_CONTRACT_PASSWORD_2=... \
//! cargo run -p levi-testkit --features contract --example contract [-- REPORT.json]
//! ```
//!
//! The two users must differ. Their existing rows are not changed. Each run leaves two or three
//! rows of each user that no user can delete: entries at the end of the device list, which every
//! device skips, and a keyring of an unknown member. `LEVI_CONTRACT_SIGN_UP=1` signs up two new
//! ones instead. `LEVI_CONTRACT_EXPIRED_TOKEN` (an old access token) or `LEVI_CONTRACT_JWT_SECRET`
//! adds the cases that need one. `LEVI_CONTRACT_SERVER` is `supabase` by default. With `lite` or
//! `lite-postgres` the known differences of Supabase Lite are expected. `fake-supabase` starts a
//! fake Supabase in this process and needs no other setting.
//!
//! Exit codes: 0 the contract holds, 1 it does not, 2 it could not be run.

use std::env::{args, var};
use std::error::Error;
use std::process::ExitCode;

use levi_testkit::contract::{Accounts, Report, Server, Target, run};
use levi_testkit::supabase::FakeSupabase;

fn main() -> ExitCode {
    match report() {
        Ok(report) => {
            println!("{report}");
            ExitCode::from(u8::from(report.broken().next().is_some()))
        }
        Err(error) => {
            eprintln!("contract: {error}");
            ExitCode::from(2)
        }
    }
}

fn report() -> Result<Report, Box<dyn Error>> {
    let name = var("LEVI_CONTRACT_SERVER").unwrap_or_else(|_| Server::Supabase.name().to_owned());
    let report = match Server::named(&name) {
        Some(Server::FakeSupabase) => in_process()?,
        Some(server) => run(&elsewhere(server)?)?,
        None => {
            return Err("LEVI_CONTRACT_SERVER is one of supabase, lite, lite-postgres, fake-supabase".into());
        }
    };
    if let Some(path) = args().nth(1) {
        let mut json = serde_json::to_string_pretty(&report)?;
        json.push('\n');
        std::fs::write(path, json)?;
    }
    Ok(report)
}

fn in_process() -> Result<Report, Box<dyn Error>> {
    let fake_supabase = FakeSupabase::start()?;
    let accounts =
        ["first", "second"].map(|name| (format!("{name}@example.com"), format!("{name} password")));
    for (email, password) in &accounts {
        fake_supabase.add_user(email, password)?;
    }
    let accounts = Accounts::Existing(accounts);
    let sign_in = || {
        Target::sign_in(
            Server::FakeSupabase,
            &fake_supabase.url(),
            fake_supabase.publishable_key(),
            accounts.clone(),
        )
    };
    let before = sign_in()?;
    fake_supabase.expire_tokens(&before.user_id());
    Ok(run(&sign_in()?.with_expired_token(before.access_token().to_owned()))?)
}

fn elsewhere(server: Server) -> Result<Target, Box<dyn Error>> {
    let target = Target::sign_in(server, &setting("URL")?, &setting("KEY")?, accounts()?)?;
    Ok(match (var("LEVI_CONTRACT_EXPIRED_TOKEN"), var("LEVI_CONTRACT_JWT_SECRET")) {
        (Ok(token), _) => target.with_expired_token(token),
        (_, Ok(secret)) => target.with_jwt_secret(&secret),
        _ => target,
    })
}

fn accounts() -> Result<Accounts, Box<dyn Error>> {
    if var("LEVI_CONTRACT_SIGN_UP").is_ok_and(|value| value == "1") {
        return Ok(Accounts::SignUp);
    }
    let user =
        |n| Ok::<_, Box<dyn Error>>((setting(&format!("EMAIL_{n}"))?, setting(&format!("PASSWORD_{n}"))?));
    Ok(Accounts::Existing([user(1)?, user(2)?]))
}

fn setting(name: &str) -> Result<String, Box<dyn Error>> {
    var(format!("LEVI_CONTRACT_{name}")).map_err(|_| format!("LEVI_CONTRACT_{name} is not set").into())
}
