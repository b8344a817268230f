//! The rules: tenants, access, keys, sealed values, certificates, audit. No I/O.
