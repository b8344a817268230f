-- PostgreSQL asks of itself whether something may go (ADR 0025). In SQLite whoever serves owns the file and its triggers: there is nobody
-- whom such a wall would stop.

SELECT 1;
