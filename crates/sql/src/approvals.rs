use async_trait::async_trait;
use chancery_domain::approvals::{Approval, ApprovalRows, ApprovalState, ApprovalWrites, DeedKind};
use chancery_domain::ids::ApprovalId;
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use crate::rows::{after, swapped};
use crate::{Driver, Row, Rows, Value};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, resource, details, request, reason, state, requested_by, requested_at, expires_at,
                decided_by, decided_at, uses, used_at, reviewed_by, reviewed_at, revision
             FROM approvals WHERE tenant_id = $1 ",
            $rest
        )
    };
}

fn read(row: &mut Row) -> Result<Approval, StoreError> {
    Ok(Approval {
        id: row.parsed()?,
        kind: row.parsed()?,
        resource: row.text()?,
        details: row.text()?,
        request: row.array()?,
        reason: row.opt_bytes()?,
        state: row.parsed()?,
        requested_by: row.text()?,
        requested_at: row.time()?,
        expires_at: row.time()?,
        decided_by: row.opt_text()?,
        decided_at: row.opt_time()?,
        uses: row.number()?,
        used_at: row.opt_time()?,
        reviewed_by: row.opt_text()?,
        reviewed_at: row.opt_time()?,
        revision: row.number()?,
    })
}

#[async_trait]
impl<D: Driver> ApprovalRows for Rows<D> {
    async fn approval(&mut self, id: ApprovalId) -> Result<Option<Approval>, StoreError> {
        self.one("approval", select!("AND id = $2"), [Value::text(id)], read).await
    }

    async fn approvals(
        &mut self,
        state: Option<ApprovalState>,
        now: Timestamp,
        since: Option<ApprovalId>,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError> {
        let state = Value::Text(Some(state.map(|state| state.to_string()).unwrap_or_default()));
        self.all(
            "approval",
            select!(
                "AND id > $2 AND ($3 = '' OR $3 = CASE
                    WHEN state IN ('pending', 'approved') AND expires_at <= $4 THEN 'expired' ELSE state END)
                 ORDER BY id LIMIT $5"
            ),
            [after(since), state, Value::time(now), limit.into()],
            read,
        )
        .await
    }

    async fn unreviewed_approvals(&mut self, kind: DeedKind, limit: u32) -> Result<Vec<Approval>, StoreError> {
        self.all(
            "approval",
            select!("AND kind = $2 AND uses > 0 AND reviewed_at IS NULL ORDER BY id LIMIT $3"),
            [Value::text(kind), limit.into()],
            read,
        )
        .await
    }

    async fn used_approvals(&mut self, kind: DeedKind, resource: &str) -> Result<Vec<Approval>, StoreError> {
        let sql = select!("AND kind = $2 AND resource = $3 AND state = 'used' ORDER BY id");
        self.all("approval", sql, [Value::text(kind), resource.into()], read).await
    }
}

#[async_trait]
impl<D: Driver> ApprovalWrites for Rows<D> {
    async fn insert_approval(&mut self, approval: &Approval) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO approvals (tenant_id, id, kind, resource, details, request, reason, state, requested_by,
                requested_at, expires_at, decided_by, decided_at, uses, used_at, reviewed_by, reviewed_at, revision)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
            [
                Value::text(approval.id),
                Value::text(approval.kind),
                approval.resource.as_str().into(),
                approval.details.as_str().into(),
                Value::bytes(&approval.request),
                Value::opt_bytes(approval.reason.as_deref()),
                Value::text(approval.state),
                approval.requested_by.as_str().into(),
                Value::time(approval.requested_at),
                Value::time(approval.expires_at),
                Value::opt_text(approval.decided_by.as_deref()),
                Value::opt_time(approval.decided_at),
                approval.uses.into(),
                Value::opt_time(approval.used_at),
                Value::opt_text(approval.reviewed_by.as_deref()),
                Value::opt_time(approval.reviewed_at),
                approval.revision.into(),
            ],
        )
        .await?;
        Ok(())
    }

    async fn update_approval(&mut self, approval: &Approval) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE approvals SET state = $3, expires_at = $4, decided_by = $5, decided_at = $6, uses = $7,
                    used_at = $8, reviewed_by = $9, reviewed_at = $10, revision = $11
                 WHERE tenant_id = $1 AND id = $2 AND revision = $11 - 1",
                [
                    Value::text(approval.id),
                    Value::text(approval.state),
                    Value::time(approval.expires_at),
                    Value::opt_text(approval.decided_by.as_deref()),
                    Value::opt_time(approval.decided_at),
                    approval.uses.into(),
                    Value::opt_time(approval.used_at),
                    Value::opt_text(approval.reviewed_by.as_deref()),
                    Value::opt_time(approval.reviewed_at),
                    approval.revision.into(),
                ],
            )
            .await?;
        swapped(changed, "approval")
    }
}
