//! The head of one part of a form (RFC 7578 §4.2): what it is called, and what its file is.

use super::{
    Kind, Refusal,
    name::{self, percent_decoded},
};
use crate::media::is_token_letter;

/// Looks at the head of a part. What two programs could read in two ways is refused. Only a form must name its parts.
///
/// # Errors
///
/// [`Refusal`].
pub(super) fn check(head: &[u8], body: Kind) -> Result<(), Refusal> {
    let mut dispositions = 0;
    for line in lines(head)? {
        let (name, value) = split_once(line, b':').ok_or(Refusal::Head)?;
        if name.is_empty() || !name.iter().all(|byte| is_token_letter(*byte)) {
            return Err(Refusal::Head);
        }
        if name.eq_ignore_ascii_case(b"content-disposition") {
            dispositions += 1;
            check_disposition(value.trim_ascii(), body)?;
        }
        if !name.eq_ignore_ascii_case(b"content-type") {
            continue;
        }
        // A form within a form is no longer used by anybody, and hides names (RFC 7578 §4.3).
        let nested = value.trim_ascii_start().get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/"));
        if nested {
            return Err(Refusal::Nested);
        }
        // Programs that read mail take a file's name from here.
        if body == Kind::Other && value.to_ascii_lowercase().windows(4).any(|word| word == b"name") {
            return Err(Refusal::Head);
        }
    }
    match (dispositions, body) {
        (1, _) | (0, Kind::Other) => Ok(()),
        _ => Err(Refusal::Head),
    }
}

/// Lines that end as they must, none of which goes on in the next.
fn lines(head: &[u8]) -> Result<Vec<&[u8]>, Refusal> {
    let mut lines = Vec::new();
    for line in head.split(|byte| *byte == b'\n') {
        lines.push(line);
    }
    let count = lines.len();
    for (at, line) in lines.iter_mut().enumerate() {
        if at + 1 < count {
            *line = line.strip_suffix(b"\r").ok_or(Refusal::Head)?;
        }
        let folded = line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t'));
        if folded || line.iter().any(|byte| matches!(byte, b'\r' | 0)) {
            return Err(Refusal::Head);
        }
    }
    Ok(lines)
}

fn check_disposition(value: &[u8], body: Kind) -> Result<(), Refusal> {
    // An escape is read by one program as the letter behind it and by another as itself.
    if value.contains(&b'\\') {
        return Err(Refusal::Name(name::Unsafe::Path));
    }
    let (kind, mut rest) = split_once(value, b';').unwrap_or((value, b""));
    let kind = kind.trim_ascii();
    let kinds: &[&str] = match body {
        Kind::Form => &["form-data"],
        Kind::Other => &["form-data", "attachment", "inline"],
    };
    if !kinds.iter().any(|known| kind.eq_ignore_ascii_case(known.as_bytes())) {
        return Err(Refusal::Head);
    }
    let mut seen: Vec<Vec<u8>> = Vec::new();
    while !rest.trim_ascii().is_empty() {
        let (parameter, value, after) = parameter(rest).ok_or(Refusal::Head)?;
        let parameter = parameter.to_ascii_lowercase();
        if seen.contains(&parameter) {
            return Err(Refusal::Head);
        }
        // Words of mail (RFC 2047): Tomcat decodes them.
        if value.windows(2).any(|pair| pair == b"=?") {
            return Err(Refusal::Name(name::Unsafe::Special));
        }
        match parameter.as_slice() {
            b"filename" => name::check(value).map_err(Refusal::Name)?,
            b"filename*" => name::check(&extended(value).ok_or(Refusal::Head)?).map_err(Refusal::Name)?,
            // Continuations and the like: another way to write the same.
            other if other.contains(&b'*') => return Err(Refusal::Head),
            _ => {}
        }
        seen.push(parameter);
        rest = after;
    }
    if body == Kind::Other || seen.iter().any(|name| name == b"name") { Ok(()) } else { Err(Refusal::Head) }
}

/// The next parameter: its name, its value, and what comes after. A quote of one stroke opens a quoted text to PHP.
fn parameter(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = split_once(text.trim_ascii_start(), b'=')?;
    let name = name.trim_ascii();
    if name.is_empty() || !name.iter().all(|byte| is_token_letter(*byte) && *byte != b'\'') {
        return None;
    }
    let rest = rest.trim_ascii_start();
    if let Some(quoted) = rest.strip_prefix(b"\"") {
        let (value, after) = split_once(quoted, b'"')?;
        let after = after.trim_ascii();
        return if after.is_empty() {
            Some((name, value, after))
        } else {
            Some((name, value, after.strip_prefix(b";")?))
        };
    }
    let (value, after) = split_once(rest, b';').unwrap_or((rest, b""));
    let value = value.trim_ascii();
    let strokes = if name.eq_ignore_ascii_case(b"filename*") { 2 } else { 0 };
    let is_plain = !value.is_empty()
        && value.iter().all(|byte| is_token_letter(*byte) || *byte >= 0x80)
        && value.iter().filter(|byte| **byte == b'\'').count() == strokes;
    is_plain.then_some((name, value, after))
}

/// `UTF-8'language'text` with percent-encoding (RFC 8187 §3.2).
fn extended(value: &[u8]) -> Option<Vec<u8>> {
    let (charset, rest) = split_once(value, b'\'')?;
    let (_, text) = split_once(rest, b'\'')?;
    charset.eq_ignore_ascii_case(b"utf-8").then(|| percent_decoded(text))
}

fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = text.iter().position(|byte| *byte == at)?;
    Some((text.get(..place)?, text.get(place + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_that_clients_send_are_taken() {
        for head in [
            "Content-Disposition: form-data; name=\"kind\"",
            "content-disposition:form-data;name=kind",
            "Content-Disposition: form-data; name=\"file\"; filename=\"Dopis č. 1.pdf\"\r\nContent-Type: application/pdf",
            "Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=\"a;b=c\"; filename=\"\"",
            "Content-Disposition: form-data; name=\"f\"; filename*=UTF-8''dopis%20%C4%8D.pdf",
            "Content-Disposition: form-data; name=\"f\"; filename=a%22b.txt\r\nContent-Length: 5",
            "Content-Disposition: form-data; name=\"it's\"; filename=\"rock 'n' roll.mp3\"",
        ] {
            assert_eq!(check(head.as_bytes(), Kind::Form), Ok(()), "{head}");
        }
    }

    #[test]
    fn a_name_that_is_a_path_is_refused_however_it_is_written() {
        for disposition in [
            "form-data; name=\"f\"; filename=\"../x\"",
            "form-data; name=\"f\"; filename=..%2fx",
            "form-data; name=\"f\"; FileName=\"../x\"",
            "form-data; filename=\"a/b\"; name=\"f\"",
            "form-data; name=\"f\"; filename=\"ok\"; filename*=UTF-8''..%2Fx",
            "form-data; name=\"f\"; filename=\"C:\\temp\\x\"",
            "form-data; name=\"f\\\"; filename=\"x\"",
            // `../../evil.jsp` to Tomcat.
            "form-data; name=\"f\"; filename=\"=?utf-8?B?Li4vLi4vZXZpbC5qc3A=?=\"",
            "form-data; name=\"=?utf-8?Q?f?=\"",
        ] {
            let head = format!("Content-Disposition: {disposition}");
            assert!(matches!(check(head.as_bytes(), Kind::Form), Err(Refusal::Name(_))), "{disposition}");
        }
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        for head in [
            "",
            "Content-Type: text/plain",
            "Content-Disposition: form-data",
            "Content-Disposition: attachment; name=\"f\"; filename=\"x\"",
            "Content-Disposition: form-data; name=\"f\"\r\nContent-Disposition: form-data; name=\"g\"",
            "Content-Disposition: form-data; name=\"f\"; filename=\"a\"; filename=\"../b\"",
            "Content-Disposition: form-data; name=\"f\"; filename=\"a\" filename=\"../b\"",
            "Content-Disposition: form-data; name=\"f\"; filename=\"a",
            "Content-Disposition: form-data; name=\"f\"; filename*0=\"../\"; filename*1=\"x\"",
            "Content-Disposition: form-data; name=\"f\"; filename*=latin1''x",
            "Content-Disposition: form-data;\r\n name=\"f\"; filename=\"../x\"",
            "Content-Disposition: form-data; name=\"f\"\nX: y",
            "Content-Disposition: form-data; name=\"f\"\rX: y",
            "Content-Disposition : form-data; name=\"f\"",
            "Content-Disposition: form-data; name=\"f\"; filename=a b/c",
            // To PHP a quote of one stroke is one: there is a file.
            "Content-Disposition: form-data; name=\"f\"; a='; b=\"'; filename=../x; c=\"",
            "Content-Disposition: form-data; name=\"f\"; a'=b; c=\"'; filename=../x; d=\"",
            "Content-Disposition: form-data; name=\"f\"; filename*=UTF-8''x'; b=\"'; filename=../x; c=\"",
        ] {
            assert_eq!(check(head.as_bytes(), Kind::Form), Err(Refusal::Head), "{head}");
        }
        let nested = "Content-Disposition: form-data; name=\"f\"\r\nContent-Type: Multipart/Mixed; boundary=x";
        assert_eq!(check(nested.as_bytes(), Kind::Form), Err(Refusal::Nested));
    }

    /// DICOMweb and SOAP name no part.
    #[test]
    fn a_part_of_what_is_no_form_needs_no_name_and_its_file_a_good_one() {
        for head in [
            "Content-Type: application/dicom",
            "Content-Type: application/dicom; transfer-syntax=1.2.840.10008.1.2.1\r\nContent-Location: 1.2.3",
            "Content-Type: application/xop+xml; charset=UTF-8; type=\"text/xml\"\r\nContent-ID: <a@b>",
            "Content-Disposition: attachment; filename=\"x.pdf\"",
            "Content-Disposition: inline",
        ] {
            assert_eq!(check(head.as_bytes(), Kind::Other), Ok(()), "{head}");
            assert_eq!(check(head.as_bytes(), Kind::Form), Err(Refusal::Head), "{head}");
        }
        for head in [
            "Content-Disposition: attachment; filename=\"a\"; filename=\"../b\"",
            "Content-Disposition: attachment; filename*0=\"../\"; filename*1=\"x\"",
            "Content-Disposition: attachment\r\nContent-Disposition: inline",
            "Content-Disposition: x; filename=\"x\"",
            "Content-Type: image/png; Name=\"../x\"",
            "Content-Type: image/png\nX: y",
        ] {
            assert_eq!(check(head.as_bytes(), Kind::Other), Err(Refusal::Head), "{head}");
        }
        let path = check(b"Content-Disposition: attachment; filename=\"../x\"", Kind::Other);
        assert!(matches!(path, Err(Refusal::Name(_))));
        assert_eq!(check(b"Content-Type: multipart/mixed; boundary=y", Kind::Other), Err(Refusal::Nested));
    }
}
