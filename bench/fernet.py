"""Times Fernet of Python's `cryptography`: encrypts and decrypts 64 bytes; prints nanoseconds per round trip as JSON."""

import json
import statistics
import time

from cryptography.fernet import Fernet

ROUNDS = 500
fernet = Fernet(Fernet.generate_key())
plain = b"a" * 64


def batch() -> float:
    start = time.perf_counter_ns()
    for _ in range(ROUNDS):
        fernet.decrypt(fernet.encrypt(plain))
    return (time.perf_counter_ns() - start) / ROUNDS


batch()
print(json.dumps({"one_field": round(statistics.median(batch() for _ in range(40)))}))
