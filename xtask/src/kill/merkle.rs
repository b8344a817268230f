//! RFC 6962 once more, written apart from `chancery-crypto`: a check that shares its code with what it checks would prove little.

use anyhow::{Context as _, Result, ensure};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest as _, Sha256};

pub(super) type Hash = [u8; 32];

/// The hash of one entry.
pub(super) fn leaf(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

/// The root over leaf hashes, [RFC 6962 §2.1](https://www.rfc-editor.org/rfc/rfc6962#section-2.1).
pub(super) fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            // The largest power of two that is smaller than the number of leaves.
            let split = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(split);
            Sha256::new().chain_update([1]).chain_update(root(left)).chain_update(root(right)).finalize().into()
        }
    }
}

/// Size and root of a C2SP checkpoint. Its signature is not looked at.
pub(super) fn checkpoint(text: &str) -> Result<(u64, Hash)> {
    let mut lines = text.lines();
    let origin = lines.next().context("an empty checkpoint")?;
    ensure!(!origin.is_empty(), "a checkpoint without origin");
    let size =
        lines.next().context("a checkpoint without size")?.parse().context("the checkpoint's size is no number")?;
    let root = lines.next().context("a checkpoint without root")?;
    let root = BASE64.decode(root.as_bytes()).context("the checkpoint's root is not base64")?;
    Ok((size, root.try_into().ok().context("the checkpoint's root is not 32 bytes long")?))
}

/// A hash as text, in whichever of the usual alphabets.
pub(super) fn parse(text: &str) -> Option<Hash> {
    let bytes = text.as_bytes();
    let decoded = HEXLOWER.decode(bytes).or_else(|_| BASE64URL_NOPAD.decode(bytes)).or_else(|_| BASE64.decode(bytes));
    decoded.ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The eight entries and roots that every RFC 6962 implementation is tested with.
    #[test]
    fn known_roots() {
        let entries: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let leaves: Vec<_> = entries.iter().map(|entry| leaf(entry)).collect();
        for (size, wanted) in [
            (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (5, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
            (7, "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ] {
            assert_eq!(HEXLOWER.encode(&root(&leaves[..size])), wanted, "{size}");
        }
    }

    #[test]
    fn checkpoints_are_taken_apart() {
        let zeros = BASE64.encode(&[0; 32]);
        let text = format!("chancery.test/t/abc\n42\n{zeros}\n\n— chancery.test/t/abc AAAA\n");
        assert_eq!(checkpoint(&text).unwrap(), (42, [0; 32]));
        for bad in ["", "o\n", "o\nx\nAAAA\n", "o\n1\nAAAA\n", "\n1\nx\n"] {
            assert!(checkpoint(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn hashes_are_read_in_each_alphabet() {
        let hash = leaf(b"x");
        for text in [HEXLOWER.encode(&hash), BASE64.encode(&hash), BASE64URL_NOPAD.encode(&hash)] {
            assert_eq!(parse(&text), Some(hash));
        }
        assert_eq!(parse("abc"), None);
    }
}
