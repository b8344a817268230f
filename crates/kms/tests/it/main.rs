//! Key providers: the port's contract, and what each demands of its key.
mod conformance;
mod local;
mod recovery;
