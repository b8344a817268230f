//! The contract of the store's ports, case by case.
