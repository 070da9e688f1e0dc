//! A code as a picture that a camera reads.

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

/// Black on white, whatever the terminal's colours are, because not every camera reads the reverse.
const BLACK_ON_WHITE: &str = "\x1b[30;107m";
const RESET: &str = "\x1b[0m";

/// Two rows of the picture in each line, for a terminal. `None` if `text` is too long for a picture.
pub(super) fn picture(text: &str) -> Option<String> {
    let code = QrCode::new(text).ok()?;
    let picture = code.render::<Dense1x2>().build();
    Some(picture.lines().map(|line| format!("{BLACK_ON_WHITE}{line}{RESET}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pairing_code_fits_on_a_terminal_with_white_around_it() {
        let picture = picture("7ZK4-9QWD-1M2N-XT5B-C8RV").unwrap();
        let lines = picture.lines().map(|line| line.strip_prefix(BLACK_ON_WHITE).unwrap());
        let lines: Vec<&str> = lines.map(|line| line.strip_suffix(RESET).unwrap()).collect();
        // Version 2 has 25 modules and 4 of margin on each side; a module is half a line high.
        assert!(lines.iter().all(|line| line.chars().count() == 33), "{picture}");
        assert_eq!(lines.len(), 17, "{picture}");
        assert!([lines[0], lines[1], lines[16]].iter().all(|line| line.trim().is_empty()), "{picture}");
        assert!(lines[2].trim().starts_with("█▀▀▀▀▀█"), "{picture}");
    }
}
