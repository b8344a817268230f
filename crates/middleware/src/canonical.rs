//! The one reading of a path, which policy and application share.
//!
//! A path that two programs read in two ways passes the gateway as one thing and reaches the application as another. So whatever has
//! a second reading is refused, and what goes on is the canonical form: unreserved letters stand for themselves, other escapes are
//! in upper case, and no segment is empty or dots.

use std::borrow::Cow;

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguous {
    /// It does not begin with `/`.
    #[error("the path must begin with a slash")]
    NoSlash,
    /// A backslash, a control character, or a letter beyond ASCII that is not escaped.
    #[error("the path holds a character that must be escaped")]
    Character,
    /// `%` without two hexadecimal digits.
    #[error("the path holds an escape that is none")]
    Escape,
    /// An escaped slash, backslash or control character.
    #[error("the path holds an escape that could be read as a separator")]
    Separator,
    /// `%25` followed by two digits, in any spelling.
    #[error("the path is escaped twice")]
    Twice,
    /// `//`.
    #[error("the path has an empty segment")]
    Empty,
    /// `.` or `..`, escaped or with parameters.
    #[error("the path has a segment of dots")]
    Dots,
    /// Bytes that are no UTF-8.
    #[error("the path is not UTF-8")]
    Text,
    /// `;`, where the route does not take parameters.
    #[error("the path has parameters")]
    Parameters,
    /// To an application that does not tell small letters from capitals it is another one, which has a route of its own.
    #[error("the path differs from another one in the case of its letters alone")]
    Case,
}

/// A path in its canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canonical {
    text: String,
    parameters: bool,
}

impl Canonical {
    /// Reads a path as it came.
    ///
    /// # Errors
    ///
    /// [`Ambiguous`].
    pub fn read(path: &str) -> Result<Self, Ambiguous> {
        let once = Self::read_once(path)?;
        // Letters that stood for themselves in what came can make an escape in what goes on (`%25%32%66` is `%252f`), and whoever reads
        // that must read what we have read.
        if once.text != path && Self::read_once(&once.text)? != once {
            return Err(Ambiguous::Twice);
        }
        Ok(once)
    }

    fn read_once(path: &str) -> Result<Self, Ambiguous> {
        let Some(inside) = path.strip_prefix('/') else { return Err(Ambiguous::NoSlash) };
        let mut text = String::with_capacity(path.len());
        let mut parameters = false;
        let mut segments = inside.split('/').peekable();
        while let Some(segment) = segments.next() {
            if segment.is_empty() && segments.peek().is_some() {
                return Err(Ambiguous::Empty);
            }
            text.push('/');
            let from = text.len();
            canonical(segment, &mut text)?;
            let written = text.get(from..).unwrap_or_default();
            let bare = written.split(';').next().unwrap_or_default();
            if bare == "." || bare == ".." || (bare.is_empty() && !written.is_empty()) {
                return Err(Ambiguous::Dots);
            }
            parameters |= written.contains(';');
            decoded(written).ok_or(Ambiguous::Text)?;
        }
        Ok(Self { text, parameters })
    }

    /// As it goes on.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a segment has parameters (`;`).
    pub fn has_parameters(&self) -> bool {
        self.parameters
    }

    /// Its segments, decoded and without parameters; a slash at the end makes no further one.
    pub fn segments(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let inside = self.text.strip_prefix('/').unwrap_or_default();
        let inside = inside.strip_suffix('/').unwrap_or(inside);
        let some = !inside.is_empty();
        inside.split('/').filter(move |_| some).map(|segment| {
            let bare = segment.split(';').next().unwrap_or_default();
            // INVARIANT: `read` has decoded it before.
            decoded(bare).unwrap_or_default()
        })
    }
}

fn canonical(segment: &str, text: &mut String) -> Result<(), Ambiguous> {
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let (Some(high), Some(low)) = (bytes.next().and_then(hex), bytes.next().and_then(hex)) else {
                    return Err(Ambiguous::Escape);
                };
                let byte = high * 16 + low;
                match byte {
                    b'/' | b'\\' | ..0x20 | 0x7f => return Err(Ambiguous::Separator),
                    b'%' if bytes.clone().take(2).filter_map(hex).count() == 2 => return Err(Ambiguous::Twice),
                    _ if is_unreserved(byte) => text.push(char::from(byte)),
                    _ => escape(byte, text),
                }
            }
            b'\\' | ..0x21 | 0x7f.. => return Err(Ambiguous::Character),
            _ if is_unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte) => text.push(char::from(byte)),
            // What browsers leave as it is and the standard does not.
            _ => escape(byte, text),
        }
    }
    Ok(())
}

fn escape(byte: u8, text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |value: u8| DIGITS.get(usize::from(value & 15)).map_or('0', |digit| char::from(*digit));
    text.push('%');
    text.push(digit(byte >> 4));
    text.push(digit(byte));
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// A canonical segment without its escapes; `None` if that is no text.
fn decoded(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let mut out = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            out.push(bytes.next().and_then(hex)? * 16 + bytes.next().and_then(hex)?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Result<String, Ambiguous> {
        Canonical::read(path).map(|path| path.text)
    }

    #[test]
    fn what_has_one_reading_passes_in_its_canonical_form() {
        for (path, canonical) in [
            ("/", "/"),
            ("/api/patients/7/", "/api/patients/7/"),
            ("/%61dmin", "/admin"),
            ("/a%2db%7E", "/a-b~"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a%20b", "/a%20b"),
            ("/100%25", "/100%25"),
            ("/100%25z", "/100%25z"),
            ("/a:b@c,d", "/a:b@c,d"),
            ("/a[1]|{x}", "/a%5B1%5D%7C%7Bx%7D"),
            ("/v1.2/file.txt", "/v1.2/file.txt"),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
        ] {
            assert_eq!(read(path).as_deref(), Ok(canonical), "{path}");
            assert_eq!(read(canonical).as_deref(), Ok(canonical), "reading again changes nothing");
        }
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        use Ambiguous::*;
        for (path, why) in [
            ("", NoSlash),
            ("*", NoSlash),
            ("http://a/b", NoSlash),
            ("//admin", Empty),
            ("/a//b", Empty),
            ("/a/..", Dots),
            ("/a/../b", Dots),
            ("/./a", Dots),
            ("/a/%2e%2e/b", Dots),
            ("/a/.%2E/b", Dots),
            ("/a/..;/b", Dots),
            ("/a/..;x=1/b", Dots),
            ("/a/;/b", Dots),
            ("/a%2fb", Separator),
            ("/a%2Fb", Separator),
            ("/a%5cb", Separator),
            ("/a%00", Separator),
            ("/a%0d%0ab", Separator),
            ("/a%7f", Separator),
            ("/a%252fb", Twice),
            ("/a%252e%252e/b", Twice),
            // The digits are escaped as well.
            ("/a%25%32%66b", Twice),
            ("/a%252%66b", Twice),
            ("/a%25%32fb", Twice),
            ("/a/%25%32%65%25%32%65/b", Twice),
            ("/a\\b", Character),
            ("/a\u{e9}", Character),
            ("/a b", Character),
            ("/a%", Escape),
            ("/a%2", Escape),
            ("/a%zz", Escape),
            ("/a%u002e", Escape),
            ("/a%c0%ae", Text),
            ("/a%ff", Text),
        ] {
            assert_eq!(read(path), Err(why), "{path}");
        }
    }

    proptest::proptest! {
        /// Whatever goes on is read by the next one as it was read here, and has nothing more to decode.
        #[test]
        fn what_goes_on_has_no_second_reading(path in "/([a-z2f.;/%\\\\]|%2[0-9ef]|%[36][0-9a-f]|%25|%[a-zA-Z0-9]{2}){0,24}") {
            if let Ok(read) = Canonical::read(&path) {
                proptest::prop_assert_eq!(Canonical::read(read.as_str()), Ok(read.clone()));
                for segment in read.segments() {
                    let bytes = segment.as_bytes();
                    let escaped = bytes.windows(3).any(|three| three[0] == b'%' && three[1].is_ascii_hexdigit() && three[2].is_ascii_hexdigit());
                    proptest::prop_assert!(!escaped, "{} is {}", path, segment);
                    proptest::prop_assert!(!segment.contains(['/', '\\', '\0']) && segment != "..", "{} is {}", path, segment);
                }
            }
        }
    }

    #[test]
    fn segments_are_what_an_application_sees() {
        let segments = |path| Canonical::read(path).unwrap().segments().map(Cow::into_owned).collect::<Vec<_>>();
        assert_eq!(segments("/"), Vec::<String>::new());
        assert_eq!(segments("/a/b%3Ac/"), ["a", "b:c"]);
        assert_eq!(segments("/admin;x=1/y"), ["admin", "y"]);
        assert!(Canonical::read("/admin;x=1").unwrap().has_parameters());
    }
}
