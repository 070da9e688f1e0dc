use levi_cli::ndjson::Lines;

/// The input of `levi sync`. Every line that is not blank is a message or an error, and an error
/// quotes nothing of the line.
pub(crate) fn ndjson(input: &[u8]) {
    let counted = Lines::new(input).count();
    let mut lines = Lines::new(input);
    let mut read = 0;
    let mut last = 0;
    while let Ok(Some(line)) = lines.next_line() {
        assert!(line.number > last, "line {} after line {last}", line.number);
        last = line.number;
        read += 1;
        match line.message {
            Ok(message) => {
                assert!(message.sequence_number.is_none_or(|number| number >= 0));
                assert!(message.session_id.is_none_or(|id| !id.is_empty()));
                assert!(message.message_id.is_none_or(|id| !id.is_empty()));
            }
            Err(error) => assert!(error.to_string().len() < 150, "a line is quoted: {error}"),
        }
    }
    assert!(matches!(counted, Ok(counted) if counted == read), "{counted:?} lines, {read} read");
    let newlines = input.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert!(last <= newlines + 1, "line {last} of {newlines}");
}
