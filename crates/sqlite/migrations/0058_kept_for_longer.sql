-- PostgreSQL keeps by its own clock what a tenant keeps for longer (ADR 0025). In SQLite whoever serves owns the file and its triggers:
-- there is nobody whom such a wall would stop.

SELECT 1;
