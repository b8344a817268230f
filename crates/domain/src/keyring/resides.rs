//! Versions of named keys that live in a provider.

use super::{Key, KeyError, create::Drawn};
use crate::{Instance, faults::Faults};

/// Makes a version of `key` in the provider that the key names.
pub(super) async fn make(_: &Instance, _: &Key) -> Result<Drawn, KeyError> {
    Err(Faults::one("/provider", "not_configured", "this server has no such provider for resident keys").into())
}
