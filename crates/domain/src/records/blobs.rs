//! Large values as streams: their events are durable before the first byte goes out.

use std::sync::Arc;

use chancery_crypto::{BlobHeader, BlobOpener, BlobSealer, Handle, Phi};

use super::{
    Purpose, RecordError,
    batch::{Touched, intent, malformed, open_failed, persons},
    break_glass::{BreakGlass, Broken, Gate, broken},
    check_reason, field_of, lease_for,
    seal::Tally,
};
use crate::{
    Instance,
    access::{Call, Permission},
    approvals::Carried,
    audit::{Event, EventKind, append},
    faults::Faults,
    fields::{Bind, Field, FieldType},
    keyring::{Fence, KeyringError, Lease, ring::Place},
    subjects::lend,
    time::Timestamp,
};

/// Where a blob lives.
#[derive(Debug)]
pub struct BlobPlace {
    /// Its table.
    pub table: String,
    /// Its column, of type `bytes`.
    pub column: String,
    /// Its row, for fields bound to rows.
    pub row: Option<String>,
}

/// A blob to open, and why.
#[derive(Debug)]
pub struct OpenBlob {
    /// The purpose of use.
    pub purpose: Purpose,
    /// The reason in words, at most 200 characters; sealed in the log.
    pub reason: Phi<String>,
    /// Where it lives.
    pub place: BlobPlace,
    /// Its first 68 bytes, or fewer if there are no more.
    pub header: Vec<u8>,
}

/// A stream under a key that may be stopped while it runs: ask before each piece is let out.
pub struct BlobFence {
    fence: Fence,
    lease: Arc<Lease>,
    handle: Handle,
    /// Until when the glass is broken; none if it is whole.
    glass: Option<Timestamp>,
}

impl BlobFence {
    /// The last piece was let out.
    pub fn let_out(self) {
        self.fence.let_out();
    }

    /// A piece of so many bytes was let out.
    pub fn gave(&self, bytes: usize) {
        self.fence.gave(bytes);
    }

    /// Whether the next piece may be let out. After a key was stopped, its tenant suspended or its person erased, no
    /// piece is; of a stopped key none after the hour of the approval.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: the stream ends here.
    pub async fn stands(&mut self, instance: &Instance) -> Result<(), RecordError> {
        let renewed = self.fence.renew(instance, &self.lease).await?;
        let is_over = self.glass.take_if(|until| *until <= instance.now()).is_some();
        let lease = match renewed {
            Some(lease) => lease,
            None if is_over => Arc::clone(&self.lease),
            None => return Ok(()),
        };
        let strangers: Vec<Handle> = [self.handle].into_iter().filter(|handle| !lease.keyring.knows(*handle)).collect();
        let subjects = lend::for_opening(instance, lease.keyring.tenant(), &lease.keyring, &strangers).await?;
        let stands = lease.keyring.stands(self.handle, &subjects, self.glass.is_some());
        stands.map_err(|error| RecordError::of_item((0, error)))?;
        self.lease = lease;
        Ok(())
    }
}

/// Begins to seal a blob: its event is durable. The fence is asked before each piece is given away.
///
/// # Errors
///
/// [`RecordError`].
pub async fn seal_blob(
    instance: &Instance,
    call: &Call,
    place: &BlobPlace,
    subject: Option<&Phi<String>>,
) -> Result<(BlobSealer, BlobFence), RecordError> {
    call.require(Permission::DataSeal)?;
    let lease = lease_for(instance, call, std::iter::once((place.table.as_str(), place.column.as_str()))).await?;
    let field = field_of(&lease, 0, &place.table, &place.column, place.row.as_deref())?;
    check_type(field)?;
    let subject = subject.map(|subject| subject.expose().as_str());
    // Whoever was erased is refused before anything is told.
    lend::for_sealing(instance, call, subject.into_iter()).await?;
    let mut tally = Tally::default();
    tally.add(field);
    let fence = tally.tell(instance, call, EventKind::RecordSealed).await?;
    let lease = fence.lease(instance).await?;
    let lent = lend::for_sealing(instance, call, subject.into_iter()).await?;
    let field = field_of(&lease, 0, &place.table, &place.column, place.row.as_deref())?;
    let at = Place { field, row: place.row.as_deref().unwrap_or_default() };
    let sealer = lease.keyring.seal_blob(at, lent.of(subject)?, instance.random());
    let sealer = sealer.map_err(|error| RecordError::of_item((0, error)))?;
    let handle = sealer.header().handle();
    Ok((sealer, BlobFence { fence, lease, handle, glass: None }))
}

/// Begins to open a blob: checks, tells, and finds its key. Chunks are opened by whoever has them, who asks the fence
/// before each piece is given away. With `glass` a blob of a suspended or revoked key too, once another person approved.
///
/// # Errors
///
/// [`RecordError`]. When the header does not open, `record.open_failed` says so; for chunks see [`blob_failed`].
pub async fn open_blob(
    instance: &Instance,
    call: &Call,
    request: &OpenBlob,
    glass: Option<BreakGlass>,
) -> Result<Carried<(BlobOpener, BlobFence)>, RecordError> {
    let gate = Gate::of(call, glass.as_ref())?;
    let BlobPlace { table, column, row } = &request.place;
    let mut lease = lease_for(instance, call, std::iter::once((table.as_str(), column.as_str()))).await?;
    let field = field_of(&lease, 0, table, column, row.as_deref())?;
    gate.admits(field)?;
    check_reason(&request.reason)?;
    check_type(field)?;
    let header = BlobHeader::from_bytes(&request.header).map_err(|_| RecordError::Malformed(0));
    let header = header.inspect_err(|error| malformed(instance, error))?;
    let handle = header.handle();
    if !lease.keyring.knows(handle)
        && lend::known(instance, call.tenant(), &[handle]).await?.is_empty()
        && let Some(renewed) = instance.renewed_lease(call.tenant(), &lease).await?
    {
        lease = renewed;
    }
    let broken = match broken(instance, call, glass, request.purpose, vec![table.clone()], 1).await? {
        Carried::Done(broken) => broken,
        Carried::Waits(approval) => return Ok(Carried::Waits(approval)),
    };
    let why = |event: Event| {
        let event = event.purpose(request.purpose.as_str()).personal("reason", request.reason.expose().clone());
        Broken::on(broken.as_ref(), event)
    };
    let (columns, rows) = (vec![column.as_str()], row.as_deref().into_iter().collect());
    let touched = Touched { table, columns, rows, values: 1, glass: broken.is_some() };
    let intents = vec![intent(instance, call, &lease.keyring, EventKind::RecordOpened, touched, &why)?];
    let (receipt, fence) = append(instance, call, call.tenant(), intents).await?.single()?;
    let lease = fence.lease(instance).await?;
    let field = field_of(&lease, 0, table, column, row.as_deref())?;
    gate.admits(field)?;
    let at = Place { field, row: row.as_deref().unwrap_or_default() };
    let unknown: Vec<Handle> = [handle].into_iter().filter(|handle| !lease.keyring.knows(*handle)).collect();
    let subjects = persons(instance, call, &lease.keyring, &unknown, 0, &[table]).await?;
    let bound = header.flags().bound_to_row() == (field.bind == Bind::Row);
    let opener = match bound {
        true => lease.keyring.open_blob(receipt, at, &subjects, &header),
        false => Err(KeyringError::WrongContext),
    };
    match opener {
        Ok(opener) => {
            let glass = broken.map(|broken| broken.until);
            Ok(Carried::Done((opener, BlobFence { fence, lease, handle, glass })))
        }
        Err(error) => Err(open_failed(instance, call, table, RecordError::of_item((0, error))).await),
    }
}

/// Tells of an opening stream that had to end, after the first bytes may have gone out, and gives its error back:
/// [`RecordError::Tampered`] for a chunk that did not verify.
pub async fn blob_failed(
    instance: &Instance,
    call: &Call,
    place: &BlobPlace,
    fence: BlobFence,
    error: RecordError,
) -> RecordError {
    fence.fence.refuse();
    open_failed(instance, call, &place.table, error).await
}

fn check_type(field: &Field) -> Result<(), Faults> {
    match field.field_type {
        FieldType::Bytes => Ok(()),
        _ => Err(Faults::one("/column", "type", "blobs need a field of type `bytes`")),
    }
}
