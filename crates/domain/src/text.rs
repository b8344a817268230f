//! What texts are accepted where a person types them.

use crate::faults::Faults;

/// Notes a fault unless `value` has 1 to `most` characters beside blanks, none of them a control character.
pub(crate) fn check_name(pointer: &str, value: &str, most: usize, faults: &mut Faults) {
    let length = value.trim().chars().count();
    if length == 0 || length > most || value.chars().any(char::is_control) {
        faults.add(pointer, "length", format!("use 1 to {most} characters, no control characters"));
    }
}

/// Notes a fault for a name of a key: as [`check_name`], and nothing in it that is not seen, so that no two names look the
/// same; nothing that looks like an id or like one of Chancery's own keys.
pub(crate) fn check_key_name(pointer: &str, value: &str, faults: &mut Faults) {
    check_name(pointer, value, 255, faults);
    if value.chars().any(is_invisible) {
        faults.add(pointer, "invisible", "use characters that can be seen");
    }
    let name = value.trim();
    let starts = |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if RESERVED.iter().any(|prefix| starts(prefix)) {
        faults.add(pointer, "reserved", "managed/ and key_ begin the names and ids that Chancery gives");
    }
}

/// How ids of keys begin, and names of the keys that Chancery makes for itself.
const RESERVED: [&str; 2] = ["managed/", "key_"];

/// A key's name as it is kept: without blanks around it, and each letter in its one composed form.
pub(crate) fn key_name(value: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    value.trim().nfc().collect()
}

/// Whether a character is drawn as nothing: those that Unicode lets a renderer ignore (Default_Ignorable_Code_Point), marks
/// of direction, and separators of lines.
pub(crate) const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Whether a text can be an e-mail address: one `@` between a local part and a domain with a dot or `localhost`.
pub fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let plain = |part: &str| !part.is_empty() && !part.chars().any(|c| c.is_whitespace() || c.is_control());
    let named = domain.contains('.') || domain == "localhost";
    text.len() <= 254 && plain(local) && plain(domain) && !local.contains('@') && named
}

/// Whether a text can be a phone number: 5 to 15 digits (E.164), an extension perhaps, and what people put between digits.
pub fn is_phone(text: &str) -> bool {
    let (number, extension) = match text.split_once('x') {
        Some((number, extension)) => (number, extension.trim()),
        None => (text, "0"),
    };
    let number = number.trim();
    let number = number.strip_prefix('+').unwrap_or(number);
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    (5..=15).contains(&digits)
        && number.bytes().all(|byte| byte.is_ascii_digit() || b" ()-./".contains(&byte))
        && (1..=8).contains(&extension.len())
        && extension.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a text can be the address of a page: http or https, a host, and no blanks or control characters.
pub fn is_url(text: &str) -> bool {
    let rest = ["https://", "http://"].into_iter().find_map(|scheme| {
        let (start, rest) = text.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let Some(rest) = rest else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // A name and a password in an address are a trap for whoever reads it.
    let host = authority.rsplit_once(':').map_or(authority, |(host, port)| {
        if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) { host } else { authority }
    });
    let plain = |c: char| c.is_alphanumeric() || "-._[]:".contains(c);
    text.len() <= 2_048
        && !host.is_empty()
        && host.chars().all(plain)
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// Whether a text is a calendar date, `YYYY-MM-DD`.
pub fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_other_text() {
        assert!(is_email("a.b+c@example.org"));
        assert!(is_email("zoë@exämple.org"));
        for bad in ["", "a", "a@", "@b.c", "a b@c.d", "a@b@c.d", "a@b"] {
            assert!(!is_email(bad), "{bad}");
        }
    }

    #[test]
    fn names_of_keys_are_seen_whole_and_look_like_no_id() {
        let codes = |value: &str| {
            let mut faults = Faults::default();
            check_key_name("/name", value, &mut faults);
            faults.0.into_iter().map(|fault| fault.code).collect::<Vec<_>>()
        };
        for good in ["clé d’Ève", "ключ 1", "鍵", "my key_1", "unmanaged/x", "key"] {
            assert_eq!(codes(good), [""; 0], "{good}");
        }
        for hidden in ["pay\u{200B}roll", "\u{202E}llorya p", "\u{FEFF}x", "a\u{AD}b", "x\u{E0041}", "a\u{2028}b"] {
            assert_eq!(codes(hidden), ["invisible"], "{hidden:?}");
        }
        for reserved in ["managed/data", "key_01J", "KEY_x", " Managed/x "] {
            assert_eq!(codes(reserved), ["reserved"], "{reserved}");
        }
        assert_eq!(codes("a\tb"), ["length"]);
        assert_eq!(key_name(" cle\u{301} "), "cl\u{e9}");
    }

    #[test]
    fn phone_numbers_are_told_from_other_text() {
        for good in ["+49 30 1234567", "(030) 123-45.67", "0301234567x12", "+1 555 0100", "12345"] {
            assert!(is_phone(good), "{good}");
        }
        for bad in
            ["", "1234", "+", "call me", "+49 30 1234567 890 1234", "12345x", "12345x123456789", "12+345", "１２３４５"]
        {
            assert!(!is_phone(bad), "{bad}");
        }
    }

    #[test]
    fn addresses_of_pages_are_told_from_other_text() {
        for good in ["https://a.example", "HTTP://a.example:8080/x?y#z", "https://[::1]:1/", "https://exämple.org/ä"]
        {
            assert!(is_url(good), "{good}");
        }
        for bad in [
            "",
            "a.example",
            "javascript:alert(1)",
            "https://",
            "https:///x",
            "https://a b",
            "ftp://a",
            "https://u:p@a",
            "https://:80",
        ] {
            assert!(!is_url(bad), "{bad}");
        }
    }

    #[test]
    fn names_are_neither_empty_nor_endless_nor_binary() {
        let codes = |value: &str| {
            let mut faults = Faults::default();
            check_name("/name", value, 5, &mut faults);
            faults.0.len()
        };
        assert_eq!((codes("Zoë"), codes(" "), codes("abcdef"), codes("a\0b")), (0, 1, 1, 1));
    }
}
