//! One conformance suite per port, and the fakes. Development only.
