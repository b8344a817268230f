//! Whether a file's name is a name and nothing else (IV-08).

/// The longest name, in bytes: what file systems take.
const MAX_BYTES: usize = 255;
/// How often percent-encoding is taken off: some applications do it once more than they should.
const ROUNDS: usize = 3;
/// Names that Windows takes for devices, whatever their ending.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];
/// Letters that look like, or are folded into, what parts a path: division and fraction slash, set minus, the full-width and the small
/// ones; signs of yen and won, which are the backslash in code pages of Windows.
const LOOKALIKES: [char; 11] = [
    '\u{a5}', '\u{2044}', '\u{20a9}', '\u{2215}', '\u{2216}', '\u{29f5}', '\u{29f8}', '\u{29f9}', '\u{fe68}',
    '\u{ff0f}', '\u{ff3c}',
];

/// Why a name is refused. The name itself is nobody's to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsafe {
    /// It says where a file lies, or would lie.
    #[error("the name of a file must be no path")]
    Path,
    /// It has control characters, or is not UTF-8.
    #[error("the name of a file must be text")]
    Text,
    /// It is too long.
    #[error("the name of a file must have at most 255 bytes")]
    Long,
    /// It is a device's, or a stream's of another file.
    #[error("the name of a file must not mean something else to a file system")]
    Special,
}

/// Whether any application can keep a file under this name, without asking, in the folder that it means to.
///
/// None at all is fine: no file was chosen.
///
/// # Errors
///
/// [`Unsafe`].
pub fn check(name: &[u8]) -> Result<(), Unsafe> {
    if name.len() > MAX_BYTES {
        return Err(Unsafe::Long);
    }
    let mut name = name.to_vec();
    for _ in 0..ROUNDS {
        check_once(std::str::from_utf8(&name).map_err(|_| Unsafe::Text)?)?;
        let decoded = percent_decoded(&name);
        if decoded == name {
            return Ok(());
        }
        name = decoded;
    }
    // Encoded over and over: nobody means well by that.
    Err(Unsafe::Path)
}

fn check_once(name: &str) -> Result<(), Unsafe> {
    if name.chars().any(|letter| matches!(letter, '/' | '\\') || LOOKALIKES.contains(&letter)) {
        return Err(Unsafe::Path);
    }
    if name.chars().any(char::is_control) {
        return Err(Unsafe::Text);
    }
    // Windows drops dots and spaces at the end, so that `.. .` is `..`.
    let bare = name.trim().trim_end_matches(['.', ' ']);
    if bare.is_empty() && !name.is_empty() {
        return Err(Unsafe::Path);
    }
    let stem = bare.split('.').next().unwrap_or(bare).trim_end().to_ascii_lowercase();
    let port = |kind: &str| {
        stem.strip_prefix(kind).is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    // A colon parts a drive or a stream from the rest.
    if name.contains(':') || DEVICES.contains(&stem.as_str()) || port("com") || port("lpt") {
        return Err(Unsafe::Special);
    }
    Ok(())
}

/// Takes percent-encoding off once; what is none stays.
pub(crate) fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.extend(u8::try_from(high * 16 + low));
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_people_give_are_taken() {
        for name in [
            "",
            "a",
            "letter.pdf",
            "Dopis č. 1.pdf",
            "日本語.txt",
            ".bashrc",
            "a..b",
            "100 % sure.pdf",
            "a%zz",
            "50%25.pdf",
            "console.log",
            "com10.txt",
            "report….pdf",
            "~draft",
            "x.tar.gz",
            "-rf",
            "a;b",
            "a\"b",
        ] {
            assert_eq!(check(name.as_bytes()), Ok(()), "{name}");
        }
        assert_eq!(check("x".repeat(255).as_bytes()), Ok(()));
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for path in [
            "../../etc/passwd",
            "..\\..\\x",
            "/etc/passwd",
            "a/b",
            "C:\\x",
            "..",
            ".",
            "...",
            ".. .",
            " .. ",
            "..%2fx",
            "%2e%2e%2fx",
            "%252e%252e%252fx",
            "%25252fx",
            "..%5cx",
            "%2e%2e",
            "．．／x",
            "..\u{2215}x",
            "a\u{ff3c}b",
            "..\u{2216}x",
            "..\u{a5}x",
            "..\u{20a9}x",
            "..%c0%afx/",
            "%u002e/",
        ] {
            assert_eq!(check(path.as_bytes()), Err(Unsafe::Path), "{path}");
        }
        for text in
            [&b"a\0.png"[..], b"a%00.png", b"a\r\nb", b"\xff.txt", b"..%c0%af..", b"a\x7f", "a\u{85}b".as_bytes()]
        {
            assert_eq!(check(text), Err(Unsafe::Text), "{text:?}");
        }
        for special in ["C:", "C:x", "a.txt:stream", "NUL", "con.txt", "Com1.log", "lpt9", "aux .txt", "a%3ab"] {
            assert_eq!(check(special.as_bytes()), Err(Unsafe::Special), "{special}");
        }
        assert_eq!(check("x".repeat(256).as_bytes()), Err(Unsafe::Long));
    }

    #[test]
    fn encoding_is_taken_off_once() {
        assert_eq!(percent_decoded(b"%2e%2E%25%zz%4"), b"..%%zz%4");
        assert_eq!(percent_decoded(b"%"), b"%");
    }
}
