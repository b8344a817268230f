-- PostgreSQL keeps what is young by its own clock, whoever serves (ADR 0025). In SQLite whoever serves owns the file and its triggers:
-- there is nobody whom such a wall would stop.

SELECT 1;
