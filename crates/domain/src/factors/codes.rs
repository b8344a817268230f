//! Recovery codes: ten letters of Crockford's base 32 each, 50 random bits, shown once.

use chancery_crypto::{MacKey, Secret, random};

use super::RecoveryCode;
use crate::{Instance, TenantId, ids::UserId, instance::Failure, keyring::PlatformRoot};

/// How many there are.
pub(super) const COUNT: usize = 10;
const LETTERS: usize = 10;
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LABEL: &[u8] = b"chancery/recovery-code/1";

/// Draws all codes of a user: for the store, and for the user's eyes.
pub(crate) async fn make(
    instance: &Instance,
    tenant: TenantId,
    user: UserId,
) -> Result<(Vec<RecoveryCode>, Vec<Secret<String>>), Failure> {
    let root = instance.leased_root().await?;
    let (pepper_version, pepper) = root.pepper();
    let (mut stored, mut shown) = (Vec::with_capacity(COUNT), Vec::with_capacity(COUNT));
    for _ in 0..COUNT {
        let drawn: [u8; LETTERS] = random::array(instance.random())?;
        let letter = |byte: u8| ALPHABET.get(usize::from(byte & 31)).copied().unwrap_or(b'0');
        let code: String = drawn.into_iter().map(|byte| char::from(letter(byte))).collect();
        let digest = digest(pepper, tenant, user, &code);
        stored.push(RecoveryCode { digest, pepper_version, used_at: None });
        let (first, second) = code.split_at(LETTERS / 2);
        shown.push(Secret::new(format!("{first}-{second}")));
    }
    Ok((stored, shown))
}

/// The unused code that `typed` is. All are compared.
pub(super) fn find<'a>(
    root: &PlatformRoot,
    (tenant, user): (TenantId, UserId),
    codes: &'a [RecoveryCode],
    typed: &str,
) -> Option<&'a RecoveryCode> {
    let typed = plain(typed)?;
    let mut found = None;
    for code in codes.iter().filter(|code| code.used_at.is_none()) {
        let Some(pepper) = root.pepper_of(code.pepper_version) else { continue };
        let [tenant, user] = [tenant.to_bytes(), user.to_bytes()];
        if pepper.verify(&[LABEL, &tenant, &user, typed.expose().as_bytes()], &code.digest) {
            found = Some(code);
        }
    }
    found
}

fn digest(pepper: &MacKey, tenant: TenantId, user: UserId, code: &str) -> [u8; 32] {
    pepper.mac(&[LABEL, &tenant.to_bytes(), &user.to_bytes(), code.as_bytes()])
}

/// A code as it was drawn: upper case, without what people put between letters, and with the letters that Crockford takes for
/// each other.
fn plain(typed: &str) -> Option<Secret<String>> {
    let letters = typed.chars().filter(|c| !c.is_whitespace() && *c != '-').map(|c| match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        letter => letter,
    });
    let code: String = letters.take(LETTERS + 1).collect();
    (code.len() == LETTERS && code.bytes().all(|byte| ALPHABET.contains(&byte))).then(|| Secret::new(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_may_be_typed_as_people_type() {
        for typed in ["0123456789", "01234-56789", " o1234 56789 ", "oi234-56789", "0l234-56789"] {
            assert_eq!(plain(typed).unwrap().expose(), "0123456789", "{typed}");
        }
        for odd in ["", "01234-5678", "01234-567890", "01234-5678U", "01234-5678é"] {
            assert!(plain(odd).is_none(), "{odd}");
        }
    }
}
