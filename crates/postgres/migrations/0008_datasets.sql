-- Datasets: tables of applications that Chancery may count and re-seal, and what was counted. SQLite's migration of this name has the same tables.

CREATE TABLE datasets (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    url_file TEXT COLLATE "C" NOT NULL,
    source_table TEXT COLLATE "C" NOT NULL,
    field_table TEXT COLLATE "C" NOT NULL,
    row_column TEXT COLLATE "C" NOT NULL,
    columns TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX datasets_name_key ON datasets (tenant_id, name);

CREATE TABLE dataset_jobs (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    dataset TEXT COLLATE "C" NOT NULL,
    work TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    rows_per_second BIGINT NOT NULL,
    pass BIGINT NOT NULL,
    column_at BIGINT NOT NULL,
    row_at TEXT COLLATE "C",
    todo BIGINT NOT NULL,
    seen BIGINT NOT NULL,
    moved BIGINT NOT NULL,
    overtaken BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    pass_moved BIGINT NOT NULL,
    problem TEXT COLLATE "C",
    claimed_by TEXT COLLATE "C",
    claimed_until BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    ended_at BIGINT,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, dataset) REFERENCES datasets (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX dataset_jobs_open ON dataset_jobs (tenant_id, state) WHERE state IN ('queued', 'running');

-- How many values a key version holds, by who counted: a column of a dataset, or (dataset '') the application itself.
CREATE TABLE census_counts (
    tenant_id TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    dataset TEXT COLLATE "C" NOT NULL,
    field TEXT COLLATE "C" NOT NULL,
    count BIGINT NOT NULL,
    counted_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, key, version, dataset, field)
);

ALTER TABLE datasets ENABLE ROW LEVEL SECURITY;
ALTER TABLE datasets FORCE ROW LEVEL SECURITY;
CREATE POLICY datasets_of_tenant ON datasets
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
ALTER TABLE dataset_jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE dataset_jobs FORCE ROW LEVEL SECURITY;
CREATE POLICY dataset_jobs_of_tenant ON dataset_jobs
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
ALTER TABLE census_counts ENABLE ROW LEVEL SECURITY;
ALTER TABLE census_counts FORCE ROW LEVEL SECURITY;
CREATE POLICY census_counts_of_tenant ON census_counts
    USING (tenant_id = current_setting('chancery.tenant', true))
    WITH CHECK (tenant_id = current_setting('chancery.tenant', true));
