//! The maths: secrets, sealed values, signatures, Merkle logs. No I/O.
