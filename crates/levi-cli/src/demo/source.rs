//! What the demo syncs: the transcript that is shipped, a file, or stdin; repeated if need be, and never whole in memory.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::CliError;
use crate::ndjson::{InputMessage, LineError, Lines};
use crate::places::Places;

const SHIPPED: [&str; 2] = [
    include_str!("../../transcripts/retry-after.ndjson"),
    include_str!("../../transcripts/right-to-left.ndjson"),
];

/// Where the messages come from.
pub(crate) struct Source {
    origin: Origin,
    /// Lines that are not blank.
    lines: u64,
}

enum Origin {
    Shipped(String),
    File(PathBuf),
    /// stdin, written down so that it can be read more than once.
    Spooled(NamedTempFile),
}

/// One message of the demo.
pub(crate) struct DemoMessage {
    /// Where it stands in the input.
    pub(crate) line: u64,
    /// Whether it is the input's own, and not a repetition.
    pub(crate) first_pass: bool,
    /// The input's own name for the session.
    pub(crate) session: String,
    pub(crate) message_id: String,
    pub(crate) sequence_number: i64,
    pub(crate) content: String,
}

impl Source {
    /// Opens `input`: a path, `-` for stdin, or nothing for the transcript that is shipped.
    pub(crate) fn open(input: Option<&Path>) -> Result<Self, CliError> {
        let origin = match input {
            None => Origin::Shipped(interleaved()),
            Some(path) if path == Path::new("-") => Origin::Spooled(spool()?),
            Some(path) => Origin::File(path.to_owned()),
        };
        let mut source = Self { origin, lines: 0 };
        let reader = source.reader()?;
        source.lines = Lines::new(reader).count().map_err(|error| source.unreadable(error))?;
        Ok(source)
    }

    pub(crate) const fn lines(&self) -> u64 {
        self.lines
    }

    /// At most `lines` lines, from the beginning again and again.
    pub(crate) fn repeated(&self, lines: u64) -> Result<Repeated<'_>, CliError> {
        Ok(Repeated {
            source: self,
            lines: Lines::new(self.reader()?),
            left: if self.lines == 0 { 0 } else { lines },
            pass: 0,
            places: HashMap::new(),
            spans: HashMap::new(),
        })
    }

    fn reader(&self) -> Result<Box<dyn BufRead + Send + '_>, CliError> {
        match &self.origin {
            Origin::Shipped(text) => Ok(Box::new(text.as_bytes())),
            Origin::File(path) => Ok(Box::new(open(path)?)),
            Origin::Spooled(file) => Ok(Box::new(open(file.path())?)),
        }
    }

    fn unreadable(&self, source: io::Error) -> CliError {
        let path = match &self.origin {
            Origin::File(path) => path.clone(),
            Origin::Shipped(_) | Origin::Spooled(_) => PathBuf::from("-"),
        };
        CliError::Input { path, source }
    }
}

/// The source's lines, again and again.
pub(crate) struct Repeated<'a> {
    source: &'a Source,
    lines: Lines<Box<dyn BufRead + Send + 'a>>,
    left: u64,
    pass: u32,
    /// Places taken in this pass, by session.
    places: HashMap<String, Places>,
    /// How far a repetition is shifted, by session: past the highest number of the first pass.
    spans: HashMap<String, i64>,
}

impl Repeated<'_> {
    /// The next message, or what is wrong with its line. A line's fault is told in the first pass only.
    pub(crate) fn next_message(&mut self) -> Result<Option<Taken>, CliError> {
        while self.left > 0 {
            let next = self.lines.next_line().map_err(|error| self.source.unreadable(error))?;
            let Some(line) = next else {
                self.start_over()?;
                continue;
            };
            self.left -= 1;
            let number = line.number;
            let message = line.message.map_err(BadLine::from).and_then(|line| self.place(number, line));
            match message {
                Ok(message) => return Ok(Some(Ok(message))),
                Err(error) if self.pass == 0 => return Ok(Some(Err((number, error)))),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    fn start_over(&mut self) -> Result<(), CliError> {
        if self.pass == 0 {
            let span = |places: &Places| places.highest().map_or(0, |highest| highest.saturating_add(1));
            self.spans = self.places.iter().map(|(name, places)| (name.clone(), span(places))).collect();
        }
        self.pass += 1;
        self.places.clear();
        self.lines = Lines::new(self.source.reader()?);
        Ok(())
    }

    fn place(&mut self, number: u64, line: InputMessage) -> Result<DemoMessage, BadLine> {
        let session = line.session_id.unwrap_or_default();
        let places = self.places.entry(session.clone()).or_default();
        let next = || places.highest().map_or(Some(1), |highest| highest.checked_add(1));
        let in_pass = line.sequence_number.or_else(next).ok_or(BadLine::NoRoom)?;
        if !places.take(in_pass) {
            return Err(BadLine::Repeated(in_pass));
        }
        let span = self.spans.get(&session).copied().unwrap_or(0);
        let shift = span.checked_mul(i64::from(self.pass)).ok_or(BadLine::NoRoom)?;
        let sequence_number = in_pass.checked_add(shift).ok_or(BadLine::NoRoom)?;
        let message_id = match line.message_id {
            Some(id) if self.pass == 0 => id,
            Some(id) => format!("{id}#{}", self.pass),
            None => format!("demo/{sequence_number}"),
        };
        let first_pass = self.pass == 0;
        Ok(DemoMessage {
            line: number,
            first_pass,
            session,
            message_id,
            sequence_number,
            content: line.content,
        })
    }
}

/// A message, or the number of a bad line and what is wrong with it.
pub(crate) type Taken = Result<DemoMessage, (u64, BadLine)>;

/// Why a line is left out of the demo.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadLine {
    #[error(transparent)]
    Line(#[from] LineError),
    #[error("sequence_number {0} was on an earlier line of the same session; number messages uniquely")]
    Repeated(i64),
    #[error("there is no higher sequence_number to give it")]
    NoRoom,
}

/// The two sessions side by side, as a person with two terminals makes them.
fn interleaved() -> String {
    let [mut one, mut other] = SHIPPED.map(str::lines);
    let mut text = String::with_capacity(SHIPPED.iter().map(|file| file.len() + 1).sum());
    loop {
        // Two of the longer one to one of the other, so that neither waits for the other to end.
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

fn open(path: &Path) -> Result<BufReader<File>, CliError> {
    let fail = |source| CliError::Input { path: path.to_owned(), source };
    let file = File::open(path).map_err(fail)?;
    if file.metadata().map_err(fail)?.is_dir() {
        return Err(fail(io::ErrorKind::IsADirectory.into()));
    }
    Ok(BufReader::with_capacity(1 << 16, file))
}

fn spool() -> Result<NamedTempFile, CliError> {
    let fail = |source| CliError::System { what: "keep a copy of stdin", source };
    let mut file = NamedTempFile::new().map_err(fail)?;
    io::copy(&mut io::stdin().lock(), file.as_file_mut()).map_err(fail)?;
    file.as_file_mut().rewind().map_err(fail)?;
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
        Source { origin: Origin::Spooled(file), lines }
    }

    #[test]
    fn repetitions_go_on_where_the_numbers_end_and_never_clash() {
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
        assert_eq!(bad, [(3, LineError::NotJson { column: 1 }.into()), (7, BadLine::Repeated(7))]);
    }

    #[test]
    fn what_is_shipped_is_a_few_hundred_messages_with_what_makes_encoders_stumble() {
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
