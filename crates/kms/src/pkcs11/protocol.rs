//! What the server and the child say to each other.
//!
//! A message is a 32-bit big-endian length, a byte that says what it is, and fields, each with its own length before it.
//! The child answers each question once and in order.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
};

use chancery_crypto::lv;
use zeroize::Zeroizing;

use super::{Fault, Pkcs11Settings};

/// No question or answer is longer: the longest field is an RSA-4096 ciphertext.
pub(super) const MESSAGE_MAX: usize = 64 * 1024;

/// What a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Verb {
    /// Settings. Comes first and once.
    Open = 1,
    /// Settings. Instead of `Open`: makes the key that wraps.
    Create = 2,
    /// 32 bytes and associated data.
    Encrypt = 3,
    /// What `Encrypt` gave and associated data.
    Decrypt = 4,
    /// Name, type, use.
    Generate = 5,
    /// Id.
    Public = 6,
    /// Id, algorithm, digest.
    Sign = 7,
    /// Id, algorithm, ciphertext.
    Unseal = 8,
    /// Id.
    Destroy = 9,
}

impl Verb {
    const ALL: [Self; 9] = [
        Self::Open,
        Self::Create,
        Self::Encrypt,
        Self::Decrypt,
        Self::Generate,
        Self::Public,
        Self::Sign,
        Self::Unseal,
        Self::Destroy,
    ];

    pub(super) fn parse(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| *verb as u8 == byte)
    }

    /// Whether asking twice is as good as asking once.
    pub(super) const fn is_repeatable(self) -> bool {
        !matches!(self, Self::Create | Self::Generate | Self::Destroy)
    }
}

/// The byte of an answer that brings fields.
const DONE: u8 = 0;

/// The body of a message, without its length.
pub(super) struct Message(pub(super) Zeroizing<Vec<u8>>);

impl Message {
    pub(super) fn question(verb: Verb, fields: &[&[u8]]) -> Self {
        Self::new(verb as u8, fields)
    }

    pub(super) fn settings(verb: Verb, settings: &Pkcs11Settings) -> Self {
        let Pkcs11Settings { module, token, key, pin_file } = settings;
        let path = |path: &PathBuf| path.as_os_str().as_encoded_bytes().to_vec();
        Self::question(verb, &[&path(module), token.as_bytes(), key.as_bytes(), &path(pin_file)])
    }

    pub(super) fn answer(outcome: &Result<Vec<Zeroizing<Vec<u8>>>, Fault>) -> Self {
        let fault = |byte: u8, text: &str| Self::new(byte, &[text.as_bytes()]);
        match outcome {
            Ok(fields) => Self::new(DONE, &fields.iter().map(|field| field.as_slice()).collect::<Vec<_>>()),
            Err(Fault::Refused) => fault(1, ""),
            Err(Fault::Unavailable(text)) => fault(2, text),
            Err(Fault::Misconfigured(text)) => fault(3, text),
            Err(Fault::Pin(text)) => fault(4, text),
            Err(Fault::NotFound) => fault(5, ""),
            Err(Fault::Unsupported) => fault(6, ""),
        }
    }

    fn new(byte: u8, fields: &[&[u8]]) -> Self {
        // Room for everything: growing would leave copies behind.
        let length = 1 + fields.iter().map(|field| field.len() + 4).sum::<usize>();
        let mut body = Zeroizing::new(Vec::with_capacity(length));
        body.push(byte);
        for field in fields {
            lv(&mut body, field);
        }
        Self(body)
    }

    /// The length that goes before the body. A body that is too long is no message.
    pub(super) fn length(&self) -> io::Result<[u8; 4]> {
        let length = u32::try_from(self.0.len()).ok().filter(|_| self.0.len() <= MESSAGE_MAX);
        Ok(length.ok_or_else(|| io::Error::other("the message is too long"))?.to_be_bytes())
    }

    /// The byte and the fields.
    pub(super) fn parse(&self) -> Option<(u8, Vec<&[u8]>)> {
        let (byte, mut rest) = self.0.split_first()?;
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let (length, after) = rest.split_first_chunk::<4>()?;
            let (field, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
            fields.push(field);
            rest = after;
        }
        Some((*byte, fields))
    }

    /// What an answer says. `None` is no answer.
    pub(super) fn outcome(&self) -> Option<Result<Vec<Zeroizing<Vec<u8>>>, Fault>> {
        let (byte, fields) = self.parse()?;
        let text = || fields.first().map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
        Some(match byte {
            DONE => Ok(fields.into_iter().map(|field| Zeroizing::new(field.to_vec())).collect()),
            1 => Err(Fault::Refused),
            2 => Err(Fault::Unavailable(text())),
            3 => Err(Fault::Misconfigured(text())),
            4 => Err(Fault::Pin(text())),
            5 => Err(Fault::NotFound),
            6 => Err(Fault::Unsupported),
            _ => return None,
        })
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.length()?)?;
        out.write_all(&self.0)?;
        out.flush()
    }

    /// `None` at the end of the input.
    pub(super) fn read(input: &mut impl Read) -> io::Result<Option<Self>> {
        let mut length = [0; 4];
        match input.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let mut body = Zeroizing::new(vec![0; body_length(length)?]);
        input.read_exact(&mut body)?;
        Ok(Some(Self(body)))
    }
}

pub(super) fn body_length(length: [u8; 4]) -> io::Result<usize> {
    let length = usize::try_from(u32::from_be_bytes(length)).ok().filter(|length| (1..=MESSAGE_MAX).contains(length));
    length.ok_or_else(|| io::Error::other("not a message; does the module write to stdout?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_heard() {
        let faults = [
            Fault::Refused,
            Fault::Unavailable("u".to_owned()),
            Fault::Misconfigured("m".to_owned()),
            Fault::Pin("p".to_owned()),
            Fault::NotFound,
            Fault::Unsupported,
        ];
        let fields = vec![Zeroizing::new(b"a".to_vec()), Zeroizing::new(Vec::new())];
        for outcome in faults.into_iter().map(Err).chain([Ok(fields), Ok(Vec::new())]) {
            let mut wire = Vec::new();
            Message::answer(&outcome).write(&mut wire).unwrap();
            let heard = Message::read(&mut wire.as_slice()).unwrap().unwrap();
            assert_eq!(heard.outcome().unwrap(), outcome);
        }
    }

    #[test]
    fn noise_is_no_message() {
        assert!(Message::read(&mut &b""[..]).unwrap().is_none());
        assert!(Message::read(&mut &b"HTTP/1.1 200"[..]).is_err());
        assert!(Message::read(&mut &[0, 0, 0, 0][..]).is_err());
        assert!(Message::read(&mut &[0, 0, 0, 2, 1][..]).is_err());
        assert!(Message(Zeroizing::new(vec![0, 0, 0, 0, 9, 1])).outcome().is_none());
        assert!(Message(Zeroizing::new(vec![99])).outcome().is_none());
        for byte in 0..=255 {
            assert_eq!(Verb::parse(byte).is_some(), (1..=9).contains(&byte));
        }
    }
}
