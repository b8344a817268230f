//! Opens what stopped keys have sealed, in an emergency: two people, one hour, an event per use, a review afterwards.

use chancery_crypto::Phi;

use super::{
    OpenRequest, RecordError, WipedJson,
    batch::Batch,
    open::{check, give_out},
};
use crate::{
    Instance,
    access::{Call, Permission},
    approvals::{self, Carried, Deed, DeedKind},
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    ids::ApprovalId,
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

/// Opens values of active, suspended and revoked keys alike. The approval is for the ticket, the purpose and the tables
/// named; within its hour it may be used again.
///
/// # Errors
///
/// [`RecordError`].
pub async fn open_in_emergency(
    instance: &Instance,
    call: &Call,
    request: &OpenRequest,
    glass: BreakGlass,
) -> Result<Carried<Vec<WipedJson>>, RecordError> {
    call.require(Permission::BreakGlass)?;
    check(request)?;
    check_glass(&glass)?;
    // Whatever its class: the approval stands for the permission to open.
    let mut batch = Batch::of(instance, call, &request.items, |_| Ok(())).await?;
    let deed = Deed::new(DeedKind::BreakGlass, "ticket", &glass.ticket)
        .with("tables", Detail::Names(batch.table_names()))
        .with("purpose", Detail::Code(request.purpose.as_str()))
        .because(glass.reason);
    let Some(id) = glass.approval else {
        return Ok(Carried::waits(approvals::request(instance, call, &deed).await?));
    };
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    approvals::consume(instance, call, &mut change, id, &deed).await?;
    let count = u64::try_from(request.items.len()).unwrap_or(u64::MAX);
    let broken = Event::new(EventKind::RecordGlassBroken)
        .on("approval", id)
        .purpose(request.purpose.as_str())
        .with("ticket", Detail::Id(glass.ticket))
        .with("tables", Detail::Names(batch.table_names()))
        .with("count", Detail::Count(count));
    change.commit(broken).await?;
    batch.glass = true;
    let under = |event: Event| event.with("approval", Detail::Id(id.to_string()));
    give_out(instance, call, request, batch, |_| Ok(()), under).await.map(Carried::Done)
}

fn check_glass(glass: &BreakGlass) -> Result<(), Faults> {
    let mut faults = Faults::default();
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
    if !(1..=32).contains(&glass.ticket.len()) || !glass.ticket.bytes().all(fits) {
        faults.add("/break_glass/ticket", "format", "use 1 to 32 of A-Z, 0-9, _ . and -");
    }
    crate::text::check_name("/break_glass/reason", glass.reason.expose(), 200, &mut faults);
    faults.check()
}
