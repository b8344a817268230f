-- PostgreSQL keeps the audit log in tables of one month each (ADR 0028). SQLite has one file, overwrites in it what it deletes
-- (`secure_delete`), and has nothing to do here.

SELECT 1;
