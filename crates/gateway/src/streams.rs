//! What is open behind the head of an answer: WebSockets, and answers that are long or of which nobody knows how long they are. Each may
//! hold a connection to its application for as long as its client likes, so there are so many at once and no more.

use std::{iter, mem, net::IpAddr, sync::Arc};

use axum::response::Response;
use chancery_middleware::{Place, Places, Shares};
use http_body::Body as _;

use crate::Upstream;

/// What is not longer is on its way already: neither counted nor ended before its time.
const SHORT: u64 = 64 * 1024;

/// Whether an answer is on its way for longer than its head.
pub(crate) fn is_long(response: &Response) -> bool {
    let body = response.body();
    !body.is_end_stream() && body.size_hint().exact().is_none_or(|length| length > SHORT)
}

/// The places for them.
pub(crate) struct Streams {
    places: Places,
    each: usize,
    /// How many are open from each application, by its name: a table that takes another's place brings applications of its own, and what
    /// was open before stays open.
    open: Arc<Shares<String>>,
}

/// One of them; closed when dropped.
#[must_use]
pub(crate) struct Open {
    _place: Place,
    application: String,
    open: Arc<Shares<String>>,
}

impl Streams {
    /// So many; three quarters of them for one application.
    pub(crate) fn of(count: usize) -> Self {
        Self { places: Places::new(count), each: (count / 4 * 3).max(1), open: Arc::new(Shares::untaken()) }
    }

    /// A place for one from this application to this address, unless either has its share or all are taken.
    pub(crate) fn take(&self, upstream: &Upstream, address: Option<IpAddr>) -> Option<Open> {
        let place = self.places.take(address)?;
        let application = upstream.name().to_owned();
        let counted = self.open.take(1, iter::once((application.clone(), self.each)));
        counted.then(|| Open { _place: place, application, open: Arc::clone(&self.open) })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.open.give_back(1, iter::once(mem::take(&mut self.application)));
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;
    use crate::Address;

    fn upstream(name: &str) -> Upstream {
        Upstream::new(name, vec![Address::parse("http://127.0.0.1:9").unwrap()], None, false)
    }

    #[tokio::test]
    async fn one_application_leaves_places_to_the_others() {
        let (streams, one, other) = (Streams::of(8), upstream("one"), upstream("other"));
        let mut open: Vec<_> = (0..6).map(|_| streams.take(&one, None).unwrap()).collect();
        for _ in 0..2 {
            assert!(streams.take(&one, None).is_none(), "it has three quarters, and what is refused takes nothing");
        }
        open.push(streams.take(&other, None).unwrap());
        drop(open.remove(0));
        assert!(streams.take(&one, None).is_some(), "one was closed");
        drop(open);
        assert_eq!(["one", "other"].map(|name| streams.open.held_by(&name.to_owned())), [0, 0]);
    }

    /// A reload made its applications anew, and with them the counts: what was open stayed, and as much could be opened again.
    #[tokio::test]
    async fn what_is_open_counts_on_when_another_table_brings_its_application_anew() {
        let streams = Streams::of(8);
        let open: Vec<_> = (0..6).map(|_| streams.take(&upstream("app"), None).unwrap()).collect();
        assert!(streams.take(&upstream("app"), None).is_none());
        drop(open);
        assert!(streams.take(&upstream("app"), None).is_some());
    }

    #[test]
    fn what_is_short_or_over_is_not_counted() {
        let long = |length: usize| is_long(&Response::new(Body::from(vec![7; length])));
        assert!(!long(0) && !long(64 * 1024) && long(64 * 1024 + 1));
    }
}
