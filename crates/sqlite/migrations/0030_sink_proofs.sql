-- A sink's cursor carries a proof that nobody else moved it, and whether it was told that the sink takes nothing. What there is has
-- no proof, so it is forgotten: every sink is handed every log once more, and ids tell second arrivals.
DELETE FROM audit_sinks;
ALTER TABLE audit_sinks ADD COLUMN told INTEGER NOT NULL DEFAULT 0 CHECK (told IN (0, 1));
ALTER TABLE audit_sinks ADD COLUMN proof BLOB;
