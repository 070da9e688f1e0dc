//! `levi login --sign-up`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod project;

use levi_testkit::supabase::SignUps;
use project::{Device, EMAIL, Outcome, PASSWORD, Project, lines};

const NEW: &str = "grace@example.org";

fn sign_up(project: &Project, device: &Device<'_>, email: &str, password: &str) -> Outcome {
    let (url, key) = (project.server.url(), project.server.publishable_key().to_owned());
    let args =
        ["login", "--sign-up", "--url", &url, "--key", &key, "--email", email, "--password-stdin", "--json"];
    device.run_with(&args, password)
}

#[test]
fn where_no_confirmation_is_asked_for_the_new_user_is_signed_in() {
    let project = Project::new();
    let laptop = project.blank("laptop");
    let signed_up = sign_up(&project, &laptop, NEW, PASSWORD).assert_code(0).json();
    assert_ne!(signed_up["user_id"], project.user_id.as_str());
    laptop.run_with(&["sync"], lines(["hello"])).assert_code(0);
    let second = sign_up(&project, &laptop, "other@example.org", PASSWORD).assert_code(4);
    assert!(second.err.contains("--data-dir"), "a data directory is one user's: {}", second.err);
    assert_eq!(project.server.stats().sign_ins, 1);
}

#[test]
fn where_the_address_is_confirmed_first_the_user_signs_in_after_that() {
    let project = Project::new();
    project.server.set_sign_ups(SignUps::Confirmed);
    let laptop = project.blank("laptop");
    // A second time the link is sent again.
    for _ in 0..2 {
        let signed_up = sign_up(&project, &laptop, NEW, PASSWORD).assert_code(4);
        assert_eq!(signed_up.json()["confirmation_sent_to"], NEW);
        assert!(!laptop.data.exists());
    }
    let (url, key) = (project.server.url(), project.server.publishable_key().to_owned());
    let login = || {
        laptop
            .run_with(&["login", "--url", &url, "--key", &key, "--email", NEW, "--password-stdin"], PASSWORD)
    };
    let early = login().assert_code(5);
    assert!(early.err.contains("confirm the email address"), "{}", early.err);
    project.server.confirm_email(NEW);
    login().assert_code(0);
    laptop.run_with(&["sync"], lines(["hello"])).assert_code(0);
}

#[test]
fn a_sign_up_that_is_refused_says_what_to_do_and_leaves_nothing_behind() {
    let project = Project::new();
    let laptop = project.blank("laptop");
    let said = |sign_ups, email: &str, password: &str, code| {
        project.server.set_sign_ups(sign_ups);
        let refused = sign_up(&project, &laptop, email, password).assert_code(code);
        assert!(!laptop.data.exists() && !refused.err.contains(PASSWORD) && refused.out.is_empty());
        refused.err
    };
    for sign_ups in [SignUps::AtOnce, SignUps::Confirmed] {
        let taken = said(sign_ups, EMAIL, PASSWORD, 4);
        assert!(taken.contains("has an account already") && taken.contains("levi login"), "{taken}");
        let weak = said(sign_ups, NEW, "short", 2);
        assert!(weak.contains("stronger password: Password should be at least 6"), "{weak}");
        let malformed = said(sign_ups, "not an address", PASSWORD, 5);
        assert!(malformed.contains("check the email address"), "{malformed}");
    }
    let disabled = said(SignUps::Disabled, NEW, PASSWORD, 5);
    assert!(disabled.contains("signup_disabled") && disabled.contains("ask its owner"), "{disabled}");
    project.server.go_down();
    assert!(said(SignUps::AtOnce, NEW, PASSWORD, 5).contains("cannot be reached"));
}
