//! Who may do what with a named key: its access policy, its purpose, its type. Pure: one table, one test.

use super::{AccessPolicy, Key, KeyPurpose, KeyType};
use crate::{
    access::{Caller, Permission, Role, Subject},
    ids::UserId,
};

codes! {
    /// What is done with a named key.
    pub enum Operation {
        /// Signs, or makes a message authentication code.
        Sign = "sign",
        /// Verifies a signature or code.
        Verify = "verify",
        /// Encrypts.
        Encrypt = "encrypt",
        /// Decrypts.
        Decrypt = "decrypt",
        /// Wraps another key.
        Wrap = "wrap",
        /// Unwraps another key.
        Unwrap = "unwrap",
        /// Reads the public half.
        ReadPublic = "read_public",
    }
}

impl Operation {
    /// Whether only the active version does it; the others undo what older versions did.
    pub const fn is_new(self) -> bool {
        matches!(self, Self::Sign | Self::Encrypt | Self::Wrap)
    }
}

impl KeyPurpose {
    /// Whether a key for this purpose does `operation`.
    pub const fn allows(self, operation: Operation) -> bool {
        use Operation::{Decrypt, Encrypt, ReadPublic, Sign, Unwrap, Verify, Wrap};
        match self {
            Self::Signing | Self::Jwt | Self::ApiKey => matches!(operation, Sign | Verify | ReadPublic),
            Self::Encryption | Self::Database | Self::Backup => {
                matches!(operation, Encrypt | Decrypt | Wrap | Unwrap | ReadPublic)
            }
            Self::HsmWrapping => matches!(operation, Wrap | Unwrap | ReadPublic),
        }
    }

    /// Whether a key of this type can serve it: elliptic curves do not encrypt, AES does not sign for others.
    pub const fn suits(self, key_type: KeyType) -> bool {
        use KeyType::{Aes256, EcP256, EcP384, Ed25519, Rsa2048, Rsa4096};
        match self {
            Self::Signing | Self::Jwt => matches!(key_type, Rsa2048 | Rsa4096 | EcP256 | EcP384 | Ed25519),
            Self::ApiKey | Self::Database => matches!(key_type, Aes256),
            Self::Encryption | Self::Backup | Self::HsmWrapping => matches!(key_type, Aes256 | Rsa2048 | Rsa4096),
        }
    }
}

/// What a policy wants to know of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requester {
    /// The person, if it is one, by whatever credential.
    pub user: Option<UserId>,
    /// Whether it is a program with a credential of its own, not a person's login (AZ-06).
    pub program: bool,
    /// Whether that program is a service by its role.
    pub service: bool,
    /// Whether it holds `keys.use`.
    pub uses: bool,
    /// Whether it holds `keys.use_admin_only`.
    pub admin: bool,
    /// Whether it holds `keys.read`.
    pub reads: bool,
}

impl From<&Caller> for Requester {
    fn from(caller: &Caller) -> Self {
        // A key that acts as a user is that user's login by another name.
        let program = matches!(caller.subject(), Subject::ApiKey(_));
        Self {
            user: caller.user(),
            program,
            service: program && caller.roles().contains(Role::Service),
            uses: caller.may(Permission::KeysUse),
            admin: caller.may(Permission::KeysUseAdminOnly),
            reads: caller.may(Permission::KeysRead),
        }
    }
}

/// Whether `policy` lets this caller do `operation` (AZ-05). Whatever is not named here is refused.
pub fn permits(policy: AccessPolicy, allowed: &[UserId], caller: Requester, operation: Operation) -> bool {
    let reads_public = operation == Operation::ReadPublic;
    if reads_public && (caller.reads || policy == AccessPolicy::PublicRead) {
        return true;
    }
    let named = match policy {
        AccessPolicy::AdminOnly => caller.admin,
        AccessPolicy::ServiceAccount => caller.program && caller.service,
        AccessPolicy::Application => caller.program,
        AccessPolicy::UserSpecific => caller.user.is_some_and(|user| allowed.contains(&user)),
        // The public half only, above.
        AccessPolicy::PublicRead => false,
    };
    named && caller.uses
}

impl Key {
    /// Whether its access policy lets this caller do `operation`.
    pub(crate) fn permits(&self, caller: &Caller, operation: Operation) -> bool {
        permits(self.access_policy, &self.allowed_users, caller.into(), operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: UserId = UserId::from_bytes([1; 16]);
    const BOB: UserId = UserId::from_bytes([2; 16]);
    const NOBODY: Requester =
        Requester { user: None, program: false, service: false, uses: false, admin: false, reads: false };

    #[test]
    fn each_policy_lets_in_whom_it_names_and_nobody_else() {
        use AccessPolicy::{AdminOnly, Application, PublicRead, ServiceAccount, UserSpecific};
        let callers = [
            ("officer", Requester { user: Some(BOB), uses: true, admin: true, reads: true, ..NOBODY }),
            ("officer's program", Requester { program: true, uses: true, admin: true, reads: true, ..NOBODY }),
            ("service", Requester { program: true, service: true, uses: true, ..NOBODY }),
            ("program", Requester { program: true, uses: true, ..NOBODY }),
            ("listed person", Requester { user: Some(ANN), uses: true, ..NOBODY }),
            ("other person", Requester { user: Some(BOB), uses: true, ..NOBODY }),
            ("listed person without the role", Requester { user: Some(ANN), ..NOBODY }),
            ("service without the role", Requester { program: true, service: true, ..NOBODY }),
            ("auditor", Requester { user: Some(BOB), reads: true, ..NOBODY }),
            ("nobody", NOBODY),
        ];
        let may: [(AccessPolicy, &[&str]); 5] = [
            (AdminOnly, &["officer", "officer's program"]),
            (ServiceAccount, &["service"]),
            (Application, &["officer's program", "service", "program"]),
            (UserSpecific, &["listed person"]),
            (PublicRead, &[]),
        ];
        for (policy, named) in may {
            for (name, caller) in callers {
                for operation in Operation::ALL {
                    let public = *operation == Operation::ReadPublic && (caller.reads || policy == PublicRead);
                    let expected = named.contains(&name) || public;
                    assert_eq!(permits(policy, &[ANN], caller, *operation), expected, "{policy} {name} {operation}");
                }
            }
        }
    }

    #[test]
    fn a_purpose_limits_what_a_key_does() {
        let does = |purpose: KeyPurpose| {
            let all = Operation::ALL.iter().filter(|operation| purpose.allows(**operation));
            all.map(|operation| operation.as_str()).collect::<Vec<_>>().join(" ")
        };
        let table: Vec<String> =
            KeyPurpose::ALL.iter().map(|purpose| format!("{purpose}: {}", does(*purpose))).collect();
        assert_eq!(
            table,
            [
                "encryption: encrypt decrypt wrap unwrap read_public",
                "signing: sign verify read_public",
                "jwt: sign verify read_public",
                "api_key: sign verify read_public",
                "database: encrypt decrypt wrap unwrap read_public",
                "backup: encrypt decrypt wrap unwrap read_public",
                "hsm_wrapping: wrap unwrap read_public",
            ]
        );
    }

    #[test]
    fn a_type_suits_only_some_purposes() {
        let suits = |key_type: KeyType| {
            let all = KeyPurpose::ALL.iter().filter(|purpose| purpose.suits(key_type));
            all.map(|purpose| purpose.as_str()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(suits(KeyType::Aes256), "encryption api_key database backup hsm_wrapping");
        assert_eq!(suits(KeyType::Rsa2048), "encryption signing jwt backup hsm_wrapping");
        assert_eq!(suits(KeyType::Rsa4096), suits(KeyType::Rsa2048));
        for curve in [KeyType::EcP256, KeyType::EcP384, KeyType::Ed25519] {
            assert_eq!(suits(curve), "signing jwt");
        }
    }
}
