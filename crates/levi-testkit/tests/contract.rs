//! The fake Supabase fulfils the contract, except for the differences that the suite lists.
#![cfg(feature = "contract")]

use levi_testkit::contract::{Accounts, Outcome, Server, Target, run};
use levi_testkit::supabase::FakeSupabase;

#[test]
fn the_fake_supabase_keeps_the_contract() {
    let fake_supabase = FakeSupabase::start().unwrap();
    let accounts =
        ["first", "second"].map(|name| (format!("{name}@example.com"), format!("{name} password")));
    for (email, password) in &accounts {
        fake_supabase.add_user(email, password).unwrap();
    }
    let sign_in = || {
        let accounts = Accounts::Existing(accounts.clone());
        Target::sign_in(Server::FakeSupabase, &fake_supabase.url(), fake_supabase.publishable_key(), accounts)
            .unwrap()
    };
    let before = sign_in();
    fake_supabase.expire_tokens(&before.user_id());
    let target = sign_in().with_expired_token(before.access_token().to_owned());

    let report = run(&target).unwrap();

    assert_eq!(report.broken().count(), 0, "{report}");
    assert_eq!(report.with(Outcome::NotRun).count(), 0, "{report}");
    assert!(report.lines.len() > 90, "{report}");
}
