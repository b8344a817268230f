-- Whether people may register themselves with a tenant; whether an e-mail is its user's for certain; limits of single API keys.

ALTER TABLE directory_tenants ADD COLUMN registration TEXT COLLATE "C" NOT NULL DEFAULT 'closed';

-- Those that are there were given by administrators.
ALTER TABLE users ADD COLUMN email_proven BOOLEAN NOT NULL DEFAULT TRUE;

-- Requests per minute; null means what the operator says for all.
ALTER TABLE api_keys ADD COLUMN rate_limit BIGINT;
