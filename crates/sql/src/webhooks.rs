use async_trait::async_trait;
use chancery_domain::ids::{
    WebhookDeliveryId, WebhookDeviceId, WebhookSecretId, WebhookSourceId, WebhookSubscriptionId,
};
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;
use chancery_domain::webhooks::{
    Backlog, DeliveryFilter, Direction, DueSecrets, Seen, Sighting, WebhookDelivery, WebhookDevice, WebhookOwner,
    WebhookRows, WebhookSecret, WebhookSource, WebhookSubscription, WebhookWrites, part,
};

use crate::rows::{after, swapped};
use crate::{Driver, Row, Rows, Value};

/// How much waits in a direction, by an index over just what waits: the states stand here as they are, or it is of no use.
pub const WAITING_DELIVERIES: &str = "SELECT CAST(SUM(1 + bytes / 1000000) AS BIGINT) FROM webhook_deliveries
     WHERE tenant_id = $1 AND state IN ('queued', 'quarantined')
        AND CASE substr(owner, 1, 3) WHEN 'whs' THEN 'in' ELSE 'out' END = $2 HAVING COUNT(*) > 0";

/// What was delivered long enough ago goes, by an index over just what was delivered: as above, the state stands here as it is.
pub const FORGET_DELIVERED: &str =
    "DELETE FROM webhook_deliveries WHERE tenant_id = $1 AND state = 'delivered' AND changed_at <= $2";

fn source(row: &mut Row) -> Result<WebhookSource, StoreError> {
    Ok(WebhookSource {
        id: row.parsed()?,
        name: row.text()?,
        provider: row.parsed()?,
        layout: row.opt_text()?.map(|text| serde_json::from_str(&text).map_err(|_| row.damaged())).transpose()?,
        client_id: row.opt_text()?,
        app_ids: serde_json::from_str(&row.text()?).map_err(|_| row.damaged())?,
        upstream: row.text()?,
        enabled: row.boolean()?,
        stalled_at: row.opt_time()?,
        created_at: row.time()?,
        changed_at: row.time()?,
    })
}

fn subscription(row: &mut Row) -> Result<WebhookSubscription, StoreError> {
    Ok(WebhookSubscription {
        id: row.parsed()?,
        name: row.text()?,
        url: row.text()?,
        kinds: serde_json::from_str(&row.text()?).map_err(|_| row.damaged())?,
        enabled: row.boolean()?,
        auto_rotate: row.boolean()?,
        stalled_at: row.opt_time()?,
        position: row.number()?,
        created_at: row.time()?,
        changed_at: row.time()?,
    })
}

fn secret(row: &mut Row) -> Result<WebhookSecret, StoreError> {
    Ok(WebhookSecret {
        id: row.parsed()?,
        owner: row.parsed()?,
        kind: row.parsed()?,
        sealed: row.opt_bytes()?,
        code: row.array()?,
        counter: row.number()?,
        created_at: row.time()?,
        ends_at: row.opt_time()?,
        due_told_at: row.opt_time()?,
        unshown: row.boolean()?,
    })
}

fn device(row: &mut Row) -> Result<WebhookDevice, StoreError> {
    Ok(WebhookDevice {
        id: row.parsed()?,
        source: row.parsed()?,
        key_id: row.array()?,
        public_key: row.array()?,
        environment: row.parsed()?,
        counter: row.number()?,
        digest: row.array()?,
        pepper_version: row.number()?,
        enrolled_at: row.time()?,
        seen_at: row.opt_time()?,
        revoked_at: row.opt_time()?,
    })
}

fn backlog(row: &mut Row) -> Result<Backlog, StoreError> {
    Ok(Backlog { direction: row.parsed()?, waiting: row.parsed()?, count: row.number()?, oldest: row.time()? })
}

fn delivery(row: &mut Row) -> Result<WebhookDelivery, StoreError> {
    Ok(WebhookDelivery {
        id: row.parsed()?,
        owner: row.parsed()?,
        state: row.parsed()?,
        sealed: row.opt_bytes()?,
        bytes: row.number()?,
        idempotency_key: row.text()?,
        attempts: row.number()?,
        next_at: row.time()?,
        reason: row.opt_text()?,
        received_at: row.time()?,
        changed_at: row.time()?,
    })
}

#[async_trait]
impl<D: Driver> WebhookRows for Rows<D> {
    async fn webhook_sources(&mut self) -> Result<Vec<WebhookSource>, StoreError> {
        self.all(
            "webhook_source",
            "SELECT id, name, provider, layout, client_id, app_ids, upstream, enabled, stalled_at, created_at,
                changed_at
             FROM webhook_sources WHERE tenant_id = $1 ORDER BY id",
            [],
            source,
        )
        .await
    }

    async fn webhook_source(&mut self, id: WebhookSourceId) -> Result<Option<WebhookSource>, StoreError> {
        self.one(
            "webhook_source",
            "SELECT id, name, provider, layout, client_id, app_ids, upstream, enabled, stalled_at, created_at,
                changed_at
             FROM webhook_sources WHERE tenant_id = $1 AND id = $2",
            [Value::text(id)],
            source,
        )
        .await
    }

    async fn webhook_subscriptions(&mut self) -> Result<Vec<WebhookSubscription>, StoreError> {
        self.all(
            "webhook_subscription",
            "SELECT id, name, url, kinds, enabled, auto_rotate, stalled_at, position, created_at, changed_at
             FROM webhook_subscriptions WHERE tenant_id = $1 ORDER BY id",
            [],
            subscription,
        )
        .await
    }

    async fn webhook_subscription(
        &mut self,
        id: WebhookSubscriptionId,
    ) -> Result<Option<WebhookSubscription>, StoreError> {
        self.one(
            "webhook_subscription",
            "SELECT id, name, url, kinds, enabled, auto_rotate, stalled_at, position, created_at, changed_at
             FROM webhook_subscriptions WHERE tenant_id = $1 AND id = $2",
            [Value::text(id)],
            subscription,
        )
        .await
    }

    async fn webhook_secrets(&mut self, owner: WebhookOwner) -> Result<Vec<WebhookSecret>, StoreError> {
        self.all(
            "webhook_secret",
            "SELECT id, owner, kind, sealed, code, counter, created_at, ends_at, due_told_at, unshown
             FROM webhook_secrets WHERE tenant_id = $1 AND owner = $2 ORDER BY id",
            [Value::text(owner)],
            secret,
        )
        .await
    }

    async fn due_webhook_secrets(&mut self, due: &DueSecrets) -> Result<Vec<WebhookSecret>, StoreError> {
        self.all(
            "webhook_secret",
            "SELECT id, owner, kind, sealed, code, counter, created_at, ends_at, due_told_at, unshown
             FROM webhook_secrets WHERE tenant_id = $1 AND sealed IS NOT NULL
                AND (ends_at <= $2
                    OR (ends_at IS NULL AND due_told_at IS NULL AND created_at <= $3 AND kind <> 'public_key')
                    OR (ends_at IS NULL AND created_at <= $4 AND owner IN
                        (SELECT id FROM webhook_subscriptions WHERE tenant_id = $1 AND auto_rotate)))
             ORDER BY id LIMIT $5",
            [Value::time(due.ended), Value::time(due.noticed), Value::time(due.rotated), due.limit.into()],
            secret,
        )
        .await
    }

    async fn webhook_devices(
        &mut self,
        source: WebhookSourceId,
        after_id: Option<WebhookDeviceId>,
        limit: u32,
    ) -> Result<Vec<WebhookDevice>, StoreError> {
        self.all(
            "webhook_device",
            "SELECT id, source_id, key_id, public_key, environment, counter, digest, pepper_version, enrolled_at, seen_at,
                revoked_at
             FROM webhook_devices WHERE tenant_id = $1 AND source_id = $2 AND id > $3 ORDER BY id LIMIT $4",
            [Value::text(source), after(after_id), limit.into()],
            device,
        )
        .await
    }

    async fn webhook_device_by_key(
        &mut self,
        source: WebhookSourceId,
        key_id: &[u8],
    ) -> Result<Option<WebhookDevice>, StoreError> {
        self.one(
            "webhook_device",
            "SELECT id, source_id, key_id, public_key, environment, counter, digest, pepper_version, enrolled_at, seen_at,
                revoked_at
             FROM webhook_devices WHERE tenant_id = $1 AND source_id = $2 AND key_id = $3",
            [Value::text(source), Value::bytes(key_id)],
            device,
        )
        .await
    }

    async fn enrolled_webhook_devices(&mut self, source: WebhookSourceId) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) FROM webhook_devices
             WHERE tenant_id = $1 AND source_id = $2 AND revoked_at IS NULL HAVING COUNT(*) > 0";
        Ok(self.one("webhook_device", sql, [Value::text(source)], |row| row.number()).await?.unwrap_or_default())
    }

    async fn webhook_deliveries(&mut self, filter: &DeliveryFilter) -> Result<Vec<WebhookDelivery>, StoreError> {
        self.all(
            "webhook_delivery",
            "SELECT id, owner, state, NULL, bytes, idempotency_key, attempts, next_at, reason, received_at, changed_at
             FROM webhook_deliveries
             WHERE tenant_id = $1 AND ($2 = '' OR owner = $2) AND ($3 = '' OR state = $3) AND id > $4
             ORDER BY id LIMIT $5",
            [after(filter.owner), after(filter.state), after(filter.after), filter.limit.into()],
            delivery,
        )
        .await
    }

    async fn webhook_delivery(&mut self, id: WebhookDeliveryId) -> Result<Option<WebhookDelivery>, StoreError> {
        self.one(
            "webhook_delivery",
            "SELECT id, owner, state, sealed, bytes, idempotency_key, attempts, next_at, reason, received_at, changed_at
             FROM webhook_deliveries WHERE tenant_id = $1 AND id = $2",
            [Value::text(id)],
            delivery,
        )
        .await
    }

    async fn due_webhook_deliveries(&mut self, now: Timestamp, limit: u32) -> Result<Vec<WebhookDelivery>, StoreError> {
        self.all(
            "webhook_delivery",
            "SELECT id, owner, state, sealed, bytes, idempotency_key, attempts, next_at, reason, received_at, changed_at
             FROM webhook_deliveries WHERE tenant_id = $1 AND state = 'queued' AND next_at <= $2
             ORDER BY next_at, id LIMIT $3",
            [Value::time(now), limit.into()],
            delivery,
        )
        .await
    }

    async fn webhook_parts(&mut self, id: WebhookDeliveryId) -> Result<Vec<Vec<u8>>, StoreError> {
        let sql = "SELECT sealed FROM webhook_parts WHERE tenant_id = $1 AND delivery_id = $2 ORDER BY id";
        self.all("webhook_part", sql, [Value::text(id)], |row| row.bytes()).await
    }

    async fn waiting_webhook_deliveries(&mut self, direction: Direction) -> Result<u64, StoreError> {
        let waiting =
            self.one("webhook_delivery", WAITING_DELIVERIES, [Value::text(direction)], |row| row.number()).await?;
        Ok(waiting.unwrap_or_default())
    }

    async fn webhook_taken_since(&mut self, owner: WebhookOwner, since: Timestamp) -> Result<bool, StoreError> {
        // The state stands here as it is, or the index over what was delivered is of no use.
        let sql = "SELECT changed_at FROM webhook_deliveries
             WHERE tenant_id = $1 AND owner = $2 AND state = 'delivered' AND changed_at >= $3 LIMIT 1";
        let args = [Value::text(owner), Value::time(since)];
        Ok(self.one("webhook_delivery", sql, args, |row| row.time()).await?.is_some())
    }

    async fn webhook_backlog(&mut self) -> Result<Vec<Backlog>, StoreError> {
        self.all(
            "webhook_delivery",
            "SELECT direction, waiting, COUNT(*), MIN(since) FROM (
                SELECT CASE substr(owner, 1, 3) WHEN 'whs' THEN 'in' ELSE 'out' END AS direction, state AS waiting,
                    received_at AS since
                FROM webhook_deliveries WHERE tenant_id = $1 AND state IN ('queued', 'quarantined')
                UNION ALL SELECT 'in', 'stalled', stalled_at FROM webhook_sources
                WHERE tenant_id = $1 AND stalled_at IS NOT NULL
                UNION ALL SELECT 'out', 'stalled', stalled_at FROM webhook_subscriptions
                WHERE tenant_id = $1 AND stalled_at IS NOT NULL
             ) AS waits GROUP BY direction, waiting ORDER BY direction, waiting",
            [],
            backlog,
        )
        .await
    }
}

#[async_trait]
impl<D: Driver> WebhookWrites for Rows<D> {
    async fn put_webhook_source(&mut self, source: &WebhookSource) -> Result<(), StoreError> {
        let layout = source.layout.as_ref().map(|layout| serde_json::json!(layout));
        self.execute(
            "INSERT INTO webhook_sources (tenant_id, id, name, provider, layout, client_id, app_ids, upstream, enabled,
                created_at, changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (tenant_id, id) DO UPDATE SET name = excluded.name, layout = excluded.layout,
                client_id = excluded.client_id, app_ids = excluded.app_ids, upstream = excluded.upstream,
                enabled = excluded.enabled, changed_at = excluded.changed_at",
            [
                Value::text(source.id),
                source.name.as_str().into(),
                Value::text(source.provider),
                Value::opt_text(layout),
                Value::opt_text(source.client_id.as_deref()),
                Value::list(&source.app_ids),
                source.upstream.as_str().into(),
                source.enabled.into(),
                Value::time(source.created_at),
                Value::time(source.changed_at),
            ],
        )
        .await?;
        Ok(())
    }

    async fn delete_webhook_source(&mut self, id: WebhookSourceId) -> Result<(), StoreError> {
        let secrets = "DELETE FROM webhook_secrets WHERE tenant_id = $1 AND owner = $2";
        self.execute(secrets, [Value::text(id)]).await?;
        let devices = "DELETE FROM webhook_devices WHERE tenant_id = $1 AND source_id = $2";
        self.execute(devices, [Value::text(id)]).await?;
        let sightings = "DELETE FROM webhook_sightings WHERE tenant_id = $1 AND source_id = $2";
        self.execute(sightings, [Value::text(id)]).await?;
        let sql = "DELETE FROM webhook_sources WHERE tenant_id = $1 AND id = $2";
        swapped(self.execute(sql, [Value::text(id)]).await?, "webhook_source")
    }

    async fn put_webhook_subscription(&mut self, subscription: &WebhookSubscription) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO webhook_subscriptions (tenant_id, id, name, url, kinds, enabled, auto_rotate, position, created_at,
                changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (tenant_id, id) DO UPDATE SET name = excluded.name, url = excluded.url, kinds = excluded.kinds,
                enabled = excluded.enabled, auto_rotate = excluded.auto_rotate, changed_at = excluded.changed_at",
            [
                Value::text(subscription.id),
                subscription.name.as_str().into(),
                subscription.url.as_str().into(),
                Value::list(&subscription.kinds),
                subscription.enabled.into(),
                subscription.auto_rotate.into(),
                Value::count(subscription.position),
                Value::time(subscription.created_at),
                Value::time(subscription.changed_at),
            ],
        )
        .await?;
        Ok(())
    }

    async fn move_webhook_subscription(
        &mut self,
        id: WebhookSubscriptionId,
        from: u64,
        to: u64,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE webhook_subscriptions SET position = $4 WHERE tenant_id = $1 AND id = $2 AND position = $3";
        let args = [Value::text(id), Value::count(from), Value::count(to)];
        swapped(self.execute(sql, args).await?, "webhook_subscription")
    }

    async fn delete_webhook_subscription(&mut self, id: WebhookSubscriptionId) -> Result<(), StoreError> {
        let secrets = "DELETE FROM webhook_secrets WHERE tenant_id = $1 AND owner = $2";
        self.execute(secrets, [Value::text(id)]).await?;
        let parts = "DELETE FROM webhook_parts WHERE tenant_id = $1 AND delivery_id IN
                (SELECT id FROM webhook_deliveries WHERE tenant_id = $1 AND owner = $2)";
        self.execute(parts, [Value::text(id)]).await?;
        let deliveries = "DELETE FROM webhook_deliveries WHERE tenant_id = $1 AND owner = $2";
        self.execute(deliveries, [Value::text(id)]).await?;
        let sql = "DELETE FROM webhook_subscriptions WHERE tenant_id = $1 AND id = $2";
        swapped(self.execute(sql, [Value::text(id)]).await?, "webhook_subscription")
    }

    async fn stall_webhooks(&mut self, owner: WebhookOwner, since: Option<Timestamp>) -> Result<(), StoreError> {
        let sql = match (owner, since.is_some()) {
            (WebhookOwner::Source(_), true) => {
                "UPDATE webhook_sources SET stalled_at = $3 WHERE tenant_id = $1 AND id = $2 AND stalled_at IS NULL"
            }
            (WebhookOwner::Source(_), false) => {
                "UPDATE webhook_sources SET stalled_at = $3 WHERE tenant_id = $1 AND id = $2 AND stalled_at IS NOT NULL"
            }
            (WebhookOwner::Subscription(_), true) => {
                "UPDATE webhook_subscriptions SET stalled_at = $3 WHERE tenant_id = $1 AND id = $2 AND stalled_at IS NULL"
            }
            (WebhookOwner::Subscription(_), false) => {
                "UPDATE webhook_subscriptions SET stalled_at = $3
                 WHERE tenant_id = $1 AND id = $2 AND stalled_at IS NOT NULL"
            }
        };
        swapped(self.execute(sql, [Value::text(owner), Value::opt_time(since)]).await?, owner.kind())
    }

    async fn put_webhook_secret(&mut self, secret: &WebhookSecret) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO webhook_secrets (tenant_id, id, owner, kind, sealed, code, counter, created_at, ends_at, due_told_at,
                unshown)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (tenant_id, id) DO UPDATE SET sealed = excluded.sealed, ends_at = excluded.ends_at,
                due_told_at = excluded.due_told_at, unshown = excluded.unshown",
            [
                Value::text(secret.id),
                Value::text(secret.owner),
                Value::text(secret.kind),
                Value::opt_bytes(secret.sealed.as_deref()),
                Value::bytes(&secret.code),
                secret.counter.into(),
                Value::time(secret.created_at),
                Value::opt_time(secret.ends_at),
                Value::opt_time(secret.due_told_at),
                secret.unshown.into(),
            ],
        )
        .await?;
        Ok(())
    }

    async fn count_webhook_device(&mut self, id: WebhookSecretId, counter: u32) -> Result<(), StoreError> {
        let sql = "UPDATE webhook_secrets SET counter = $3 WHERE tenant_id = $1 AND id = $2 AND counter < $3";
        swapped(self.execute(sql, [Value::text(id), counter.into()]).await?, "webhook_secret")
    }

    async fn insert_webhook_device(&mut self, device: &WebhookDevice) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO webhook_devices (tenant_id, id, source_id, key_id, public_key, environment, counter, digest,
                pepper_version, enrolled_at, seen_at, revoked_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            [
                Value::text(device.id),
                Value::text(device.source),
                Value::bytes(&device.key_id),
                Value::bytes(&device.public_key),
                Value::text(device.environment),
                device.counter.into(),
                Value::bytes(&device.digest),
                device.pepper_version.into(),
                Value::time(device.enrolled_at),
                Value::opt_time(device.seen_at),
                Value::opt_time(device.revoked_at),
            ],
        )
        .await?;
        Ok(())
    }

    async fn use_webhook_device(
        &mut self,
        id: WebhookDeviceId,
        counter: u32,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE webhook_devices SET counter = $3, seen_at = $4
             WHERE tenant_id = $1 AND id = $2 AND counter < $3 AND revoked_at IS NULL";
        let args = [Value::text(id), counter.into(), Value::time(now)];
        swapped(self.execute(sql, args).await?, "webhook_device")
    }

    async fn revoke_webhook_device(
        &mut self,
        source: WebhookSourceId,
        id: WebhookDeviceId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE webhook_devices SET revoked_at = $4
             WHERE tenant_id = $1 AND source_id = $2 AND id = $3 AND revoked_at IS NULL";
        let args = [Value::text(source), Value::text(id), Value::time(now)];
        swapped(self.execute(sql, args).await?, "webhook_device")
    }

    async fn see_webhook(
        &mut self,
        source: WebhookSourceId,
        sighting: &Sighting,
        now: Timestamp,
    ) -> Result<Seen, StoreError> {
        // What is over counts as not there, whether or not it was cleaned away yet.
        let noted = self
            .execute(
                "INSERT INTO webhook_sightings (tenant_id, source_id, identity, copy, copies, ends_at)
                 VALUES ($1, $2, $3, $4, 0, $5)
                 ON CONFLICT (tenant_id, source_id, identity) DO UPDATE SET copy = excluded.copy, copies = 0,
                    ends_at = excluded.ends_at
                 WHERE webhook_sightings.ends_at <= $6",
                [
                    Value::text(source),
                    Value::bytes(&sighting.identity),
                    Value::opt_bytes(sighting.copy.as_ref().map(<[u8; 32]>::as_slice)),
                    Value::time(sighting.until),
                    Value::time(now),
                ],
            )
            .await?;
        if noted == 1 {
            return Ok(Seen::First);
        }
        let Some(copy) = sighting.copy else { return Ok(Seen::Again) };
        let key = [Value::text(source), Value::bytes(&sighting.identity), Value::bytes(&copy)];
        let sql = "UPDATE webhook_sightings SET copies = copies + 1
             WHERE tenant_id = $1 AND source_id = $2 AND identity = $3 AND copy = $4";
        if self.execute(sql, key.clone()).await? == 0 {
            return Ok(Seen::Again);
        }
        let sql = "SELECT copies - 1 FROM webhook_sightings
             WHERE tenant_id = $1 AND source_id = $2 AND identity = $3 AND copy = $4";
        let before = self.one("webhook_sighting", sql, key, |row| row.number()).await?;
        Ok(Seen::Copy(before.unwrap_or_default()))
    }

    async fn bound_webhook_sightings(&mut self, most: u64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM webhook_sightings WHERE tenant_id = $1 AND copy IS NULL AND ends_at <=
                (SELECT ends_at FROM webhook_sightings WHERE tenant_id = $1 AND copy IS NULL
                 ORDER BY ends_at DESC LIMIT 1 OFFSET $2)";
        self.execute(sql, [Value::count(most)]).await
    }

    async fn forget_webhooks(&mut self, now: Timestamp, delivered: Timestamp) -> Result<u64, StoreError> {
        let sql = "DELETE FROM webhook_sightings WHERE tenant_id = $1 AND ends_at <= $2";
        let sightings = self.execute(sql, [Value::time(now)]).await?;
        Ok(sightings + self.execute(FORGET_DELIVERED, [Value::time(delivered)]).await?)
    }

    async fn insert_webhook_delivery(&mut self, delivery: &WebhookDelivery) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO webhook_deliveries (tenant_id, id, owner, state, sealed, bytes, idempotency_key, attempts, next_at,
                reason, received_at, changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            [
                Value::text(delivery.id),
                Value::text(delivery.owner),
                Value::text(delivery.state),
                Value::opt_bytes(delivery.sealed.as_deref()),
                delivery.bytes.into(),
                delivery.idempotency_key.as_str().into(),
                delivery.attempts.into(),
                Value::time(delivery.next_at),
                Value::opt_text(delivery.reason.as_deref()),
                Value::time(delivery.received_at),
                Value::time(delivery.changed_at),
            ],
        )
        .await?;
        Ok(())
    }

    async fn delete_webhook_delivery(&mut self, id: WebhookDeliveryId) -> Result<(), StoreError> {
        let parts = "DELETE FROM webhook_parts WHERE tenant_id = $1 AND delivery_id = $2";
        self.execute(parts, [Value::text(id)]).await?;
        let sql = "DELETE FROM webhook_deliveries WHERE tenant_id = $1 AND id = $2";
        swapped(self.execute(sql, [Value::text(id)]).await?, "webhook_delivery")
    }

    async fn insert_webhook_part(&mut self, id: WebhookDeliveryId, at: u32, sealed: &[u8]) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO webhook_parts (tenant_id, id, delivery_id, sealed) VALUES ($1, $2, $3, $4)",
            [Value::text(part(id, at)), Value::text(id), Value::bytes(sealed)],
        )
        .await?;
        Ok(())
    }

    async fn save_webhook_delivery(
        &mut self,
        delivery: &WebhookDelivery,
        from: &WebhookDelivery,
    ) -> Result<(), StoreError> {
        // The message is another one under a newer key perhaps; it goes with the delivery and is never replaced here.
        let changed = self
            .execute(
                "UPDATE webhook_deliveries SET state = $3, sealed = CASE WHEN $4 THEN sealed ELSE NULL END, attempts = $5,
                    next_at = $6, reason = $7, changed_at = $8
                 WHERE tenant_id = $1 AND id = $2 AND state = $9 AND attempts = $10 AND next_at = $11",
                [
                    Value::text(delivery.id),
                    Value::text(delivery.state),
                    delivery.sealed.is_some().into(),
                    delivery.attempts.into(),
                    Value::time(delivery.next_at),
                    Value::opt_text(delivery.reason.as_deref()),
                    Value::time(delivery.changed_at),
                    Value::text(from.state),
                    from.attempts.into(),
                    Value::time(from.next_at),
                ],
            )
            .await?;
        swapped(changed, "webhook_delivery")?;
        if delivery.sealed.is_none() {
            let parts = "DELETE FROM webhook_parts WHERE tenant_id = $1 AND delivery_id = $2";
            self.execute(parts, [Value::text(delivery.id)]).await?;
        }
        Ok(())
    }
}
