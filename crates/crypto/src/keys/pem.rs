//! PEM ([RFC 7468](https://www.rfc-editor.org/rfc/rfc7468)): one block, nothing before or behind it, no headers.

use data_encoding::BASE64;
use zeroize::Zeroizing;

use crate::base64;
use crate::sign::KeyError;

/// Letters of base64 on a line.
const LINE: usize = 64;
/// An RSA-4096 key has about 3,300 letters.
const MAX: usize = 1 << 16;

/// Writes one block.
pub(super) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(BASE64.encode(der));
    let lines = body.len().div_ceil(LINE);
    let mut out = Zeroizing::new(String::with_capacity(body.len() + lines + 2 * label.len() + 40));
    out.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = body.as_str();
    while let Some((line, later)) = rest.split_at_checked(rest.len().min(LINE)).filter(|(line, _)| !line.is_empty()) {
        out.push_str(line);
        out.push('\n');
        rest = later;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

/// Reads one block: its label and bytes. Lines end with LF or CRLF; white space within them is refused.
pub(super) fn decode(pem: &str) -> Result<(&str, Zeroizing<Vec<u8>>), KeyError> {
    let bad = KeyError::Malformed;
    if pem.len() > MAX {
        return Err(bad);
    }
    let mut lines = pem.lines();
    let label = lines.next().and_then(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")).ok_or(bad)?;
    let mut body = Zeroizing::new(String::with_capacity(pem.len()));
    loop {
        let line = lines.next().ok_or(bad)?;
        if let Some(end) = line.strip_prefix("-----END ") {
            if end.strip_suffix("-----") != Some(label) || lines.next().is_some() {
                return Err(bad);
            }
            break;
        }
        if line.is_empty() {
            return Err(bad);
        }
        body.push_str(line);
    }
    if !base64::is_one(&body) {
        return Err(bad);
    }
    let mut out = Zeroizing::new(vec![0; BASE64.decode_len(body.len()).map_err(|_| bad)?]);
    let length = BASE64.decode_mut(body.as_bytes(), &mut out).map_err(|_| bad)?;
    out.truncate(length);
    Ok((label, out))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_one_clean_block_is_read() {
        let good = encode("PUBLIC KEY", &[7; 100]);
        assert!(good.starts_with("-----BEGIN PUBLIC KEY-----\nBwcH"));
        assert_eq!(good.lines().map(str::len).max(), Some(64));
        let read = |pem: &str| decode(pem).map(|(label, der)| (label.to_owned(), der.to_vec()));
        let wanted = Ok((String::from("PUBLIC KEY"), vec![7; 100]));
        assert_eq!(read(&good), wanted);
        assert_eq!(read(good.trim_end()), wanted);
        assert_eq!(read(&good.replace('\n', "\r\n")), wanted);
        for bad in [
            format!("\n{}", *good),
            format!(" {}", *good),
            format!("{}\n", *good),
            format!("{}{}", *good, *good),
            good.replace("END PUBLIC", "END PRIVATE"),
            good.replacen('\n', "\nProc-Type: 4,ENCRYPTED\n\n", 1),
            good.replacen("Bw", "B w", 1),
            good.replacen('=', "", 1),
            good.replace("-----END", "-----ENDE"),
            good.lines().take(2).collect::<String>(),
            String::new(),
        ] {
            assert_eq!(read(&bad), Err(KeyError::Malformed), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_go_there_and_back_and_any_text_is_read_or_refused(der in proptest::collection::vec(any::<u8>(), 0..300), text in "(?s).{0,200}") {
            let pem = encode("X", &der);
            let read = decode(&pem).map(|(_, read)| read.to_vec());
            prop_assert_eq!(read, Ok(der));
            let _ = decode(&text);
            let _ = decode(&format!("-----BEGIN X-----\n{text}\n-----END X-----"));
        }
    }
}
