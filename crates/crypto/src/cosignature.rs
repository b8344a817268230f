//! What witnesses say of a log's head: [C2SP tlog-cosignature](https://c2sp.org/tlog-cosignature), Ed25519, and the request of
//! [C2SP tlog-witness](https://c2sp.org/tlog-witness) by which they are asked.
//!
//! A cosignature says: at this time, the largest head of this log that I saw and found to be a growth of all before it is this one.

use data_encoding::BASE64;

use crate::base64;
use crate::checkpoint::{
    Checkpoint, CheckpointError, NoteSignature, SignedCheckpoint, decimal, key_from_text, key_id, key_to_text,
    signature_line,
};
use crate::merkle::Hash;
use crate::sign::{Ed25519PublicKey, Ed25519SigningKey};

/// The type byte of an Ed25519 key that cosigns.
const COSIGNATURE: u8 = 0x04;
/// The protocol's bound on the lines of a consistency proof.
const PROOF_MAX: usize = 63;

/// A witness's name and public key: `name+hash+key`, the vkey format with signature type 0x04.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignerKey {
    name: String,
    key_id: [u8; 4],
    public: Ed25519PublicKey,
}

impl CosignerKey {
    /// Names a public key.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Name`].
    pub fn new(name: &str, public: Ed25519PublicKey) -> Result<Self, CheckpointError> {
        Ok(Self { name: name.into(), key_id: key_id(name, COSIGNATURE, &public)?, public })
    }

    /// The witness's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `name+8 hex digits of the key id+base64(0x04 ‖ public key)`.
    pub fn to_text(&self) -> String {
        key_to_text(&self.name, self.key_id, COSIGNATURE, &self.public)
    }

    /// Reads exactly what [`to_text`](Self::to_text) writes.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Malformed`], [`CheckpointError::Name`].
    pub fn from_text(text: &str) -> Result<Self, CheckpointError> {
        let (name, public) = key_from_text(text, COSIGNATURE)?;
        let this = Self::new(name, public)?;
        if this.to_text() == text { Ok(this) } else { Err(CheckpointError::Malformed) }
    }

    /// Checks a signature line over `head`, and gives the time that it states, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::UnknownKey`] if it is another one's line, [`CheckpointError::BadSignature`], [`CheckpointError::Malformed`].
    pub fn verify(&self, head: &Checkpoint, line: &str) -> Result<u64, CheckpointError> {
        self.verify_line(head, &signature_line(line.strip_suffix('\n').unwrap_or(line))?)
    }

    /// Checks what stands under a note in this witness's name, and gives the time that it states, the earliest if there are
    /// several lines. Any line of it that does not verify spoils the others.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::UnknownKey`] if there is no such line, [`CheckpointError::BadSignature`], [`CheckpointError::Malformed`].
    pub fn verify_note(&self, note: &SignedCheckpoint) -> Result<u64, CheckpointError> {
        let ours = note.signatures().iter().filter(|line| line.name == self.name && line.key_id == self.key_id);
        let times = ours.map(|line| self.verify_line(note.checkpoint(), line)).collect::<Result<Vec<_>, _>>()?;
        times.into_iter().min().ok_or(CheckpointError::UnknownKey)
    }

    fn verify_line(&self, head: &Checkpoint, line: &NoteSignature) -> Result<u64, CheckpointError> {
        if line.name != self.name || line.key_id != self.key_id {
            return Err(CheckpointError::UnknownKey);
        }
        let (time, signature) = line.signature.split_first_chunk().ok_or(CheckpointError::Malformed)?;
        let time = u64::from_be_bytes(*time);
        if i64::try_from(time).is_err() {
            return Err(CheckpointError::Malformed);
        }
        let signed = self.public.verify(message(head, time).as_bytes(), signature);
        if signed { Ok(time) } else { Err(CheckpointError::BadSignature) }
    }
}

/// Cosigns a head; gives the signature line with its newline.
///
/// # Errors
///
/// [`CheckpointError::Name`].
pub fn cosign(head: &Checkpoint, key: &Ed25519SigningKey, name: &str, seconds: u64) -> Result<String, CheckpointError> {
    let cosigner = CosignerKey::new(name, key.public())?;
    let signature = key.sign(message(head, seconds).as_bytes());
    let blob = [cosigner.key_id.as_slice(), &seconds.to_be_bytes(), &signature].concat();
    Ok(format!("\u{2014} {name} {}\n", BASE64.encode(&blob)))
}

fn message(head: &Checkpoint, seconds: u64) -> String {
    format!("cosignature/v1\ntime {seconds}\n{}", head.body())
}

/// The body of `POST …/add-checkpoint`: a head, and the proof that it grew from the one that the witness saw last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size of the head that the witness saw last; 0 if it saw none.
    pub old: u64,
    /// The consistency proof; empty if there is nothing to prove.
    pub proof: Vec<Hash>,
    /// The head.
    pub checkpoint: SignedCheckpoint,
}

impl AddCheckpoint {
    /// The text.
    pub fn to_text(&self) -> String {
        let proof: String = self.proof.iter().map(|hash| BASE64.encode(hash) + "\n").collect();
        format!("old {}\n{proof}\n{}", self.old, self.checkpoint.text())
    }

    /// Reads exactly what [`to_text`](Self::to_text) writes.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Malformed`], [`CheckpointError::Name`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let malformed = CheckpointError::Malformed;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(malformed)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decimal).ok_or(malformed)?;
        let hash = |line: &str| base64::decode(line)?.try_into().ok();
        let proof = lines
            .take(PROOF_MAX + 1)
            .map(hash)
            .collect::<Option<Vec<Hash>>>()
            .filter(|proof| proof.len() <= PROOF_MAX)
            .ok_or(malformed)?;
        Ok(Self { old, proof, checkpoint: SignedCheckpoint::parse(checkpoint)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "witness.example/w1";
    const TIME: u64 = 1_679_315_147;

    fn key() -> Ed25519SigningKey {
        Ed25519SigningKey::from_seed(&[8; 32]).unwrap()
    }

    fn head() -> Checkpoint {
        Checkpoint { origin: "example.com/behind-the-sofa".into(), size: 20_852_163, root: [9; 32] }
    }

    fn cosigner() -> CosignerKey {
        CosignerKey::new(NAME, key().public()).unwrap()
    }

    #[test]
    fn the_message_is_that_of_the_specification() {
        let wanted = format!(
            "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n{}\n",
            BASE64.encode(&[9; 32])
        );
        assert_eq!(message(&head(), TIME), wanted);
        // The key id is over the name, a newline, 0x04 and the key; a log's key of the same name has another one.
        let log = crate::checkpoint::VerifierKey::new(NAME, key().public()).unwrap();
        assert_ne!(log.key_id(), cosigner().key_id);
        assert_eq!(CosignerKey::from_text(&cosigner().to_text()), Ok(cosigner()));
        assert!(CosignerKey::from_text(&log.to_text()).is_err(), "a log's key is no witness's");
    }

    /// Made by Python's `cryptography` from the text of the specification; Ed25519 has one signature for a message.
    #[test]
    fn another_implementation_writes_the_same_line() {
        let line = "\u{2014} witness.example/w1 /qOxhwAAAABkGFDLQBe+4ygVptvdp2s51Ob7cUHQ+N9nVxB+TiLARKfdqM75zpLxc0QLVZ7eknICoxaatpqh9bxGo/0D+0sAuPk3Aw==\n";
        assert_eq!(cosign(&head(), &key(), NAME, TIME).unwrap(), line);
        assert_eq!(cosigner().to_text(), "witness.example/w1+fea3b187+BBOY9ixtGkV8UbpqS189vS9p/KkyFiGNyJl+QWvRfZPK");
    }

    /// By a witness of the world outside, over a head of a log of the world outside.
    #[test]
    fn a_public_witness_is_read() {
        let told = include_str!("../../../testdata/vectors/c2sp-cosigned/checkpoint.json");
        let told: serde_json::Value = serde_json::from_str(told).unwrap();
        let witness = CosignerKey::from_text(told["witness"].as_str().unwrap()).unwrap();
        let note = told["note"].as_str().unwrap();
        let read = SignedCheckpoint::parse(note).unwrap();
        assert_eq!(read.checkpoint().size, told["size"].as_u64().unwrap());
        assert_eq!(witness.verify_note(&read), Ok(told["time"].as_u64().unwrap()));
        let other = note.replacen("1432088532", "1432088533", 1);
        let other = SignedCheckpoint::parse(&other).unwrap();
        assert_eq!(witness.verify_note(&other), Err(CheckpointError::BadSignature));
    }

    #[test]
    fn a_cosignature_verifies_for_its_head_its_time_and_its_witness_alone() {
        let line = cosign(&head(), &key(), NAME, TIME).unwrap();
        assert_eq!(cosigner().verify(&head(), &line), Ok(TIME));
        assert_eq!(cosigner().verify(&head(), line.trim_end()), Ok(TIME));
        for other in [
            Checkpoint { size: 20_852_164, ..head() },
            Checkpoint { root: [8; 32], ..head() },
            Checkpoint { origin: "example.com/beside-the-sofa".into(), ..head() },
        ] {
            assert_eq!(cosigner().verify(&other, &line), Err(CheckpointError::BadSignature));
        }
        let stranger = CosignerKey::new(NAME, Ed25519SigningKey::from_seed(&[7; 32]).unwrap().public()).unwrap();
        assert_eq!(stranger.verify(&head(), &line), Err(CheckpointError::UnknownKey));
        // Every bit of its base64 counts: key id, time and signature.
        let blob = BASE64.decode(line.trim_end().rsplit(' ').next().unwrap().as_bytes()).unwrap();
        assert_eq!(blob.len(), 4 + 8 + 64);
        for at in 0..blob.len() {
            let mut bad = blob.clone();
            bad[at] ^= 1;
            let bad = format!("\u{2014} {NAME} {}\n", BASE64.encode(&bad));
            assert!(cosigner().verify(&head(), &bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_request_reads_back_to_the_letter() {
        let signed = SignedCheckpoint::sign(&head(), &key(), "example.com/behind-the-sofa").unwrap();
        for (old, proof) in [(0, vec![]), (20_852_014, vec![[1; 32], [2; 32]])] {
            let request = AddCheckpoint { old, proof, checkpoint: signed.clone() };
            let text = request.to_text();
            assert_eq!(AddCheckpoint::parse(&text), Ok(request));
            for (from, to) in [("old ", "old  "), ("old ", "old 0"), ("old ", "new "), ("\n\n", "\n")] {
                let bad = text.replacen(from, to, 1);
                assert!(bad == text || AddCheckpoint::parse(&bad).is_err(), "{bad}");
            }
        }
        let many = AddCheckpoint { old: 1, proof: vec![[1; 32]; 64], checkpoint: signed };
        assert!(AddCheckpoint::parse(&many.to_text()).is_err(), "more than 63 lines");
    }

    #[test]
    fn a_note_takes_the_lines_of_witnesses() {
        let signed = SignedCheckpoint::sign(&head(), &key(), "example.com/behind-the-sofa").unwrap();
        let line = cosign(&head(), &key(), NAME, TIME).unwrap();
        let both = signed.with_lines([line.as_str()]).unwrap();
        assert_eq!(both.text(), format!("{}{line}", signed.text()));
        assert_eq!(both.checkpoint(), &head());
        assert!(signed.with_lines(["no line\n"]).is_err());
        assert_eq!(cosigner().verify_note(&both), Ok(TIME));
        assert_eq!(cosigner().verify_note(&signed), Err(CheckpointError::UnknownKey));
        // Of two lines in its name the earlier counts; one that is forged spoils both.
        let later = cosign(&head(), &key(), NAME, TIME + 5).unwrap();
        let twice = signed.with_lines([later.as_str(), line.as_str()]).unwrap();
        assert_eq!(cosigner().verify_note(&twice), Ok(TIME));
        let other = cosign(&Checkpoint { size: 1, ..head() }, &key(), NAME, TIME).unwrap();
        let forged = signed.with_lines([line.as_str(), other.as_str()]).unwrap();
        assert_eq!(cosigner().verify_note(&forged), Err(CheckpointError::BadSignature));
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_the_letter_or_refused(text in "(old )?[a-z0-9+=\u{2014} \n]{0,120}") {
            let _ = CosignerKey::from_text(&text);
            let _ = cosigner().verify(&head(), &text);
            let _ = AddCheckpoint::parse(&text).map(|one| assert_eq!(one.to_text(), text));
        }
    }
}
