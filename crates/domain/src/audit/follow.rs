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

/// The first place of a piece where there is no event and none was purged by order. Looked for from the beginning on, page by page: who
/// stands before one asks again and again, and a whole log may lie behind it.
async fn hole(
    instance: &Instance,
    tenant: TenantId,
    view: &mut dyn View,
    position: u64,
    piece: &Piece,
) -> Result<Option<u64>, Failure> {
    // Where all kinds are wanted it is mostly whole, and there is nothing to ask.
    if piece.events.iter().map(|event| event.index).eq(position..piece.next) {
        return Ok(None);
    }
    let (mut at, mut purged) = (position, Purged::default());
    while at < piece.next {
        for gap in missing(view, &mut at, piece.next).await? {
            if purged.first_uncovered(gap.clone()).is_some() {
                // What is purged meanwhile is told of by now.
                let ring = instance.keyring(tenant).await?;
                purged = Purged::told(view, &ring).await?;
            }
            if let Some(hole) = purged.first_uncovered(gap) {
                return Ok(Some(hole));
            }
        }
    }
    Ok(None)
}

/// Where there is no row of an event, whatever is in the others, in a page from `at` to `end`; moves `at` behind it.
async fn missing(view: &mut dyn View, at: &mut u64, end: u64) -> Result<Vec<Range<u64>>, StoreError> {
    let found = view.logged_places(&EventFilter::after(at.checked_sub(1), PLACES)).await?;
    let full = u32::try_from(found.len()).is_ok_and(|length| length >= PLACES);
    let mut missing = Vec::new();
    for place in found.into_iter().chain((!full).then_some(end)) {
        let place = place.min(end);
        if *at < place {
            missing.push(*at..place);
        }
        *at = (*at).max(place.saturating_add(1));
    }
    Ok(missing)
}
