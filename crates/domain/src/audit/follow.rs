//! How somebody follows a log: what comes next of the kinds that it wants, piece by piece. For sinks, and for webhooks to subscribers.

use super::{EventFilter, LoggedEvent};
use crate::store::{StoreError, View};

/// A piece of a log.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Events of the kinds that are wanted.
    pub(crate) events: Vec<LoggedEvent>,
    /// Where whoever has them is.
    pub(crate) next: u64,
}

/// What comes from `position` on, of the first `size` events: at most `limit` of these kinds, or of all if none is named.
pub(crate) async fn piece(
    view: &mut dyn View,
    kinds: &[String],
    position: u64,
    size: u64,
    limit: u32,
) -> Result<Piece, StoreError> {
    let mut filter = EventFilter::after(position.checked_sub(1), limit);
    filter.kinds = kinds.to_vec();
    let mut events = view.logged_events(&filter).await?;
    let full = u32::try_from(events.len()).is_ok_and(|length| length >= limit);
    let last = events.last().map(|event| event.index + 1);
    events.retain(|event| event.index < size);
    // If it is not full, there is nothing of its kinds between the last one and the end.
    let next = if full { last.unwrap_or(size).min(size) } else { size };
    Ok(Piece { events, next })
}

/// As [`piece`]; what is before a damaged row comes without it.
pub(crate) async fn next(
    view: &mut dyn View,
    kinds: &[String],
    position: u64,
    size: u64,
    limit: u32,
) -> Result<Piece, StoreError> {
    let mut limit = limit.max(1);
    loop {
        match piece(view, kinds, position, size, limit).await {
            Err(StoreError::Damaged(_)) if limit > 1 => limit /= 2,
            found => return found,
        }
    }
}
