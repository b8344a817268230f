//! Signed heads of a log: [C2SP tlog-checkpoint](https://c2sp.org/tlog-checkpoint) as a [signed note](https://c2sp.org/signed-note), Ed25519.
//!
//! Extension lines are refused. Signatures of others (witnesses) are kept and ignored.

use data_encoding::{BASE64, HEXLOWER};

use crate::base64;
use crate::digest::sha256_parts;
use crate::merkle::Hash;
use crate::sign::{Ed25519PublicKey, Ed25519SigningKey};

/// The type byte of an Ed25519 key in a note.
const ED25519: u8 = 0x01;
/// A note with more signature lines is refused; the specification asks for at least 16.
const SIGNATURES_MAX: usize = 64;
/// Longest origin or key name in bytes.
const NAME_MAX: usize = 255;

/// Why text is no checkpoint or key, or does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not the text of a checkpoint, note or key, to the letter.
    #[error("malformed checkpoint")]
    Malformed,
    /// An origin or key name that is empty, too long, or has a space, a plus sign or a control character.
    #[error("malformed name")]
    Name,
    /// No signature by the given key.
    #[error("not signed by this key")]
    UnknownKey,
    /// A signature that claims the given key and does not verify.
    #[error("bad signature")]
    BadSignature,
}

/// The head of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log, such as `chancery.example/t/7f3c…`.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed: origin, size and base64 root, a line each.
    pub fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(&self.root))
    }

    /// Reads exactly what [`body`](Self::body) writes.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Malformed`], [`CheckpointError::Name`].
    pub fn from_body(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root), Some(""), None) =
            (lines.next(), lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Malformed);
        };
        check_name(origin)?;
        let root = base64::decode(root).and_then(|root| root.try_into().ok()).ok_or(CheckpointError::Malformed)?;
        Ok(Self { origin: origin.into(), size: decimal(size).ok_or(CheckpointError::Malformed)?, root })
    }
}

/// The name under which heads of a log are signed in an epoch of it: its origin in the first, `ORIGIN/e2` and so on after a
/// restore that lost heads. So no two heads of one name and size ever differ.
pub fn epoch_name(origin: &str, epoch: u64) -> String {
    if epoch < 2 { origin.to_owned() } else { format!("{origin}/e{epoch}") }
}

/// Which epoch of the log `origin` a name stands for; `None` if it is another log's.
pub fn epoch_of(name: &str, origin: &str) -> Option<u64> {
    match name.strip_prefix(origin)? {
        "" => Some(1),
        rest => rest.strip_prefix("/e").and_then(decimal).filter(|epoch| (2..1 << 53).contains(epoch)),
    }
}

/// The origin and the epoch that a name of heads is made of. Only for names of this project's logs: their origins do not end so.
pub fn epoch_split(name: &str) -> (&str, u64) {
    let split = name.rsplit_once('/').and_then(|(origin, _)| Some((origin, epoch_of(name, origin)?)));
    split.unwrap_or((name, 1))
}

/// A checkpoint with its signature lines. Reading one proves nothing; [`verify`](Self::verify) does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    text: String,
    checkpoint: Checkpoint,
    signatures: Vec<NoteSignature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoteSignature {
    pub(crate) name: String,
    pub(crate) key_id: [u8; 4],
    pub(crate) signature: Vec<u8>,
}

impl SignedCheckpoint {
    /// Signs. `name` is the key's name; logs use their origin.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Name`] when `name` or the origin cannot stand in a note.
    pub fn sign(checkpoint: &Checkpoint, key: &Ed25519SigningKey, name: &str) -> Result<Self, CheckpointError> {
        let verifier = VerifierKey::new(name, key.public())?;
        let body = checkpoint.body();
        let blob = [verifier.key_id.as_slice(), &key.sign(body.as_bytes())].concat();
        Self::parse(&format!("{body}\n\u{2014} {name} {}\n", BASE64.encode(&blob)))
    }

    /// Reads a signed note whose text is a checkpoint.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Malformed`], [`CheckpointError::Name`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let malformed = CheckpointError::Malformed;
        if text.chars().any(|letter| letter < ' ' && letter != '\n') {
            return Err(malformed);
        }
        // The last empty line separates text and signatures; the text keeps its newline.
        let (body, lines) =
            text.rfind("\n\n").and_then(|at| Some((text.get(..=at)?, text.get(at + 2..)?))).ok_or(malformed)?;
        let lines = lines.strip_suffix('\n').ok_or(malformed)?;
        let signatures = lines.split('\n').map(signature_line).collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(malformed);
        }
        Ok(Self { text: text.into(), checkpoint: Checkpoint::from_body(body)?, signatures })
    }

    /// The note, to the letter.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same note with further signature lines after its own, each with its newline.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Malformed`] if one of them is no such line, or there are too many.
    pub fn with_lines<'a>(&self, lines: impl IntoIterator<Item = &'a str>) -> Result<Self, CheckpointError> {
        let mut text = self.text.clone();
        lines.into_iter().for_each(|line| text.push_str(line));
        Self::parse(&text)
    }

    /// What the note says, verified or not.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The signature lines, taken apart.
    pub(crate) fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Whether a line bears this name; whose key it is of, that does not show.
    pub fn names(&self, name: &str) -> bool {
        self.signatures.iter().any(|one| one.name == name)
    }

    /// Checks that `key` signed it, and gives what it says. Any bad signature in the name of `key` refuses the note.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::UnknownKey`], [`CheckpointError::BadSignature`].
    pub fn verify(&self, key: &VerifierKey) -> Result<&Checkpoint, CheckpointError> {
        let body = self.checkpoint.body(); // INVARIANT: parsing accepts only what `body` writes
        let mut ours = self.signatures.iter().filter(|one| one.name == key.name && one.key_id == key.key_id).peekable();
        ours.peek().ok_or(CheckpointError::UnknownKey)?;
        if ours.all(|one| key.public.verify(body.as_bytes(), &one.signature)) {
            Ok(&self.checkpoint)
        } else {
            Err(CheckpointError::BadSignature)
        }
    }
}

/// A name and an Ed25519 public key that verifies notes: `name+hash+key`, the vkey format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key_id: [u8; 4],
    public: Ed25519PublicKey,
}

impl VerifierKey {
    /// Names a public key.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Name`].
    pub fn new(name: &str, public: Ed25519PublicKey) -> Result<Self, CheckpointError> {
        Ok(Self { name: name.into(), key_id: key_id(name, ED25519, &public)?, public })
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key.
    pub const fn public(&self) -> &Ed25519PublicKey {
        &self.public
    }

    /// `SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)`, first four bytes.
    pub const fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    /// `name+8 hex digits of the key id+base64(0x01 ‖ public key)`.
    pub fn to_text(&self) -> String {
        key_to_text(&self.name, self.key_id, ED25519, &self.public)
    }

    /// Reads exactly what [`to_text`](Self::to_text) writes.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Malformed`], [`CheckpointError::Name`].
    pub fn from_text(text: &str) -> Result<Self, CheckpointError> {
        let (name, public) = key_from_text(text, ED25519)?;
        let this = Self::new(name, public)?;
        if this.to_text() == text { Ok(this) } else { Err(CheckpointError::Malformed) }
    }
}

/// The id of a key in notes: `SHA-256(name ‖ 0x0A ‖ type byte ‖ public key)`, first four bytes.
pub(crate) fn key_id(name: &str, kind: u8, public: &Ed25519PublicKey) -> Result<[u8; 4], CheckpointError> {
    check_name(name)?;
    let [a, b, c, d, ..] = sha256_parts([name.as_bytes(), &[b'\n', kind], public.as_bytes()]);
    Ok([a, b, c, d])
}

/// The vkey format: `name+8 hex digits of the key id+base64(type byte ‖ public key)`.
pub(crate) fn key_to_text(name: &str, key_id: [u8; 4], kind: u8, public: &Ed25519PublicKey) -> String {
    let key = [&[kind], public.as_bytes().as_slice()].concat();
    format!("{name}+{}+{}", HEXLOWER.encode(&key_id), BASE64.encode(&key))
}

/// Takes the vkey format apart; the caller writes it again and compares, which checks the key id and the form.
pub(crate) fn key_from_text(text: &str, kind: u8) -> Result<(&str, Ed25519PublicKey), CheckpointError> {
    let malformed = CheckpointError::Malformed;
    let mut parts = text.splitn(3, '+'); // base64 may hold a plus sign, names may not
    let (Some(name), Some(_), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(malformed);
    };
    let key = base64::decode(key).ok_or(malformed)?;
    let (_, public) = key.split_first().filter(|(first, _)| **first == kind).ok_or(malformed)?;
    let public = Ed25519PublicKey::from_bytes(public.try_into().map_err(|_| malformed)?).map_err(|_| malformed)?;
    Ok((name, public))
}

pub(crate) fn signature_line(line: &str) -> Result<NoteSignature, CheckpointError> {
    let malformed = CheckpointError::Malformed;
    let (name, blob) = line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' ')).ok_or(malformed)?;
    check_name(name)?;
    let blob = base64::decode(blob).ok_or(malformed)?;
    let (key_id, signature) = blob.split_first_chunk().filter(|(_, rest)| !rest.is_empty()).ok_or(malformed)?;
    Ok(NoteSignature { name: name.into(), key_id: *key_id, signature: signature.to_vec() })
}

fn check_name(name: &str) -> Result<(), CheckpointError> {
    let bad = |letter: char| letter.is_whitespace() || letter.is_control() || letter == '+';
    if name.is_empty() || name.len() > NAME_MAX || name.contains(bad) { Err(CheckpointError::Name) } else { Ok(()) }
}

/// Decimal digits without sign or leading zero.
pub(crate) fn decimal(digits: &str) -> Option<u64> {
    let value: u64 = digits.parse().ok()?;
    (value.to_string() == digits).then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> Ed25519SigningKey {
        Ed25519SigningKey::from_seed(&[6; 32]).unwrap()
    }

    fn head() -> Checkpoint {
        Checkpoint { origin: "chancery.example/t/7f3c".into(), size: 20_852_163, root: [9; 32] }
    }

    fn signed() -> SignedCheckpoint {
        SignedCheckpoint::sign(&head(), &key(), "chancery.example/t/7f3c").unwrap()
    }

    fn vkey() -> VerifierKey {
        VerifierKey::new("chancery.example/t/7f3c", key().public()).unwrap()
    }

    #[test]
    fn a_log_has_one_name_in_each_epoch() {
        let origin = "chancery.example/t/7f3c";
        for (epoch, name) in [(1, origin), (2, "chancery.example/t/7f3c/e2"), (11, "chancery.example/t/7f3c/e11")] {
            assert_eq!((epoch_name(origin, epoch).as_str(), epoch_of(name, origin)), (name, Some(epoch)));
            assert_eq!(epoch_split(name), (origin, epoch));
        }
        for other in ["/e1", "/e0", "/e02", "/e+2", "/e", "/e2x", "/e2/e3", "0", "/e9007199254740992"] {
            assert_eq!(epoch_of(&format!("{origin}{other}"), origin), None, "{other}");
        }
        assert_eq!(epoch_of("chancery.example/t/7f3", origin), None);
    }

    #[test]
    fn a_note_of_others_verifies() {
        // The example of Go's golang.org/x/mod/sumdb/note.
        let vkey =
            VerifierKey::from_text("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
        let text =
            "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let line = signature_line("\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=").unwrap();
        assert_eq!(line.key_id, vkey.key_id());
        assert!(vkey.public().verify(text.as_bytes(), &line.signature));
    }

    #[test]
    fn what_was_signed_verifies() {
        let read = SignedCheckpoint::parse(signed().text()).unwrap();
        assert_eq!(read.verify(&vkey()), Ok(&head()));
        assert_eq!(VerifierKey::from_text(&vkey().to_text()), Ok(vkey()));
        let other =
            VerifierKey::new("chancery.example/t/7f3c", Ed25519SigningKey::from_seed(&[7; 32]).unwrap().public())
                .unwrap();
        assert_eq!(read.verify(&other), Err(CheckpointError::UnknownKey));
        assert!(read.names(vkey().name()) && !read.names("witness.example"));
        let renamed = VerifierKey::new("chancery.example/t/7f3d", key().public()).unwrap();
        assert_eq!(read.verify(&renamed), Err(CheckpointError::UnknownKey));
    }

    #[test]
    fn lines_of_witnesses_do_not_disturb() {
        let more = format!("{}\u{2014} witness.example {}\n", signed().text(), BASE64.encode(&[5; 76]));
        assert_eq!(SignedCheckpoint::parse(&more).unwrap().verify(&vkey()), Ok(&head()));
    }

    #[test]
    fn a_changed_note_does_not_verify() {
        for (from, to) in [("20852163", "20852164"), ("/t/7f3c\n20", "/t/7f3d\n20"), ("CQkJ", "CQkK")] {
            let bad = SignedCheckpoint::parse(&signed().text().replacen(from, to, 1)).unwrap();
            assert_eq!(bad.verify(&vkey()), Err(CheckpointError::BadSignature));
        }
        // One good and one bad signature in the same name: refused.
        let bad = BASE64.encode(&[vkey().key_id().as_slice(), &[0; 64]].concat());
        let both = format!("{}\u{2014} {} {bad}\n", signed().text(), vkey().name());
        assert_eq!(SignedCheckpoint::parse(&both).unwrap().verify(&vkey()), Err(CheckpointError::BadSignature));
    }

    #[test]
    fn other_spellings_are_refused() {
        let good = signed();
        let good = good.text();
        for (from, to) in [
            ("20852163", "020852163"),
            ("20852163", "+20852163"),
            ("20852163", "20852163 "),
            ("\n\n", "\nextension\n\n"),
            ("\n\n", "\n"),
            ("\u{2014} ", "- "),
            ("\u{2014} ", "\u{2014}  "),
            ("=\n\n", "\n\n"),
            ("7f3c\n2", "7f3c\r\n2"),
            ("chancery.example/t/7f3c\n2", "chancery example\n2"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert!(SignedCheckpoint::parse(&bad).is_err(), "{bad}");
        }
        assert!(SignedCheckpoint::parse(good.trim_end()).is_err());
        assert!(SignedCheckpoint::parse(&format!("{good}\n")).is_err());
        assert!(SignedCheckpoint::parse(&format!("{good}{}", "\u{2014} w AAAAAAA=\n".repeat(64))).is_err());
        for name in ["", "a b", "a+b", "a\u{a0}b", "a\nb", &"x".repeat(256)] {
            assert_eq!(VerifierKey::new(name, key().public()), Err(CheckpointError::Name));
        }
        for bad in [
            vkey().to_text().replace('+', "-"),
            vkey().to_text().to_uppercase(),
            format!("{}=", vkey().to_text()),
            String::new(),
        ] {
            assert!(VerifierKey::from_text(&bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_the_letter_or_refused(text in "[a-z0-9+=\u{2014} \n]{0,120}") {
            let _ = VerifierKey::from_text(&text);
            let _ = Checkpoint::from_body(&text).map(|one| assert_eq!(one.body(), text));
            let _ = SignedCheckpoint::parse(&text).map(|one| assert_eq!(one.text(), text));
        }
    }
}
