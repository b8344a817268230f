#!/usr/bin/env bash
# Runs the application alone, and its own tests against it; then, if CHANCERY names the program, the same behind its gateway: first one
# that watches, then one that asks for a key and holds requests to the application's own document.
set -euo pipefail
cd "$(dirname "$0")"
export PYTHONDONTWRITEBYTECODE=1
venv=${VENV:-$(cd ../.. && pwd)/target/venv-example}
port=${PORT:-8000} front=${FRONT:-8080} api=${API:-8700}
work=$(mktemp -d)
children=()
finish() { for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done; wait; rm -rf "$work"; }
trap finish EXIT

# What pip installs is exactly what the file names, by its hashes.
if ! cmp -s requirements.txt "$venv/requirements.txt"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --require-hashes --only-binary :all: -r requirements.txt
    cp requirements.txt "$venv/requirements.txt"
fi
until_it_answers() { # URL [KEY]
    for _ in $(seq 200); do
        if "$venv/bin/python" - "$1" "${2:-}" 2>/dev/null <<'END'
import sys, urllib.request
urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers={"Authorization": f"Bearer {sys.argv[2]}"} if sys.argv[2] else {}), timeout=2)
END
        then return; fi
        sleep 0.1
    done
    echo "nothing answers at $1" >&2
    exit 1
}
own_tests() { "$venv/bin/python" -m pytest -q -p no:cacheprovider tests --base-url "$1"; }
# Starts the gateway with these arguments, in the place of the one that runs.
gateway=
gateway() {
    [ -z "$gateway" ] || { kill "$gateway" && wait "$gateway" || true; }
    "$CHANCERY" gateway --dev --data "$work/data" --listen "127.0.0.1:$front" --api-listen "127.0.0.1:$api" --metrics-listen 127.0.0.1:0 \
        "$@" >"$work/gateway.log" 2>&1 &
    gateway=$!
    children+=("$gateway")
}

echo "-- alone, at http://127.0.0.1:$port"
"$venv/bin/uvicorn" clinic.main:app --port "$port" --log-level warning &
children+=($!)
until_it_answers "http://127.0.0.1:$port/health"
own_tests "http://127.0.0.1:$port"

[ -n "${CHANCERY:-}" ] || exit 0
echo "-- behind the gateway, at http://127.0.0.1:$front, which watches: the tests bring no credential"
gateway --upstream "http://127.0.0.1:$port" --mode observe
(until_it_answers "http://127.0.0.1:$front/health") || { tail -20 "$work/gateway.log"; exit 1; }
own_tests "http://127.0.0.1:$front"

echo "-- behind the gateway, which enforces: a key, and what the application's own document says"
cat >"$work/chancery.toml" <<END
[gateway]
upstream = "http://127.0.0.1:$port"

[[gateway.schemas]]
name = "clinic"
url = "http://127.0.0.1:$port/openapi.json"
trimmed = ["POST /api/lattices /name"]

[[gateway.routes]]
path = "/health"
authentication = "none"

[[gateway.routes]]
path = "/hooks/lab"              # the laboratory signs, and the application checks that itself
authentication = "none"

[[gateway.routes]]
path = "/api/*"
schema = "clinic"
body_bytes = 67108864
END
gateway --config "$work/chancery.toml"
(until_it_answers "http://127.0.0.1:$api/readyz") || { tail -20 "$work/gateway.log"; exit 1; }
key=$(ADMIN=$(cat "$work/data/admin-api-key") "$venv/bin/python" - "http://127.0.0.1:$api" <<'END'
import os, sys, httpx
api = httpx.Client(base_url=sys.argv[1], headers={"Authorization": f"Bearer {os.environ['ADMIN']}"}, timeout=30)
tenant = api.post("/v1/tenants", json={"name": "Clinic", "slug": "clinic"}).raise_for_status().json()["id"]
key = {"description": "the application's own tests", "roles": ["clinician"]}
print(api.post(f"/v1/tenants/{tenant}/api-keys", json=key).raise_for_status().json()["key"])
END
)
# Until the document is there, 503.
(until_it_answers "http://127.0.0.1:$front/api/patients" "$key") || { tail -20 "$work/gateway.log"; exit 1; }
CLINIC_HEADERS="{\"Authorization\": \"Bearer $key\"}" own_tests "http://127.0.0.1:$front"
KEY=$key "$venv/bin/python" - "http://127.0.0.1:$front" <<'END'
import os, sys, httpx
lattice = {"name": "  ", "dimensions": 11, "size": 1}
answer = httpx.post(f"{sys.argv[1]}/api/lattices", json=lattice)
assert answer.status_code == 401, answer.text
answer = httpx.post(f"{sys.argv[1]}/api/lattices", json=lattice, headers={"Authorization": f"Bearer {os.environ['KEY']}"})
refused = answer.json()
assert (answer.status_code, refused["code"]) == (422, "request.invalid"), answer.text
assert {error["pointer"] for error in refused["errors"]} == {"/name", "/dimensions", "/size"}, refused
print("-- a lattice that the document does not allow is refused before the application is asked:", answer.text)
END
