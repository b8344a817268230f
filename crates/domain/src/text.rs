//! What texts are accepted where a person types them.

use crate::faults::Faults;

/// Notes a fault unless `value` has 1 to `most` characters beside blanks, none of them a control character.
pub(crate) fn check_name(pointer: &str, value: &str, most: usize, faults: &mut Faults) {
    let length = value.trim().chars().count();
    if length == 0 || length > most || value.chars().any(char::is_control) {
        faults.add(pointer, "length", format!("use 1 to {most} characters, no control characters"));
    }
}

/// Whether a text can be an e-mail address: one `@` between a local part and a domain with a dot or `localhost`.
pub fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let plain = |part: &str| !part.is_empty() && !part.chars().any(|c| c.is_whitespace() || c.is_control());
    let named = domain.contains('.') || domain == "localhost";
    text.len() <= 254 && plain(local) && plain(domain) && !local.contains('@') && named
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
    fn names_are_neither_empty_nor_endless_nor_binary() {
        let codes = |value: &str| {
            let mut faults = Faults::default();
            check_name("/name", value, 5, &mut faults);
            faults.0.len()
        };
        assert_eq!((codes("Zoë"), codes(" "), codes("abcdef"), codes("a\0b")), (0, 1, 1, 1));
    }
}
