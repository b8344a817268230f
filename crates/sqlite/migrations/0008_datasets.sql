-- Datasets: tables of applications that Chancery may count and re-seal, and what was counted. PostgreSQL's migration of this name has the same tables.

CREATE TABLE datasets (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    url_file TEXT NOT NULL,
    source_table TEXT NOT NULL,
    field_table TEXT NOT NULL,
    row_column TEXT NOT NULL,
    columns TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX datasets_name_key ON datasets (tenant_id, name);

CREATE TABLE dataset_jobs (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    dataset TEXT NOT NULL,
    work TEXT NOT NULL,
    state TEXT NOT NULL,
    rows_per_second INTEGER NOT NULL,
    pass INTEGER NOT NULL,
    column_at INTEGER NOT NULL,
    row_at TEXT,
    todo INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    moved INTEGER NOT NULL,
    overtaken INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    pass_moved INTEGER NOT NULL,
    problem TEXT,
    claimed_by TEXT,
    claimed_until INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    ended_at INTEGER,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, dataset) REFERENCES datasets (tenant_id, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX dataset_jobs_open ON dataset_jobs (tenant_id, state) WHERE state IN ('queued', 'running');

-- How many values a key version holds, by who counted: a column of a dataset, or (dataset '') the application itself.
CREATE TABLE census_counts (
    tenant_id TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    dataset TEXT NOT NULL,
    field TEXT NOT NULL,
    count INTEGER NOT NULL,
    counted_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key, version, dataset, field)
) STRICT, WITHOUT ROWID;
