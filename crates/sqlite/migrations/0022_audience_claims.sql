-- The directory knows in which claim a provider looks for its audience, so that a value in another claim finds nothing (ADR 0019).
-- Empty means any claim: so write nodes of the version before, until they are gone.

ALTER TABLE directory_identity_providers ADD COLUMN audience_claim TEXT NOT NULL DEFAULT '';
DROP INDEX directory_identity_providers_door_key;

UPDATE directory_identity_providers SET audience_claim = COALESCE(
    (SELECT p.audience_claim FROM identity_providers AS p
     WHERE p.tenant_id = directory_identity_providers.tenant_id AND p.id = directory_identity_providers.id), '');

CREATE UNIQUE INDEX directory_identity_providers_door_key
    ON directory_identity_providers (issuer, audience, audience_claim, tenant_claim, tenant_value);
