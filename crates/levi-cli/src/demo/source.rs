//! The demo's input: the built-in transcript, a file or stdin, repeated if needed, and never held
//! in memory as a whole.

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::path::PathBuf;

use tempfile::NamedTempFile;

use crate::error::CliError;
use crate::input::{Input, open_file};
use crate::ndjson::{InputMessage, LineError, Lines};
use crate::sequence_set::SequenceSet;

const TRANSCRIPTS: [&str; 2] = [
    include_str!("../../transcripts/retry-after.ndjson"),
    include_str!("../../transcripts/right-to-left.ndjson"),
];

pub(crate) struct Source {
    origin: Origin,
    /// Lines that are not blank.
    lines: u64,
}

enum Origin {
    BuiltIn(String),
    File(PathBuf),
    /// A copy of stdin, because the demo reads its input more than once.
    StdinCopy(NamedTempFile),
}

/// One message of the demo.
pub(crate) struct DemoMessage {
    /// The line's number in the input, counted from 1.
    pub(crate) line: u64,
    /// 0 for the input itself, then the number of the repetition.
    pub(crate) pass: u32,
    /// The input's name for the session; empty if it has none.
    pub(crate) session: String,
    pub(crate) message_id: String,
    pub(crate) sequence_number: i64,
    pub(crate) content: String,
}

impl Source {
    /// Opens `input`, or the built-in transcript.
    pub(crate) fn open(input: Option<Input>) -> Result<Self, CliError> {
        let origin = match input {
            None => Origin::BuiltIn(interleaved()),
            Some(Input::Stdin) => Origin::StdinCopy(copy_stdin()?),
            Some(Input::File(path)) => Origin::File(path),
        };
        let mut source = Self { origin, lines: 0 };
        let reader = source.reader()?;
        source.lines = Lines::new(reader).count().map_err(|error| source.read_error(error))?;
        Ok(source)
    }

    pub(crate) const fn lines(&self) -> u64 {
        self.lines
    }

    /// At most `lines` lines; after the last line of the input its first one again.
    pub(crate) fn repeated(&self, lines: u64) -> Result<Repeated<'_>, CliError> {
        Ok(Repeated {
            source: self,
            lines: Lines::new(self.reader()?),
            left: if self.lines == 0 { 0 } else { lines },
            pass: 0,
            used: HashMap::new(),
            shifts: HashMap::new(),
        })
    }

    fn reader(&self) -> Result<Box<dyn BufRead + Send + '_>, CliError> {
        match &self.origin {
            Origin::BuiltIn(text) => Ok(Box::new(text.as_bytes())),
            Origin::File(path) => open_file(path),
            Origin::StdinCopy(file) => open_file(file.path()),
        }
    }

    fn read_error(&self, source: io::Error) -> CliError {
        let input = match &self.origin {
            Origin::File(path) => Input::File(path.clone()),
            Origin::BuiltIn(_) | Origin::StdinCopy(_) => Input::Stdin,
        };
        input.read_error(source)
    }
}

/// The source's lines, repeated.
pub(crate) struct Repeated<'a> {
    source: &'a Source,
    lines: Lines<Box<dyn BufRead + Send + 'a>>,
    left: u64,
    pass: u32,
    /// The sequence numbers of this pass, by session.
    used: HashMap<String, SequenceSet>,
    /// What each repetition adds to the sequence numbers, by session: one more than the highest of
    /// the first pass.
    shifts: HashMap<String, i64>,
}

impl Repeated<'_> {
    /// The next message or bad line. A bad line is returned in the first pass only.
    pub(crate) fn next_message(&mut self) -> Result<Option<Result<DemoMessage, BadLine>>, CliError> {
        while self.left > 0 {
            let next = self.lines.next_line().map_err(|error| self.source.read_error(error))?;
            let Some(line) = next else {
                self.start_over()?;
                continue;
            };
            self.left -= 1;
            let number = line.number;
            match line.message.map_err(Problem::from).and_then(|message| self.number(number, message)) {
                Ok(message) => return Ok(Some(Ok(message))),
                Err(problem) if self.pass == 0 => return Ok(Some(Err(BadLine { line: number, problem }))),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    fn start_over(&mut self) -> Result<(), CliError> {
        if self.pass == 0 {
            let shift = |used: &SequenceSet| used.highest().map_or(0, |highest| highest.saturating_add(1));
            self.shifts = self.used.iter().map(|(name, used)| (name.clone(), shift(used))).collect();
        }
        self.pass += 1;
        self.used.clear();
        self.lines = Lines::new(self.source.reader()?);
        Ok(())
    }

    fn number(&mut self, line: u64, message: InputMessage) -> Result<DemoMessage, Problem> {
        let session = message.session_id.unwrap_or_default();
        let used = self.used.entry(session.clone()).or_default();
        let next = || used.highest().map_or(Some(1), |highest| highest.checked_add(1));
        let in_pass = message.sequence_number.or_else(next).ok_or(Problem::NoNumberLeft)?;
        if !used.insert(in_pass) {
            return Err(Problem::Repeated(in_pass));
        }
        let shift = self.shifts.get(&session).copied().unwrap_or(0).checked_mul(i64::from(self.pass));
        let sequence_number =
            shift.and_then(|shift| in_pass.checked_add(shift)).ok_or(Problem::NoNumberLeft)?;
        let message_id = match message.message_id {
            Some(id) if self.pass == 0 => id,
            Some(id) => format!("{id}#{}", self.pass),
            None => format!("demo/{sequence_number}"),
        };
        let (pass, content) = (self.pass, message.content);
        Ok(DemoMessage { line, pass, session, message_id, sequence_number, content })
    }
}

/// A line that the demo skips.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    /// The line's number in the input, counted from 1.
    pub(crate) line: u64,
    pub(crate) problem: Problem,
}

/// Why the demo skips a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error(transparent)]
    Line(#[from] LineError),
    #[error(
        "sequence_number {0} was on an earlier line of the same session; give each message its own number"
    )]
    Repeated(i64),
    #[error("no higher sequence_number is left for it")]
    NoNumberLeft,
}

/// Both transcripts interleaved, as a person with two terminals writes them.
fn interleaved() -> String {
    let [mut one, mut other] = TRANSCRIPTS.map(str::lines);
    let mut text = String::with_capacity(TRANSCRIPTS.iter().map(|file| file.len() + 1).sum());
    loop {
        // Two lines of the longer one for each of the other, so that both end at about the same
        // time.
        let next = [one.next(), one.next(), other.next()];
        if next.iter().all(Option::is_none) {
            return text;
        }
        for line in next.into_iter().flatten() {
            text.push_str(line);
            text.push('\n');
        }
    }
}

fn copy_stdin() -> Result<NamedTempFile, CliError> {
    let fail = |source| CliError::System { what: "copy stdin to a temporary file", source };
    let mut file = NamedTempFile::new().map_err(fail)?;
    io::copy(&mut io::stdin().lock(), file.as_file_mut()).map_err(fail)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn source(text: &str) -> Source {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let lines = Lines::new(text.as_bytes()).count().unwrap();
        Source { origin: Origin::StdinCopy(file), lines }
    }

    #[test]
    fn repetitions_continue_after_the_highest_number_and_never_clash() {
        let text = "{\"content\":\"a\"}\n\nbroken\n{\"content\":\"b\",\"sequence_number\":7}\n{\"content\":\"c\"}\n\
                    {\"content\":\"d\",\"session_id\":\"x\",\"sequence_number\":0,\"message_id\":\"m\"}\n\
                    {\"content\":\"e\",\"sequence_number\":7}";
        let source = source(text);
        assert_eq!(source.lines(), 6);
        let mut repeated = source.repeated(12).unwrap();
        let (mut taken, mut bad) = (Vec::new(), Vec::new());
        while let Some(next) = repeated.next_message().unwrap() {
            match next {
                Ok(m) => taken.push((m.session, m.sequence_number, m.message_id, m.content)),
                Err(error) => bad.push(error),
            }
        }
        let expected = [
            ("", 1, "demo/1", "a"),
            ("", 7, "demo/7", "b"),
            ("", 8, "demo/8", "c"),
            ("x", 0, "m", "d"),
            ("", 10, "demo/10", "a"),
            ("", 16, "demo/16", "b"),
            ("", 17, "demo/17", "c"),
            ("x", 1, "m#1", "d"),
        ];
        let expected = expected.map(|(s, n, m, c)| (s.to_owned(), n, m.to_owned(), c.to_owned()));
        assert_eq!(taken, expected);
        let expected = [(3, LineError::NotJson { column: 1 }.into()), (7, Problem::Repeated(7))];
        assert_eq!(bad, expected.map(|(line, problem)| BadLine { line, problem }));
    }

    #[test]
    fn the_built_in_transcript_is_long_and_holds_what_breaks_encoders() {
        let source = Source::open(None).unwrap();
        assert!(source.lines() >= 300, "{}", source.lines());
        let mut repeated = source.repeated(source.lines()).unwrap();
        let mut contents = Vec::new();
        let mut sessions = std::collections::BTreeSet::new();
        while let Some(next) = repeated.next_message().unwrap() {
            let message = next.unwrap();
            sessions.insert(message.session);
            contents.push(message.content);
        }
        assert_eq!(sessions.len(), 2);
        let all = contents.concat();
        for wanted in ["```rust", "\u{1F680}", "\t", "\\\"", "\r\n", "@@ -", "\0", "日本", "مرحب", "\u{1b}["]
        {
            assert!(all.contains(wanted), "{wanted:?}");
        }
        assert!(contents.iter().any(String::is_empty));
        assert!(contents.iter().any(|content| content.len() > 20_000));
        let mut distinct = contents.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() * 10 >= contents.len() * 9, "{} of {}", distinct.len(), contents.len());
    }
}
