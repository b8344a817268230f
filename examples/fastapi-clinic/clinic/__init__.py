"""A small clinic's back office: patients, documents, lab results, live events."""
