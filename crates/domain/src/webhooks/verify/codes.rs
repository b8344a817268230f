//! Messages with an HMAC in a layout.

use chancery_crypto::{MacKey, legacy::hmac_sha1};
use subtle::ConstantTimeEq as _;

use super::super::{Form, Hash, Layout, Material, Message, Rejection, layout::Part};
use super::{Verified, digest, moment, note};
use crate::Timestamp;

/// The most codes that one message may bring.
pub(super) const MAX_CODES: usize = 8;

pub(super) fn verify(
    layout: &Layout,
    secrets: &[Material],
    message: &Message<'_>,
    now: Timestamp,
) -> Result<Verified, Rejection> {
    let header = message.one(&layout.header)?;
    let (written, stamp) = match &layout.form {
        Form::Plain => (vec![header], layout.stamp.as_ref().map(|stamp| message.one(&stamp.place)).transpose()?),
        Form::Pairs(name) => {
            let written = pairs(header, name).collect();
            (written, layout.stamp.as_ref().map(|stamp| only(pairs(header, &stamp.place))).transpose()?)
        }
    };
    if written.is_empty() || written.len() > MAX_CODES {
        return Err(Rejection::Unsigned);
    }
    let code = |text: &&str| layout.encoding.decode(text.strip_prefix(layout.prefix.as_str())?);
    let codes: Vec<Vec<u8>> = written.iter().filter_map(code).collect();
    if codes.is_empty() {
        return Err(Rejection::Malformed);
    }
    let id = layout.id.as_ref().map(|name| message.one(name)).transpose()?;
    // Where the id ended would be anybody's choice: one code for many messages.
    let ends_elsewhere = |id: &str, text: &str| {
        format!("{id}{text}").find(text) != Some(id.len()) || format!("{text}{id}").rfind(text) != Some(0)
    };
    if id.is_some_and(|id| layout.signed.beside_id().flatten().any(|text| ends_elsewhere(id, text))) {
        return Err(Rejection::Malformed);
    }
    let parts = parts(layout, stamp.unwrap_or_default(), id.unwrap_or_default(), message.body);
    let mut found = None;
    for (index, secret) in secrets.iter().enumerate() {
        let Material::Mac(key) = secret else { continue };
        let expected = mac(layout.hash, key.expose(), &parts);
        for code in &codes {
            note(&mut found, index, expected.ct_eq(code).into());
        }
    }
    let secret = found.ok_or(Rejection::WrongSignature)?;
    let sent_at = layout.stamp.as_ref().map(|how| moment(stamp.unwrap_or_default(), how.unit, now)).transpose()?;
    let identity = match id {
        Some(id) => digest(b"webhook id\n", &[id.as_bytes()]),
        None => digest(b"webhook body\n", &[message.body]),
    };
    let copy = sent_at.map(|_| digest(b"webhook copy\n", &parts));
    Ok(Verified { secret, sent_at, identity, has_id: id.is_some(), copy, counter: None })
}

/// What is signed, in pieces.
pub(in super::super) fn parts<'a>(layout: &'a Layout, stamp: &'a str, id: &'a str, body: &'a [u8]) -> Vec<&'a [u8]> {
    let each = |part: &'a Part| match part {
        Part::Text(text) => text.as_bytes(),
        Part::Timestamp => stamp.as_bytes(),
        Part::Id => id.as_bytes(),
        Part::Body => body,
    };
    layout.signed.parts().iter().map(each).collect()
}

/// The code over the pieces.
pub(in super::super) fn mac(hash: Hash, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    match hash {
        Hash::Sha256 => MacKey::of_others(key).raw_parts(parts).to_vec(),
        Hash::Sha1 => hmac_sha1(key, &parts.concat()).to_vec(),
    }
}

/// The values of this name in `name=value,name=value`.
fn pairs<'h>(header: &'h str, name: &str) -> impl Iterator<Item = &'h str> {
    let each = header.split(',').map(str::trim).filter_map(|pair| pair.split_once('='));
    each.filter(move |(other, _)| *other == name).map(|(_, value)| value)
}

fn only<'h>(mut values: impl Iterator<Item = &'h str>) -> Result<&'h str, Rejection> {
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(Rejection::Unsigned),
    }
}
