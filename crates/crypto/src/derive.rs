//! Keys from keys.

use crate::frame;
use crate::hazmat::{self, Prf};
use crate::secret::Key256;

/// Derives a 256-bit key: HKDF-Expand-SHA-256 with info = `label ‖ LV(parts[0]) ‖ …`
/// ([RFC 5869 §2.3](https://www.rfc-editor.org/rfc/rfc5869#section-2.3); the extract step is not needed, `root` is uniform).
///
/// Each use has its own `label`, such as `chancery/pepper/1`. Labels are constants of ours and no label begins with another one.
pub fn derive_key(root: &Key256, label: &str, parts: &[&[u8]]) -> Key256 {
    let out = hazmat::expand::<32>(&Prf::new(root.expose()), &frame::labelled(label.as_bytes(), parts));
    Key256::from_bytes(*out)
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn other_roots_labels_and_parts_give_other_keys() {
        let root = Key256::from_bytes([1; 32]);
        let key = derive_key(&root, "chancery/test/1", &[b"ab", b"c"]);
        for other in [
            derive_key(&Key256::from_bytes([2; 32]), "chancery/test/1", &[b"ab", b"c"]),
            derive_key(&root, "chancery/test/2", &[b"ab", b"c"]),
            derive_key(&root, "chancery/test/1", &[b"a", b"bc"]),
            derive_key(&root, "chancery/test/1", &[b"ab"]),
        ] {
            assert_ne!(key.expose(), other.expose());
        }
    }

    #[test]
    fn expand_gives_the_bytes_of_rfc_5869() {
        // The SHA-256 cases of appendix A, expand step: PRK, INFO, OKM.
        let text = include_str!("../../../testdata/vectors/kdf/rfc-5869-HKDF-SHA256.txt");
        let field = |block: &str, name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='));
            HEXLOWER.decode(line.unwrap_or_default().trim().as_bytes()).unwrap()
        };
        let mut cases = 0;
        for block in text.split("COUNT").skip(1) {
            let (info, wanted) = (field(block, "info"), field(block, "OKM"));
            let mut scratch = [vec![0; 32], info, vec![0]].concat();
            let mut out = vec![0; wanted.len()];
            hazmat::expand_in(&Prf::new(&field(block, "PRK")), &mut scratch, &mut out);
            assert_eq!(out, wanted);
            cases += 1;
        }
        assert_eq!(cases, 3);
    }
}
