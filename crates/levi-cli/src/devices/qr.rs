//! A code as a picture that a camera reads.

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

/// Two rows of the picture in each line, dark on the terminal's background inverted: most
/// terminals are dark, and cameras want dark on light. `None` if `text` is too long for a picture.
pub(super) fn picture(text: &str) -> Option<String> {
    let code = QrCode::new(text).ok()?;
    Some(code.render::<Dense1x2>().dark_color(Dense1x2::Dark).light_color(Dense1x2::Light).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module is one column wide and half a line high, and the picture has its quiet zone.
    #[test]
    fn a_pairing_code_fits_on_a_terminal() {
        let picture = picture("7ZK4-9QWD-1M2N-XT5B-C8RV").unwrap();
        let lines: Vec<&str> = picture.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() == 33), "{picture}");
        assert_eq!(lines.len(), 17, "{picture}");
        assert!(!lines[0].contains(' '), "light around it:\n{picture}");
    }
}
