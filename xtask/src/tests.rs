//! `cargo xtask test`: one command for all tests.

use crate::failure::Failure;
use crate::metadata::{self, Package};
use crate::step::Step;

/// Features whose dependencies are large and whose tests run in a step of their own in `ci`.
pub(crate) const HEAVY_FEATURES: &[&str] = &["keyring"];

/// Runs `cargo test` over the workspace, with every feature but the heavy ones.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let mut step = step(&metadata::members()?);
    step.args.extend(args.iter().cloned());
    step.run()
}

/// The same as a step.
pub(crate) fn step(members: &[Package]) -> Step {
    let features = light_features(members);
    let mut args = vec!["test", "--workspace"];
    if !features.is_empty() {
        args.extend(["--features", &features]);
    }
    Step::new("test", &args)
}

/// `crate/feature,crate/feature,..` for all that are not heavy.
pub(crate) fn light_features(members: &[Package]) -> String {
    let mut features = Vec::new();
    for member in members {
        let light = member.named_features().filter(|feature| !HEAVY_FEATURES.contains(feature));
        features.extend(light.map(|feature| format!("{}/{feature}", member.name)));
    }
    features.join(",")
}
