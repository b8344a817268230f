//! The ring: a small file with every version of a tenant's data and index roots, wrapped.
//!
//! It holds no key in the clear. What opens it is a [`KeyProvider`]: 32 bytes in a file of mode 600, or an HSM, a cloud
//! KMS, Vault. Its owner's mode is 600 all the same, and a code over its whole content tells a changed ring from a good one.

use std::{fs, path::Path};

use chancery_crypto::{Handle, Key256, MacKey, SystemRandom, WrapContext, WrappingKey, derive_key, random};
use chancery_domain::{
    TenantId,
    keyring::{EmbeddedRoot, KeyProvider, KeyState, Keyring, WrapLabel},
};
use chancery_kms::private_file::{self, PrivateFileError};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use crate::error::SealerError;

/// Far above what a ring of a thousand versions takes.
const MAX_BYTES: usize = 1 << 20;
const FORMAT: &str = "chancery-ring/1";
/// What a provider binds the ring's root to.
const LABEL: WrapLabel<'static> = WrapLabel { environment: "in-process", purpose: "sealed-ring", version: 1 };

/// What a root is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootUse {
    /// Sealing values.
    Data,
    /// Deriving search terms.
    Index,
}

impl RootUse {
    const fn purpose(self) -> &'static [u8] {
        match self {
            Self::Data => b"data",
            Self::Index => b"index",
        }
    }
}

/// A version of a root, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Version {
    pub(crate) root: RootUse,
    pub(crate) version: u32,
    pub(crate) handle: String,
    pub(crate) state: KeyState,
    wrapped: String,
}

/// The file's content.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ring {
    format: String,
    pub(crate) tenant: TenantId,
    provider: String,
    label: String,
    wrapped_root: String,
    pub(crate) versions: Vec<Version>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    mac: String,
}

/// The ring's own root, unwrapped: it wraps the versions and authenticates the file.
pub(crate) struct RingRoot {
    key: Key256,
    mac: MacKey,
}

impl RingRoot {
    fn new(key: Key256) -> Self {
        let mac = MacKey::from(&derive_key(&key, "chancery/ring/mac/1", &[]));
        Self { key, mac }
    }

    fn wrapping(&self) -> WrappingKey {
        // One root per ring, so its name says nothing and need not differ.
        WrappingKey::new(&derive_key(&self.key, "chancery/ring/wrap/1", &[]), Handle(*b"ringroot"))
    }
}

impl Ring {
    /// A new ring with one version of each root, under a root that `provider` wraps.
    pub(crate) async fn make(provider: &dyn KeyProvider, path: &Path) -> Result<(Self, RingRoot), SealerError> {
        let root = RingRoot::new(Key256::make(&SystemRandom)?);
        let failed = |source| SealerError::Provider { ring: path.to_owned(), source };
        let wrapped = provider.wrap(&root.key, LABEL).await.map_err(failed)?;
        // Read back before it counts: a wrap that does not open would lose every value.
        let opened = provider.unwrap(&wrapped, LABEL).await.map_err(failed)?;
        if opened.expose() != root.key.expose() {
            return Err(SealerError::Damaged { ring: path.to_owned(), what: "the provider gave back another key" });
        }
        let mut ring = Self {
            format: FORMAT.to_owned(),
            tenant: TenantId::from_bytes(random::array(&SystemRandom)?),
            provider: provider.kind().as_str().to_owned(),
            label: provider.label(),
            wrapped_root: BASE64URL_NOPAD.encode(&wrapped),
            versions: Vec::new(),
            mac: String::new(),
        };
        ring.add(RootUse::Data, &root)?;
        ring.add(RootUse::Index, &root)?;
        Ok((ring, root))
    }

    /// Reads a ring, unwraps its root and checks its code.
    pub(crate) async fn read(provider: &dyn KeyProvider, path: &Path) -> Result<(Self, RingRoot), SealerError> {
        let ring = Self::parse(path)?;
        let damaged = |what| SealerError::Damaged { ring: path.to_owned(), what };
        let wrapped = BASE64URL_NOPAD.decode(ring.wrapped_root.as_bytes()).map_err(|_| damaged("its root"))?;
        let key = provider.unwrap(&wrapped, LABEL).await;
        let key = key.map_err(|source| SealerError::Provider { ring: path.to_owned(), source })?;
        let root = RingRoot::new(key);
        ring.check(&root, path)?;
        Ok((ring, root))
    }

    /// Reads it again under a root that is known.
    pub(crate) fn read_again(root: &RingRoot, path: &Path) -> Result<Self, SealerError> {
        let ring = Self::parse(path)?;
        ring.check(root, path)?;
        Ok(ring)
    }

    fn parse(path: &Path) -> Result<Self, SealerError> {
        let bytes = private_file::read(path, MAX_BYTES)?;
        let damaged = |what| SealerError::Damaged { ring: path.to_owned(), what };
        let ring: Self = serde_json::from_slice(&bytes).map_err(|_| damaged("not a ring"))?;
        if ring.format == FORMAT { Ok(ring) } else { Err(damaged("of a later version")) }
    }

    fn check(&self, root: &RingRoot, path: &Path) -> Result<(), SealerError> {
        let tag = BASE64URL_NOPAD.decode(self.mac.as_bytes()).unwrap_or_default();
        if root.mac.verify(&[&self.unsigned()], &tag) {
            Ok(())
        } else {
            Err(SealerError::Damaged { ring: path.to_owned(), what: "its code does not match" })
        }
    }

    /// What the code is over: all but the code.
    fn unsigned(&self) -> Vec<u8> {
        let bare = Self { mac: String::new(), ..self.clone() };
        serde_json::to_vec(&bare).unwrap_or_default()
    }

    /// Adds an active version; the one before it opens on.
    pub(crate) fn add(&mut self, root_use: RootUse, root: &RingRoot) -> Result<u32, SealerError> {
        let last = self.versions.iter().filter(|version| version.root == root_use).map(|version| version.version).max();
        let version = last.unwrap_or(0).saturating_add(1);
        let (material, handle) = (Key256::make(&SystemRandom)?, Handle::make(&SystemRandom)?);
        let tenant = self.tenant.to_bytes();
        let wrapped = root.wrapping().wrap(&context(&tenant, root_use, version), material.expose(), &SystemRandom);
        let wrapped = BASE64URL_NOPAD.encode(&wrapped.map_err(|_| random::RandomError)?);
        for old in self.versions.iter_mut().filter(|old| old.root == root_use && old.state == KeyState::Active) {
            old.state = KeyState::Rotating;
        }
        let state = KeyState::Active;
        self.versions.push(Version { root: root_use, version, handle: handle.to_hex(), state, wrapped });
        Ok(version)
    }

    /// Writes a ring where there is none.
    pub(crate) fn create(mut self, root: &RingRoot, path: &Path) -> Result<Self, SealerError> {
        let text = self.signed(root);
        private_file::create(path, &text)?;
        Ok(self)
    }

    /// Puts this ring in the place of the one that is there: completely or not at all, durable when it returns.
    pub(crate) fn replace(mut self, root: &RingRoot, path: &Path) -> Result<Self, SealerError> {
        let text = self.signed(root);
        let draft = path.with_extension(format!("ring.{}.new", std::process::id()));
        let _ = fs::remove_file(&draft); // of a process with our id that was killed here
        private_file::create(&draft, &text)?;
        let fault = |source| PrivateFileError::Io { path: path.to_owned(), source };
        fs::rename(&draft, path).map_err(fault)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(fault)?;
        Ok(self)
    }

    fn signed(&mut self, root: &RingRoot) -> Vec<u8> {
        self.mac = BASE64URL_NOPAD.encode(&root.mac.mac(&[&self.unsigned()]));
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// Unwraps every version.
    pub(crate) fn unwrap(&self, root: &RingRoot, path: &Path) -> Result<Keyring, SealerError> {
        let damaged = || SealerError::Damaged { ring: path.to_owned(), what: "a version does not unwrap" };
        let (tenant, wrapping) = (self.tenant.to_bytes(), root.wrapping());
        let unwrap = |version: &Version| {
            let wrapped = BASE64URL_NOPAD.decode(version.wrapped.as_bytes()).ok()?;
            let material = wrapping.unwrap(&context(&tenant, version.root, version.version), &wrapped).ok()?;
            let (material, handle) = (Key256::from_slice(material.expose())?, Handle::from_hex(&version.handle)?);
            Some(match version.root {
                RootUse::Data => EmbeddedRoot::data(handle, version.state, material),
                RootUse::Index => EmbeddedRoot::index(handle, version.state, material),
            })
        };
        let roots: Option<Vec<_>> = self.versions.iter().map(unwrap).collect();
        Ok(Keyring::embedded(self.tenant, root.wrapping(), roots.ok_or_else(damaged)?))
    }

    /// The version that seals.
    pub(crate) fn active(&self, root_use: RootUse) -> Option<&Version> {
        self.versions.iter().rev().find(|version| version.root == root_use && version.state == KeyState::Active)
    }
}

fn context(tenant: &[u8; 16], root_use: RootUse, version: u32) -> WrapContext<'_> {
    WrapContext { parent: b"chancery-ring", child: tenant, purpose: root_use.purpose(), version }
}
