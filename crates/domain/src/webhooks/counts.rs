//! What came of webhooks since this start, for the operator: by provider and by what it was, never by whose it was.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Direction, Provider, ReceiveError, Rejection};
use crate::instance::Failure;

codes! {
    /// What came of a message that somebody sent.
    pub enum Arrival {
        /// It was kept, to be handed on.
        Taken = "taken",
        /// It was sent anew and is there already.
        Again = "again",
        /// The provider asked whether we know what was agreed on, and we do.
        Asked = "asked",
        /// It does not say what it must.
        Unsigned = "unsigned",
        /// What it says has another form.
        Malformed = "malformed",
        /// Its moment is not within five minutes.
        OutsideWindow = "outside_window",
        /// No secret makes its signature.
        WrongSignature = "wrong_signature",
        /// It is a copy.
        Replayed = "replayed",
        /// It is longer than is kept.
        TooLong = "too_long",
        /// There is no such source, or it takes nothing.
        Unknown = "unknown",
        /// Too many wait already.
        Full = "full",
        /// The sender's keys could not be had.
        NoKeys = "no_keys",
        /// Something of ours failed.
        Failed = "failed",
    }
}

codes! {
    /// What came of a try to hand a webhook on.
    pub enum Tried {
        /// Whoever it is for has it.
        Delivered = "delivered",
        /// It is tried again.
        Retried = "retried",
        /// It waits for somebody.
        Quarantined = "quarantined",
    }
}

impl From<&ReceiveError> for Arrival {
    fn from(error: &ReceiveError) -> Self {
        match error {
            ReceiveError::Unknown => Self::Unknown,
            ReceiveError::Refused(_, rejection) => match rejection {
                Rejection::Unsigned => Self::Unsigned,
                Rejection::Malformed => Self::Malformed,
                Rejection::OutsideWindow => Self::OutsideWindow,
                Rejection::WrongSignature => Self::WrongSignature,
                Rejection::Replayed => Self::Replayed,
                Rejection::TooLong => Self::TooLong,
            },
            ReceiveError::TooLong => Self::TooLong,
            ReceiveError::Full => Self::Full,
            ReceiveError::Failed(Failure::Issuer(_)) => Self::NoKeys,
            ReceiveError::Failed(_) => Self::Failed,
        }
    }
}

const ARRIVALS: usize = Arrival::ALL.len();
const PROVIDERS: usize = Provider::ALL.len();
const TRIES: usize = Tried::ALL.len();

/// What came of webhooks since this start.
#[derive(Debug, Default)]
pub struct WebhookCounts {
    arrivals: [[AtomicU64; ARRIVALS]; PROVIDERS],
    /// Of nobody that we know.
    strangers: [AtomicU64; ARRIVALS],
    tries: [[AtomicU64; TRIES]; 2],
}

impl WebhookCounts {
    /// Somebody sent something.
    pub(super) fn arrived(&self, provider: Option<Provider>, arrival: Arrival) {
        let of = provider.map_or(Some(&self.strangers), |provider| self.arrivals.get(provider as usize));
        if let Some(counter) = of.and_then(|of| of.get(arrival as usize)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Something was handed on, or not.
    pub(super) fn tried(&self, direction: Direction, tried: Tried) {
        if let Some(counter) = self.tries.get(direction as usize).and_then(|of| of.get(tried as usize)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often what came, by provider; those that never did are left out. Without a provider: of nobody that we know.
    pub fn arrivals(&self) -> Vec<(Option<Provider>, Arrival, u64)> {
        let providers = Provider::ALL.iter().map(|provider| Some(*provider)).zip(&self.arrivals);
        let all = providers.chain([(None, &self.strangers)]);
        let each = |(provider, of): (Option<Provider>, &[AtomicU64; ARRIVALS])| {
            let count = |(arrival, count): (&Arrival, &AtomicU64)| (provider, *arrival, count.load(Ordering::Relaxed));
            Arrival::ALL.iter().zip(of).map(count).filter(|(_, _, count)| *count > 0).collect::<Vec<_>>()
        };
        all.flat_map(each).collect()
    }

    /// How often what came of tries, by direction.
    pub fn tries(&self) -> Vec<(Direction, Tried, u64)> {
        let each = |(direction, of): (&Direction, &[AtomicU64; TRIES])| {
            let count = |(tried, count): (&Tried, &AtomicU64)| (*direction, *tried, count.load(Ordering::Relaxed));
            Tried::ALL.iter().zip(of).map(count).collect::<Vec<_>>()
        };
        Direction::ALL.iter().zip(&self.tries).flat_map(each).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_counted_where_it_belongs() {
        let counts = WebhookCounts::default();
        counts.arrived(Some(Provider::Generic), Arrival::Failed);
        counts.arrived(Some(Provider::Oura), Arrival::Taken);
        counts.arrived(Some(Provider::Oura), Arrival::Taken);
        counts.arrived(None, Arrival::Unknown);
        assert_eq!(
            counts.arrivals(),
            [
                (Some(Provider::Oura), Arrival::Taken, 2),
                (Some(Provider::Generic), Arrival::Failed, 1),
                (None, Arrival::Unknown, 1)
            ]
        );
        counts.tried(Direction::Out, Tried::Quarantined);
        let some: Vec<_> = counts.tries().into_iter().filter(|(_, _, count)| *count > 0).collect();
        assert_eq!(some, [(Direction::Out, Tried::Quarantined, 1)]);
    }
}
