//! Whose certificates vouch for authenticators, and for which models.

use std::collections::BTreeMap;

use uuid::Uuid;
use webauthn_rs_core::proto::{AttestationCaList, AttestationCaListBuilder};

use crate::{BadVerifier, Makers};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// For the library. Each certificate may vouch for each model.
pub(crate) fn read(makers: &Makers<'_>) -> Result<AttestationCaList, BadVerifier> {
    if makers.models.is_empty() {
        return Err(BadVerifier::NoModel);
    }
    let mut list = AttestationCaListBuilder::new();
    let mut rest = makers.roots;
    let mut found = false;
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let (body, after) = after.split_once(END).ok_or(BadVerifier::Certificate)?;
        let one = format!("{BEGIN}{body}{END}\n");
        for model in makers.models {
            let id = Uuid::parse_str(model).map_err(|_| BadVerifier::Model)?;
            let inserted = list.insert_device_pem(one.as_bytes(), id, model.clone(), BTreeMap::new());
            inserted.map_err(|_| BadVerifier::Certificate)?;
        }
        (rest, found) = (after, true);
    }
    if found { Ok(list.build()) } else { Err(BadVerifier::NoCertificate) }
}
