-- The directory knows in which claim a provider looks for its audience, so that a value in another claim finds nothing (ADR 0019).
-- Empty means any claim: so write nodes of the version before, until they are gone.

ALTER TABLE directory_identity_providers ADD COLUMN audience_claim TEXT COLLATE "C" NOT NULL DEFAULT '';
DROP INDEX directory_identity_providers_door_key;

-- Forced row security hides every tenant's providers from their owner too, so it is lifted for this statement.
ALTER TABLE identity_providers NO FORCE ROW LEVEL SECURITY;
UPDATE directory_identity_providers AS d SET audience_claim = p.audience_claim
    FROM identity_providers AS p WHERE p.tenant_id = d.tenant_id AND p.id = d.id;
ALTER TABLE identity_providers FORCE ROW LEVEL SECURITY;

CREATE UNIQUE INDEX directory_identity_providers_door_key
    ON directory_identity_providers (issuer, audience, audience_claim, tenant_claim, tenant_value);
