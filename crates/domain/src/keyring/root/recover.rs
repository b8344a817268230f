//! Brings a root back to a provider with another one: after the first was lost.

use super::{Known, PlatformRoot, RootError, recipient, request, sure, unsure};
use crate::{
    Instance,
    audit::{Change, Detail, Event, EventKind, stamp::Actor},
    ids::{NodeId, TenantId},
    instance::{Ports, Settings},
    keyring::{KeyProvider, ProviderError, RootRecipient},
};

/// Adds a recipient: opens the root with `from`, wraps it for the provider that `to` makes, and stores that
/// in one commit with its event: every version that `from` gives, since a rotation may be under way. `to` is called only
/// after the root was opened.
///
/// # Errors
///
/// [`RootError`]; the store is as before, except perhaps after [`RootError::Unsure`].
pub async fn recover<F>(
    ports: &Ports,
    settings: &Settings,
    node: NodeId,
    from: &dyn KeyProvider,
    to: F,
) -> Result<RootRecipient, RootError>
where
    F: FnOnce() -> Result<Box<dyn KeyProvider>, ProviderError> + Send,
{
    let known = Known::read(ports, settings).await?;
    let environment = settings.environment.as_str();
    let mut drawn = vec![known.unwrap(from, known.version, environment).await?];
    for version in known.versions().into_iter().filter(|version| *version != known.version) {
        match known.unwrap(from, version, environment).await {
            Ok(older) => drawn.push(older),
            // It was made when the rotation was under way already.
            Err(RootError::NoRecipient) => {}
            Err(error) => return Err(error),
        }
    }
    let made = to().map_err(|error| RootError::Provider("the new recipient".to_owned(), error))?;
    let now = ports.clock.now();
    let mut wraps = Vec::with_capacity(drawn.len());
    for version in &drawn {
        wraps.push(recipient(&*made, version, ports, settings, now).await?);
    }
    let added = wraps.first().cloned().ok_or(RootError::Damaged)?;

    let opened = PlatformRoot::new(drawn, &known.secrets)?;
    let instance = Instance::assemble(ports.clone(), settings.clone(), node, opened)?;
    let request = request(&instance, "recover")?;
    let ring = instance.keyring(TenantId::PLATFORM).await.map_err(sure)?;
    let begun = Change::begin_with(&instance, Actor::System(&request), TenantId::PLATFORM, ring).await;
    let mut change = begun.map_err(sure)?;
    for wrap in &wraps {
        change.rows().insert_root_recipient(wrap).await?;
    }
    let event = Event::new(EventKind::RootRecipientAdded)
        .on("root_recipient", added.id)
        .with("provider", Detail::Code(added.provider.as_str()));
    change.commit(event).await.map_err(unsure)?;
    Ok(added)
}
