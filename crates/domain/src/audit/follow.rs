//! How somebody follows a log: what comes next of the kinds that it wants, piece by piece. For sinks, and for webhooks to subscribers.

use super::{EventFilter, LoggedEvent, damage};
use crate::store::{StoreError, View};

/// A piece of a log.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Events of the kinds that are wanted.
    pub(crate) events: Vec<LoggedEvent>,
    /// Where whoever has them is.
    pub(crate) next: u64,
    /// What lies there is damaged: nothing comes until somebody mends it, or lets it be passed over.
    pub(crate) damaged: bool,
}

/// What comes from `position` on, of the first `size` events: at most `limit` of these kinds, or of all if none is named; what is
/// before a damaged one comes without it.
pub(crate) async fn piece(
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
