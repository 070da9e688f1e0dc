use super::case::Case;
use super::cases;
use super::client::Client;
use super::environment::Environment;
use super::error::ContractError;
use super::report::{Line, Outcome, Report};
use super::target::Target;

/// Runs every case against `target`, one after the other, and deletes the rows that it created.
///
/// # Errors
/// [`ContractError`] when the project stops answering or refuses a preparation. A case that fails
/// is not an error but a line of the report.
pub fn run(target: &Target) -> Result<Report, ContractError> {
    let client = Client::new(&target.url, &target.publishable_key);
    let lines = cases::all().iter().map(|case| line(case, &client, target)).collect::<Result<_, _>>()?;
    Ok(Report::new(target.server, lines))
}

fn line(case: &Case, client: &Client, target: &Target) -> Result<Line, ContractError> {
    if case.needs_expired_token && target.expired_token.is_none() {
        return Ok(not_run(case));
    }
    let env = Environment::create(client, target)?;
    let seen = case.run(&env)?;
    env.mine.delete(client)?;
    env.theirs.delete(client)?;
    let known = case.difference(target.server);
    let (outcome, note) = match known {
        // A difference that is gone is an error, so that the list of differences stays true.
        Some(known) if known.is(&seen) => (Outcome::KnownDifference, known.why.to_owned()),
        None if case.holds(&seen) => (Outcome::AsDocumented, String::new()),
        Some(_) if case.holds(&seen) => (Outcome::Broken, "the known difference is gone".to_owned()),
        _ => (Outcome::Broken, seen.effect.clone().unwrap_or_default()),
    };
    Ok(Line {
        status: seen.status,
        code: seen.code,
        understood: seen.meaning.name(),
        detail: scrub(&seen.detail),
        outcome,
        note,
        ..not_run(case)
    })
}

fn not_run(case: &Case) -> Line {
    Line {
        group: case.group,
        name: case.name.clone(),
        expected: expected(case),
        status: 0,
        code: String::new(),
        understood: String::new(),
        detail: String::new(),
        outcome: Outcome::NotRun,
        note: "needs an expired access token".to_owned(),
    }
}

fn expected(case: &Case) -> String {
    let name = case.meaning.name();
    if case.codes.is_empty() { name } else { format!("{name} {}", case.codes.join(" or ")) }
}

/// Removes what differs from run to run: ids, and the values of a failing row, which include
/// timestamps.
fn scrub(text: &str) -> String {
    const ROW: &str = "Failing row contains (";
    if let Some((before, _)) = text.split_once(ROW) {
        return format!("{}{ROW}...)", scrub(before));
    }
    let words = text.split_inclusive(|c: char| !(c.is_ascii_hexdigit() || c == '-'));
    words.fold(String::new(), |mut out, word| {
        let id = word.trim_end_matches(|c: char| !(c.is_ascii_hexdigit() || c == '-'));
        if id.len() == 36 && id.matches('-').count() == 4 {
            out.push_str("<uuid>");
            out.push_str(&word[id.len()..]);
        } else {
            out.push_str(word);
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::scrub;

    #[test]
    fn ids_and_failing_rows_are_removed() {
        let text = "Key (id, n)=(4be0643f-1d98-473b-97cd-ca98a65347dd, 5) is not present: bad-face-";
        assert_eq!(scrub(text), "Key (id, n)=(<uuid>, 5) is not present: bad-face-");
        let row = "violates check: Failing row contains (4be0643f, 2, 2026-11-22T18:05:10+00:00).";
        assert_eq!(scrub(row), "violates check: Failing row contains (...)");
    }
}
