//! Nothing in the repository may work on one machine only: no paths of a checkout, no registry but
//! the default.

use super::{Finding, TextFile};

/// The index that a `Cargo.lock` names when nobody changed it.
const CRATES_IO: &str = r#"source = "registry+https://github.com/rust-lang/crates.io-index""#;

/// Looks for paths of a machine, `checkout` among them, and for registries.
pub(super) fn check(file: &TextFile, checkout: &str) -> Vec<Finding> {
    // Put together here so that this file does not find itself.
    let paths = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), checkout];
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        if let Some(path) = paths.iter().find(|path| line.contains(**path)) {
            findings.push(Finding::at(
                file.location(),
                index + 1,
                format!("names a path of one machine: {path}"),
            ));
        }
        if names_registry(file, line.trim()) {
            findings.push(Finding::at(
                file.location(),
                index + 1,
                "names a registry; leave that to the machine",
            ));
        }
    }
    findings
}

fn names_registry(file: &TextFile, line: &str) -> bool {
    if file.named("Cargo.lock") {
        return line.starts_with("source =") && line != CRATES_IO;
    }
    if file.named("package-lock.json") || file.named("npm-shrinkwrap.json") {
        return line.starts_with("\"resolved\"") && line.contains("://");
    }
    if file.named(".npmrc") {
        return line.contains("registry=") || line.contains("registry =");
    }
    if file.path.ends_with(".cargo/config.toml") {
        return line.starts_with("[source") || line.starts_with("[registr");
    }
    let option = |name: &str| line.split_whitespace().any(|word| word.split('=').next() == Some(name));
    file.has_extension("txt") && (option("--index-url") || option("--extra-index-url") || option("-i"))
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::check;

    #[test]
    fn paths_of_one_machine_are_found() {
        let checkout = "/srv/build/levi";
        for bad in [concat!("see /wo", "rk/main/x"), concat!("/ro", "ot/.cache"), "in /srv/build/levi/docs"] {
            assert_eq!(check(&file("a.md", bad), checkout).len(), 1, "{bad}");
        }
        assert!(check(&file("a.md", "target/debug and /tmp/x, homework/"), checkout).is_empty());
    }

    #[test]
    fn registries_are_found_in_the_files_that_can_name_them() {
        let bad = [
            ("Cargo.lock", "source = \"registry+https://mirror.example/index\""),
            ("js/package-lock.json", "      \"resolved\": \"https://mirror.example/a.tgz\","),
            (".npmrc", "registry=https://mirror.example"),
            (".cargo/config.toml", "[source.crates-io]"),
            ("py/requirements.txt", "--index-url=https://mirror.example/simple"),
        ];
        for (path, line) in bad {
            assert_eq!(check(&file(path, line), "/nowhere").len(), 1, "{path}");
        }
    }

    #[test]
    fn ordinary_lock_files_pass() {
        let good = [
            ("Cargo.lock", "source = \"registry+https://github.com/rust-lang/crates.io-index\""),
            ("package-lock.json", "      \"resolved\": \"packages/reader\","),
            ("requirements.txt", "pynacl==1.6.0"),
        ];
        for (path, line) in good {
            assert!(check(&file(path, line), "/nowhere").is_empty(), "{path}");
        }
    }
}
