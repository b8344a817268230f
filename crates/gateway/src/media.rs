//! Media types, as far as every program reads them alike.

/// The parameters of a media type, with names in small letters: the text behind the first `;`.
///
/// Some programs end a quoted text at `\"`, some split at each `;` or `,`, some decode words of mail (`=?…?=`, RFC 2047), some keep
/// spaces, and of two of a name one program takes the first and another the last. Where that makes a difference there are none.
pub(crate) fn parameters(text: &str) -> Option<Vec<(String, &str)>> {
    read(text, |_, value| is_token(value))
}

/// The same of what is no form of a page: there clients write `type=application/dicom` without the quotes that it needs. A `boundary` and
/// a `charset` need them still.
pub(crate) fn loose_parameters(text: &str) -> Option<Vec<(String, &str)>> {
    let is_bare = |value: &str| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    read(text, |name, value| is_token(value) || !matches!(name, "boundary" | "charset") && is_bare(value))
}

/// `is_bare` tells of a name and its value whether the value needs no quotes.
fn read(text: &str, is_bare: impl Fn(&str, &str) -> bool) -> Option<Vec<(String, &str)>> {
    if text.contains(['\\', ',']) || text.contains("=?") {
        return None;
    }
    let (mut found, mut rest) = (Vec::<(String, &str)>::new(), text.trim());
    while !rest.is_empty() {
        let (name, value) = rest.split_once('=')?;
        let name = name.to_ascii_lowercase();
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"').filter(|(value, _)| !value.contains(';'))?;
                let after = after.trim_start();
                (value, if after.is_empty() { "" } else { after.strip_prefix(';')? })
            }
            None => value.split_once(';').or(Some((value, ""))).filter(|(value, _)| is_bare(&name, value))?,
        };
        if !is_token(&name) || found.iter().any(|(known, _)| *known == name) {
            return None;
        }
        found.push((name, value));
        rest = after.trim_start();
    }
    Some(found)
}

/// Whether text in this alphabet is UTF-8.
pub(crate) fn is_utf_8(charset: &str) -> bool {
    ["utf-8", "utf8", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known))
}

/// Whether text is UTF-8 for all that these parameters of its media type say.
pub(crate) fn is_in_utf_8(text: &str) -> bool {
    let names = |text: &str| text.to_ascii_lowercase().contains("charset");
    let is_fine = |(name, value): &(String, &str)| !names(name) || is_utf_8(value);
    !names(text) || parameters(text).is_some_and(|found| found.iter().all(is_fine))
}

/// Whether a media type, without its parameters, is one that some framework reads as JSON.
pub(crate) fn is_json(kind: &str) -> bool {
    let subtype = kind.trim().rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    matches!(subtype.as_str(), "json" | "x-json" | "jsonrequest") || subtype.ends_with("+json")
}

/// A word of RFC 9110 §5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_letter)
}

/// A letter of such a word.
pub(crate) fn is_token_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_many_names() {
        for kind in [
            "application/json",
            "Text/JSON ",
            "text/x-json",
            "application/jsonrequest",
            "application/*+json",
            "a/b+json",
        ] {
            assert!(is_json(kind), "{kind}");
        }
        for kind in ["", "*/*", "application/*", "application/jsonp", "application/json-seq", "text/plain"] {
            assert!(!is_json(kind), "{kind}");
        }
    }

    #[test]
    fn text_is_utf_8_if_nothing_else_is_said() {
        for text in ["", "a", "profile=\"x,y\"", "charset=UTF-8", " Charset=\"utf-8\"; a=b", "charset=utf8;"] {
            assert!(is_in_utf_8(text), "{text}");
        }
        for text in [
            "charset=utf-7",
            "CHARSET=utf-16",
            "charset=",
            "charset",
            "charset=utf-8; charset=utf-7",
            "charset*=utf-7''x",
            "a=\"; charset=utf-7; b=\"",
            "charset=utf-8, charset=utf-7",
        ] {
            assert!(!is_in_utf_8(text), "{text}");
        }
    }

    #[test]
    fn parameters_are_those_that_everybody_reads() {
        let read = |text: &str| {
            let found = parameters(text)?;
            Some(found.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("|"))
        };
        for (text, wanted) in [
            ("", Some("")),
            (" charset=UTF-8", Some("charset=UTF-8")),
            ("Charset=\"utf-8\" ; a=b;", Some("charset=utf-8|a=b")),
            ("a=\"b c:d\"", Some("a=b c:d")),
            ("a", None),
            ("a=", None),
            ("a =b", None),
            ("a= b", None),
            ("a=b ;c=d", None),
            ("a=b=c", None),
            ("a=b;A=c", None),
            ("a=\"b\"c=d", None),
            ("a=\"b", None),
            ("a=\"b;c\"", None),
            ("a=\"b,c\"", None),
            (r#"a="\"""#, None),
            ("a=\"=?utf-8?Q?b?=\"", None),
            ("type=a/b", None),
        ] {
            assert_eq!(read(text).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_form_needs_no_quotes_but_for_its_boundary_and_its_alphabet() {
        let read = |text: &str| {
            let found = loose_parameters(text)?;
            Some(found.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("|"))
        };
        for (text, wanted) in [
            ("type=application/dicom; boundary=x", Some("type=application/dicom|boundary=x")),
            ("start=<a@b>;Action=urn:x:y", Some("start=<a@b>|action=urn:x:y")),
            ("boundary=\"a/b\"", Some("boundary=a/b")),
            ("Boundary=a/b", None),
            ("charset=a/b", None),
            ("type=", None),
            ("type=a b", None),
            ("type=a\"b", None),
            ("type=a,b", None),
            ("type=a\\b", None),
            ("type=a;Type=b", None),
        ] {
            assert_eq!(read(text).as_deref(), wanted, "{text}");
        }
    }
}
