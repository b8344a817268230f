//! What can go now, by all that keeps a log.

use super::{
    Month, RetentionError, Rules,
    plan::{Receivers, Span, SpanStanding, spans},
};
use crate::{
    Instance,
    audit::archives::{self, ArchiveError},
    faults::Faults,
    ids::TenantId,
    store::View,
};

/// Before which month may go: what was asked for, if retention does not keep it.
pub(super) fn bound(instance: &Instance, rules: &Rules, asked: Option<Month>) -> Result<Month, RetentionError> {
    let kept_from = rules.retention.kept_from(instance.now());
    match asked {
        Some(before) if before > kept_from => {
            let message = format!("events of {kept_from} and later are kept");
            Err(Faults::one("/before", "kept", message).into())
        }
        asked => Ok(asked.unwrap_or(kept_from)),
    }
}

/// What can go, and what else keeps the log.
pub(super) struct Due {
    pub(super) spans: Vec<Span>,
    pub(super) rules: Rules,
}

impl Due {
    pub(super) async fn of(
        instance: &Instance,
        view: &mut dyn View,
        receivers: &Receivers,
        before: Option<Month>,
    ) -> Result<Self, RetentionError> {
        let rules = receivers.rules(view).await?;
        let before = bound(instance, &rules, before)?;
        let mut spans = spans(instance, view, receivers, &rules, before).await?;
        spans.retain(|span| span.standing == SpanStanding::Due);
        Self { spans, rules }.some()
    }

    /// Of these, where archives come first, what was read again: rows may say by now that more is archived.
    pub(super) fn of_read(mut self, read: &[(u64, u64)]) -> Result<Self, RetentionError> {
        if self.rules.retention.archive_first {
            self.spans.retain(|span| read.contains(&(span.first, span.end)));
        }
        self.some()
    }

    fn some(self) -> Result<Self, RetentionError> {
        if self.spans.is_empty() { Err(RetentionError::Nothing) } else { Ok(self) }
    }
}

/// Where archives come first: reads those of what is due again, so that nothing goes that is not outside, byte for byte; gives the places
/// that are.
pub(super) async fn read_again(
    instance: &Instance,
    tenant: TenantId,
    before: Option<Month>,
) -> Result<Vec<(u64, u64)>, RetentionError> {
    let receivers = Receivers::of(instance, tenant).await?;
    let mut view = instance.store().fresh_view(tenant).await?;
    if !receivers.rules(&mut *view).await?.retention.archive_first {
        return Ok(Vec::new());
    }
    let due = Due::of(instance, &mut *view, &receivers, before).await?;
    drop(view);
    let read: Vec<(u64, u64)> = due.spans.iter().map(|span| (span.first, span.end)).collect();
    let again = archives::again(instance, tenant, &read).await;
    again.map(|()| read).map_err(|error| match error {
        ArchiveError::Failed(failure) => RetentionError::Failed(failure),
        error => RetentionError::Unarchived(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::retention::Retention;

    /// Rows of archives can be written while others are read again, which takes minutes.
    #[test]
    fn where_archives_come_first_only_what_was_read_again_goes() {
        let span = |first| {
            let (end, month) = (first + 5, "2026-09".parse().unwrap());
            Span { first, end, month, events: 5, standing: SpanStanding::Due }
        };
        let due = |archive_first| Due {
            spans: vec![span(0), span(5), span(10)],
            rules: Rules {
                retention: Retention { archive_first, ..Retention::default() },
                holds: Vec::new(),
                differ: Vec::new(),
                unconfirmed: false,
            },
        };
        let firsts = |due: Due| due.spans.iter().map(|span| span.first).collect::<Vec<_>>();
        assert_eq!(firsts(due(true).of_read(&[(0, 5), (10, 15)]).unwrap()), [0, 10]);
        assert_eq!(firsts(due(true).of_read(&[(5, 10), (0, 4)]).unwrap()), [5]);
        assert!(matches!(due(true).of_read(&[]), Err(RetentionError::Nothing)));
        assert_eq!(firsts(due(false).of_read(&[]).unwrap()), [0, 5, 10]);
    }
}
