#!/usr/bin/env python3
"""Makes testdata/vectors/legacy/*.json: ciphertexts and keys as the systems that Chancery replaces wrote them, with PyPI `cryptography`.

Ciphertexts come from fixed keys, nonces and times, so they come out the same each time. The keys in keys.json are drawn anew; the
file is written only when it is absent or `--keys` is given. All keys here are public: never use them.
"""

import base64
import json
import sys
from pathlib import Path

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

FOLDER = Path(__file__).resolve().parents[2] / "testdata/vectors/legacy"
VALUES = ["", "Jane Doe", "Jürgen Groß \U0001f3e5", "x" * 1000, "1980-02-29"]
HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}


def pattern(start, length):
    return bytes((start + at) % 256 for at in range(length))


def standard(data):
    return base64.b64encode(data).decode()


def fernet():
    keys = [base64.urlsafe_b64encode(pattern(start, 32)).decode() for start in (1, 101, 201)]
    cases = []
    for number, value in enumerate(VALUES):
        key = number % 2
        token = Fernet(keys[key])._encrypt_from_parts(value.encode(), 1_600_000_000 + number, pattern(number, 16)).decode()
        cases.append({"key": key, "token": token, "plaintext": value})
    data_key = pattern(50, 32)
    forms = {"raw": data_key, "base64": base64.b64encode(data_key), "base64url": base64.urlsafe_b64encode(data_key), "hex": data_key.hex().encode()}
    wraps = [{"form": form, "token": Fernet(keys[0])._encrypt_from_parts(plaintext, 1_600_000_000, pattern(9, 16)).decode()} for form, plaintext in forms.items()]
    return {"keys": keys[:2], "other_key": keys[2], "cases": cases, "data_key": data_key.hex(), "wrapped_data_keys": wraps}


def derived(master, hash_name, salt, info):
    return HKDF(algorithm=HASHES[hash_name], length=32, salt=salt or None, info=info).derive(master)


def bare():
    """TN-07: base64(nonce + ciphertext + tag), no associated data, the key by HKDF from a master key and the tenant's UUID."""
    master, tenant = pattern(7, 32), "6f1c2a3e-0b5d-4c6e-9f70-112233445566"
    cases = []
    for number, (hash_name, salt, info) in enumerate(
        [("sha256", b"", tenant.encode()), ("sha256", tenant.encode(), b"tenant-encryption"), ("sha512", b"", b"tenant:" + tenant.encode()), ("sha384", b"salt", b"")]
    ):
        for at, value in enumerate(VALUES):
            nonce = pattern(16 * number + at, 12)
            sealed = nonce + AESGCM(derived(master, hash_name, salt, info)).encrypt(nonce, value.encode(), None)
            text = base64.urlsafe_b64encode(sealed).decode() if number == 2 else standard(sealed)
            cases.append({"hash": hash_name, "salt": salt.hex(), "info": info.hex(), "text": text, "plaintext": value})
    return {"master": master.hex(), "cases": cases}


def rows():
    """KM-05, KM-06, KM-08: four columns, the key by PBKDF2-HMAC-SHA256 from SECRET_KEY and the row's salt."""
    secrets = ["an-old-SECRET_KEY-that-signed-tokens-too", "the-SECRET_KEY-before-that"]
    spell = {"hex": bytes.hex, "base64": standard}
    cases = []
    for number, (iterations, ciphertext_in, others_in) in enumerate(
        [(None, "base64", "hex"), (None, "base64", "base64"), (120_000, "hex", "hex"), (1_000, "hex", "base64"), (1_000, "base64", "hex")]
    ):
        secret, salt, nonce, material = number % 2, pattern(number, 32), pattern(40 + number, 12), pattern(90 + number, 32 + number)
        key = PBKDF2HMAC(algorithm=hashes.SHA256(), length=32, salt=salt, iterations=iterations or 100_000).derive(secrets[secret].encode())
        sealed = AESGCM(key).encrypt(nonce, material, None)
        cases.append(
            {
                "secret": secret,
                "iterations": iterations,
                "ciphertext": spell[ciphertext_in](sealed[:-16]),
                "salt": spell[others_in](salt),
                "nonce": spell[others_in](nonce),
                "tag": spell[others_in](sealed[-16:]),
                "material": material.hex(),
            }
        )
    return {"secrets": secrets, "cases": cases}


def phi():
    """KM-20 and FE-10: the data key in a Fernet token under the key-encryption key, fields under HKDF(data key, context), the context as AAD."""
    kek, data_key = base64.urlsafe_b64encode(pattern(30, 32)).decode(), pattern(60, 32)
    wrapped = Fernet(kek)._encrypt_from_parts(base64.urlsafe_b64encode(data_key), 1_650_000_000, pattern(3, 16)).decode()
    cases = []
    for number, (context, bound) in enumerate([("user:42", True), ("user:43", True), ("user:42", False)]):
        for at, value in enumerate(VALUES[1:3]):
            nonce = pattern(11 * number + at, 12)
            key = derived(data_key, "sha256", b"", context.encode())
            sealed = nonce + AESGCM(key).encrypt(nonce, value.encode(), context.encode() if bound else None)
            cases.append({"context": context, "bound": bound, "text": standard(sealed), "plaintext": value})
    return {"kek": kek, "wrapped_data_key": wrapped, "cases": cases}


def keys():
    """Private keys as `tenant_keys` and openssl have them, with a signature of `message` by `cryptography`."""
    message, cases = b"signed by cryptography", []
    pem, plain, form = serialization.Encoding.PEM, serialization.NoEncryption(), serialization.PrivateFormat
    for name, key in [
        ("rsa_2048", rsa.generate_private_key(65537, 2048)),
        ("rsa_4096", rsa.generate_private_key(65537, 4096)),
        ("ec_p256", ec.generate_private_key(ec.SECP256R1())),
        ("ec_p384", ec.generate_private_key(ec.SECP384R1())),
        ("ed25519", ed25519.Ed25519PrivateKey.generate()),
    ]:
        public = key.public_key()
        case = {"type": name, "pkcs8": key.private_bytes(pem, form.PKCS8, plain).decode()}
        if name != "ed25519":
            case["traditional"] = key.private_bytes(pem, form.TraditionalOpenSSL, plain).decode()
        case["encrypted"] = key.private_bytes(pem, form.PKCS8, serialization.BestAvailableEncryption(b"password")).decode()
        case["public"] = public.public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
        if name.startswith("rsa"):
            case["public_pkcs1"] = public.public_bytes(pem, serialization.PublicFormat.PKCS1).decode()
            case["signatures"] = {
                "PS256": key.sign(message, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()).hex(),
                "RS256": key.sign(message, padding.PKCS1v15(), hashes.SHA256()).hex(),
            }
            oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
            case["oaep"] = {"plaintext": "a data key", "ciphertext": public.encrypt(b"a data key", oaep).hex()}
        elif name == "ed25519":
            case["signatures"] = {"EdDSA": key.sign(message).hex()}
        else:
            hash_, jose = (hashes.SHA256(), "ES256-DER") if name == "ec_p256" else (hashes.SHA384(), "ES384-DER")
            case["signatures"] = {jose: key.sign(message, ec.ECDSA(hash_)).hex()}
        cases.append(case)
    small = rsa.generate_private_key(65537, 3072).private_bytes(pem, form.PKCS8, plain).decode()
    exponent3 = rsa.generate_private_key(3, 2048).private_bytes(pem, form.PKCS8, plain).decode()
    p521 = ec.generate_private_key(ec.SECP521R1()).private_bytes(pem, form.PKCS8, plain).decode()
    return {"message": message.decode(), "cases": cases, "refused": {"rsa_3072": small, "exponent 3": exponent3, "P-521": p521}}


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for make in (fernet, bare, rows, phi, keys):
        file = FOLDER / f"{make.__name__}.json"
        if make is not keys or not file.exists() or "--keys" in sys.argv:
            file.write_text(json.dumps(make(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
