//! Profiles: what each setting comes from, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod project;

use project::{Device, EMAIL, Outcome, PASSWORD, Project, lines, path};

/// A file with a profile for each of two devices of the project.
fn two_profiles(project: &Project, top: &str) {
    let (url, key) = (project.server.url(), project.server.publishable_key().to_owned());
    let profile = |name: &str| {
        let data = project.directory.path().join(name);
        format!(
            "[profiles.{name}]\nurl = '{url}'\nkey = '{key}'\nemail = '{EMAIL}'\ndata_dir = '{}'\n",
            path(&data)
        )
    };
    project.file("config.toml", format!("{top}\n{}{}", profile("work"), profile("home")));
}

/// As `run_with`, without the data directory that the other tests name by a variable.
fn run(device: &Device<'_>, args: &[&str], variables: &[(&str, &str)], stdin: &str) -> Outcome {
    use std::io::Write as _;
    let mut command = device.command(args);
    command.env_remove("LEVI_DATA_DIR").envs(variables.iter().copied());
    let mut child = command.spawn().unwrap();
    // A command that does not read its stdin may be gone by now.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    Outcome::of(child.wait_with_output().unwrap())
}

#[test]
fn two_devices_of_one_machine_have_a_profile_each() {
    let project = Project::new();
    two_profiles(&project, "");
    let any = project.blank("unused");
    for profile in ["work", "home"] {
        run(&any, &["--profile", profile, "login", "--password-stdin"], &[], PASSWORD).assert_code(0);
    }
    let sync = ["sync", "--session", "4be0643f-1d98-473b-97cd-ca98a65347dd"];
    run(&any, &sync, &[("LEVI_PROFILE", "work")], &lines(["from work"])).assert_code(0);
    let pulled = run(&any, &["pull", "--profile", "home"], &[], "").assert_code(0).objects();
    assert_eq!(pulled[0]["content"], "from work");
    let listed = run(&any, &["profiles", "--json"], &[("LEVI_PROFILE", "home")], "").objects();
    let names: Vec<_> = listed.iter().map(|line| (&line["profile"], &line["in_use"])).collect();
    assert_eq!(names, [(&"home".into(), &true.into()), (&"work".into(), &false.into())]);
    assert!(listed.iter().all(|line| line["signed_in"] == true), "{listed:?}");
    assert!(!project.blank("unused").data.exists());
}

/// Each level decides once those above it are silent, and `levi doctor` says which one did.
#[test]
fn an_option_is_above_a_variable_and_that_above_a_profile_and_that_above_the_default() {
    let project = Project::new();
    two_profiles(&project, "default_profile = 'work'");
    let any = project.blank("unused");
    let [by_option, by_variable] =
        ["by-option", "by-variable"].map(|name| project.directory.path().join(name));
    let settings = |args: &[&str], variables: &[(&str, &str)]| -> Vec<String> {
        let ran = run(&any, &[&["doctor", "--json"], args].concat(), variables, "");
        let of_settings = |line: &serde_json::Value| {
            ["profile", "setting data-dir"].contains(&line["check"].as_str().unwrap())
        };
        let objects = ran.objects().into_iter().filter(of_settings);
        objects.map(|line| line["detail"].as_str().unwrap().to_owned()).collect()
    };
    let variable = [("LEVI_DATA_DIR", path(&by_variable)), ("LEVI_PROFILE", "home")];
    let said = settings(&["--data-dir", path(&by_option), "--profile", "work"], &variable);
    assert!(said[0].starts_with("work of ") && said[0].ends_with("by --profile"), "{said:?}");
    assert!(said[1].contains("by-option, from --data-dir"), "{said:?}");
    let said = settings(&[], &variable);
    assert!(said[0].starts_with("home of ") && said[0].ends_with("by LEVI_PROFILE"), "{said:?}");
    assert!(said[1].contains("by-variable, from LEVI_DATA_DIR"), "{said:?}");
    let said = settings(&[], &[]);
    assert!(said[0].starts_with("work of ") && said[0].ends_with("by default_profile"), "{said:?}");
    assert!(said[1].contains("work, from the profile work"), "{said:?}");
    // The key is not shown, and "" chooses no profile.
    let all = run(&any, &["doctor"], &[], "").out;
    assert!(all.contains("setting key: given, from the profile work"), "{all}");
    assert_eq!(settings(&["--profile", ""], &[]), Vec::<String>::new());
}

#[test]
fn a_profile_without_a_data_directory_has_one_of_its_own() {
    let project = Project::new();
    project.file("config.toml", "[profiles.work]\n[profiles.home]\n");
    let home = project.directory.path().join("data");
    let variables = [("XDG_DATA_HOME", path(&home)), ("HOME", path(&home))];
    let any = project.blank("unused");
    let mut folders: Vec<String> = Vec::new();
    for args in [&["status"][..], &["status", "--profile", "work"], &["status", "--profile", "home"]] {
        let status = run(&any, &[args, &["--json"]].concat(), &variables, "").json();
        folders.push(status["data_dir"].as_str().unwrap().to_owned());
    }
    folders.dedup();
    assert_eq!(folders.len(), 3, "{folders:?}");
    let (url, key) = (project.server.url(), project.server.publishable_key().to_owned());
    let login =
        ["login", "--profile", "work", "--url", &url, "--key", &key, "--email", EMAIL, "--password-stdin"];
    run(&any, &login, &variables, PASSWORD).assert_code(0);
}

#[test]
fn a_file_that_cannot_be_used_stops_a_command_before_it_does_anything() {
    let project = Project::new();
    let any = project.blank("unused");
    project.file("config.toml", "[profiles.work]\nurl = 'x'\npasword = 'hunter2'\n");
    for args in [&["status"][..], &["profiles"], &["login", "--json"], &["pull"]] {
        let refused = any.run(args).assert_code(1);
        assert!(refused.err.contains("line 3") && refused.err.contains("pasword"), "{}", refused.err);
        assert!(!refused.err.contains("hunter2"), "{}", refused.err);
    }
    any.run(&["completions", "bash"]).assert_code(0);
    two_profiles(&project, "");
    let unknown = any.run(&["status", "--profile", "wrok"]).assert_code(2);
    assert!(unknown.err.contains("it has home, work"), "{}", unknown.err);
    std::fs::remove_file(project.config()).unwrap();
    let none = any.run(&["status", "--profile", "work"]).assert_code(2);
    assert!(none.err.contains(path(&project.config())), "{}", none.err);
    assert!(any.run(&["profiles"]).assert_code(0).out.contains("[profiles.NAME]"));
    let folder = any.run(&["status", "--config", path(project.directory.path())]).assert_code(1);
    assert!(folder.err.contains("file of profiles"), "{}", folder.err);
}
