//! How somebody follows a log: what comes next of the kinds that it wants, piece by piece. For sinks, and for webhooks to subscribers.

use std::ops::Range;

use super::{EventFilter, LoggedEvent, damage, retention::Purged};
use crate::{
    Instance,
    ids::TenantId,
    instance::Failure,
    store::{StoreError, View},
};

/// How many places are looked at at once.
const PLACES: u32 = 4_096;

/// A piece of a log.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Events of the kinds that are wanted.
    pub(crate) events: Vec<LoggedEvent>,
    /// Where whoever has them is.
    pub(crate) next: u64,
    /// What lies there is damaged, or somebody took it away: nothing comes until somebody mends it, or lets it be passed over.
    pub(crate) damaged: bool,
}

/// What comes from `position` on, of the first `size` events: at most `limit` of these kinds, or of all if none is named; what is
/// before a damaged one, or one that is missing, comes without it.
pub(crate) async fn piece(
    instance: &Instance,
    tenant: TenantId,
    view: &mut dyn View,
    kinds: &[String],
    position: u64,
    size: u64,
    limit: u32,
) -> Result<Piece, Failure> {
    let mut piece = stored(view, kinds, position, size, limit).await?;
    if let Some(hole) = hole(instance, tenant, view, position, &piece).await? {
        piece.events.retain(|event| event.index < hole);
        (piece.next, piece.damaged) = (hole, true);
    }
    Ok(piece)
}

async fn stored(
    view: &mut dyn View,
    kinds: &[String],
    position: u64,
    size: u64,
    limit: u32,
) -> Result<Piece, StoreError> {
    let mut filter = EventFilter::after(position.checked_sub(1), limit);
    filter.kinds = kinds.to_vec();
    let found = damage::each(view, &filter).await?;
    let full = u32::try_from(found.len()).is_ok_and(|length| length >= limit);
    let mut events = Vec::with_capacity(found.len());
    for one in found {
        match one {
            Ok(event) if event.index < size => events.push(event),
            Err(place) if place < size => return Ok(Piece { events, next: place, damaged: true }),
            // What comes after it does too.
            Ok(_) | Err(_) => return Ok(Piece { events, next: size, damaged: false }),
        }
    }
    // If it is not full, there is nothing of its kinds between the last one and the end.
    let last = events.last().map(|event| event.index + 1).filter(|_| full);
    Ok(Piece { events, next: last.unwrap_or(size), damaged: false })
}

/// The first place of a piece where there is no event and none was purged by order.
async fn hole(
    instance: &Instance,
    tenant: TenantId,
    view: &mut dyn View,
    position: u64,
    piece: &Piece,
) -> Result<Option<u64>, Failure> {
    let places = position..piece.next;
    // Where all kinds are wanted it is mostly whole, and there is nothing to ask.
    if piece.events.iter().map(|event| event.index).eq(places.clone()) {
        return Ok(None);
    }
    let missing = missing(view, places).await?;
    if missing.is_empty() {
        return Ok(None);
    }
    // What is purged meanwhile is told of by now.
    let ring = instance.keyring(tenant).await?;
    let purged = Purged::told(view, &ring).await?;
    Ok(missing.into_iter().flatten().find(|place| !purged.covers(*place)))
}

/// Where there is no row of an event, whatever is in the others.
async fn missing(view: &mut dyn View, places: Range<u64>) -> Result<Vec<Range<u64>>, StoreError> {
    let (mut missing, mut at) = (Vec::new(), places.start);
    while at < places.end {
        let found = view.logged_places(&EventFilter::after(at.checked_sub(1), PLACES)).await?;
        let full = u32::try_from(found.len()).is_ok_and(|length| length >= PLACES);
        for place in found.into_iter().chain((!full).then_some(places.end)) {
            let place = place.min(places.end);
            if at < place {
                missing.push(at..place);
            }
            at = at.max(place + 1);
        }
    }
    Ok(missing)
}
