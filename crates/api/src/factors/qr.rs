//! A provisioning URI as a picture.

use std::fmt::Write as _;

use chancery_crypto::Secret;
use qrcodegen::{QrCode, QrCodeEcc};

/// The quiet zone around the picture, in modules (ISO/IEC 18004 §5.3.8).
const QUIET: i32 = 4;

/// An SVG of one path, to be put into a page as it is. `None` if the URI is longer than a QR code.
pub(super) fn svg(uri: &Secret<String>) -> Option<Secret<String>> {
    let code = QrCode::encode_text(uri.expose(), QrCodeEcc::Medium).ok()?;
    let side = code.size() + 2 * QUIET;
    let mut text = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h{side}v{side}H0z"/><path fill="#000" d=""##
    );
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
            let _ = write!(text, "M{} {}h1v1h-1z", x + QUIET, y + QUIET);
        }
    }
    text.push_str(r#""/></svg>"#);
    Some(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_the_three_finders_and_nothing_of_the_text() {
        let svg = svg(&Secret::new("otpauth://totp/x:y?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ".to_owned())).unwrap();
        let text = svg.expose();
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>"));
        assert!(!text.contains("GEZD"));
        let side: i32 = text.split_once("viewBox=\"0 0 ").unwrap().1.split_once(' ').unwrap().0.parse().unwrap();
        // The outer corners of the finder patterns are dark; the quiet zone and the fourth corner's is not a finder.
        let last = side - QUIET - 1;
        for (x, y) in [(QUIET, QUIET), (last, QUIET), (QUIET, last)] {
            assert!(text.contains(&format!("M{x} {y}h1v1h-1z")), "{x} {y}");
        }
        assert!(!text.contains("M3 3h"));
    }

    #[test]
    fn what_no_picture_holds_gives_none() {
        assert!(svg(&Secret::new("x".repeat(3_000))).is_none());
    }
}
