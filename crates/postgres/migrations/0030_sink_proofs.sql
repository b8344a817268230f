-- A sink's cursor carries a proof that nobody else moved it, and whether it was told that the sink takes nothing. What there is has
-- no proof, so it is forgotten: every sink is handed every log once more, and ids tell second arrivals.
ALTER TABLE audit_sinks NO FORCE ROW LEVEL SECURITY;
DELETE FROM audit_sinks;
ALTER TABLE audit_sinks FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_sinks ADD COLUMN told BOOLEAN NOT NULL DEFAULT false;
ALTER TABLE audit_sinks ADD COLUMN proof BYTEA;
