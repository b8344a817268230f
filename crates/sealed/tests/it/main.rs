//! The library from outside: keys, fields, documents, legacy values, and columns of both databases.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests fail the test that calls them")]

mod columns;
mod databases;
mod documents;
mod keys;
mod legacy;
mod places;
mod searches;
