//! Opens what stopped keys have sealed, in an emergency: two people, one hour, an event per use, a review afterwards.
//!
//! Every door that opens goes through here: lone values, rows, documents and blobs under the same rules.

use chancery_crypto::Phi;

use super::{Purpose, RecordError, permission_to_open};
use crate::{
    Instance,
    access::{Call, Permission},
    approvals::{self, Carried, Deed, DeedKind},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    fields::Field,
    ids::ApprovalId,
    lockdown::refuse_suspects,
    time::Timestamp,
};

/// Why the glass is broken, and under which approval.
#[derive(Debug)]
pub struct BreakGlass {
    /// The ticket of the emergency: `[A-Z0-9_.-]{1,32}`. It stands in the log in clear.
    pub ticket: String,
    /// Why, in 1 to 200 characters; sealed, for the approver.
    pub reason: Phi<String>,
    /// The approval; without one it is asked for, and nothing is opened.
    pub approval: Option<ApprovalId>,
}

/// What lets a caller open fields: the permission for each class; or that to break the glass, whatever the class, for the
/// approval then stands for it.
#[derive(Clone, Copy)]
pub(super) struct Gate<'a> {
    call: &'a Call,
    emergency: bool,
}

impl<'a> Gate<'a> {
    pub(super) fn of(call: &'a Call, glass: Option<&BreakGlass>) -> Result<Self, RecordError> {
        if let Some(glass) = glass {
            call.require(Permission::BreakGlass)?;
            check(glass)?;
        }
        Ok(Self { call, emergency: glass.is_some() })
    }

    pub(super) fn admits(&self, field: &Field) -> Result<(), RecordError> {
        if self.emergency { Ok(()) } else { Ok(self.call.require(permission_to_open(field.class))?) }
    }
}

/// A glass that was broken just now.
pub(super) struct Broken {
    approval: ApprovalId,
    /// When it is whole again.
    pub(super) until: Timestamp,
}

impl Broken {
    /// Notes the approval on the event of what is opened.
    pub(super) fn on(broken: Option<&Self>, event: Event) -> Event {
        match broken {
            Some(broken) => event.with("approval", Detail::Id(broken.approval.to_string())),
            None => event,
        }
    }
}

/// Breaks the glass, if it is to be broken: asks for an approval, or uses the one that was given. It is for the ticket, the
/// purpose and the tables named; within its hour it may be used again.
pub(super) async fn broken(
    instance: &Instance,
    call: &Call,
    glass: Option<BreakGlass>,
    purpose: Purpose,
    tables: Vec<String>,
    values: usize,
) -> Result<Carried<Option<Broken>>, RecordError> {
    let Some(glass) = glass else { return Ok(Carried::Done(None)) };
    instance.require_recent(call)?;
    let mut view = instance.store().fresh_view(call.tenant()).await?;
    let ticket = [("/break_glass/ticket", glass.ticket.as_str())];
    refuse_suspects::<RecordError>(instance, &mut *view, &ticket).await?;
    drop(view);
    let deed = Deed::new(DeedKind::BreakGlass, "ticket", &glass.ticket)
        .with("tables", Detail::Names(tables.clone()))
        .with("purpose", Detail::Code(purpose.as_str()))
        .because(glass.reason);
    let Some(id) = glass.approval else {
        return Ok(Carried::waits(approvals::request(instance, call, &deed).await?));
    };
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let approval = approvals::consume(instance, call, &mut change, id, &deed).await?;
    let event = Event::new(EventKind::RecordGlassBroken)
        .on("approval", id)
        .purpose(purpose.as_str())
        .with("ticket", Detail::Id(glass.ticket))
        .with("tables", Detail::Names(tables))
        .with("count", Detail::Count(u64::try_from(values).unwrap_or(u64::MAX)));
    change.commit(event).await?;
    Ok(Carried::Done(Some(Broken { approval: id, until: approval.expires_at })))
}

fn check(glass: &BreakGlass) -> Result<(), Faults> {
    let mut faults = Faults::default();
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
    if !(1..=32).contains(&glass.ticket.len()) || !glass.ticket.bytes().all(fits) {
        faults.add("/break_glass/ticket", "format", "use 1 to 32 of A-Z, 0-9, _ . and -");
    }
    crate::text::check_name("/break_glass/reason", glass.reason.expose(), 200, &mut faults);
    faults.check()
}
