#!/usr/bin/env bash
# Runs the application alone, and its own tests against it; then, if CHANCERY names the program, the same behind its gateway.
set -euo pipefail
cd "$(dirname "$0")"
export PYTHONDONTWRITEBYTECODE=1
environment=${ENVIRONMENT:-$(cd ../.. && pwd)/target/venv-example}
port=${PORT:-8000} front=${FRONT:-8080}
work=$(mktemp -d)
children=()
finish() { for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done; wait; rm -rf "$work"; }
trap finish EXIT

# What pip installs is exactly what the file names, by its hashes.
if ! cmp -s requirements.txt "$environment/requirements.txt"; then
    python3 -m venv --clear "$environment"
    "$environment/bin/pip" install --quiet --require-hashes --only-binary :all: -r requirements.txt
    cp requirements.txt "$environment/requirements.txt"
fi
until_it_answers() {
    for _ in $(seq 200); do
        if "$environment/bin/python" -c "import urllib.request as r; r.urlopen('$1', timeout=2)" 2>/dev/null; then return; fi
        sleep 0.1
    done
    echo "nothing answers at $1" >&2
    exit 1
}

echo "-- alone, at http://127.0.0.1:$port"
"$environment/bin/uvicorn" clinic.main:app --port "$port" --log-level warning &
children+=($!)
until_it_answers "http://127.0.0.1:$port/health"
"$environment/bin/python" -m pytest -q -p no:cacheprovider tests --base-url "http://127.0.0.1:$port"

[ -n "${CHANCERY:-}" ] || exit 0
echo "-- behind the gateway, at http://127.0.0.1:$front"
# It only watches: the tests bring no credential. `--mode enforce` refuses them.
"$CHANCERY" gateway --dev --data "$work/data" --upstream "http://127.0.0.1:$port" --listen "127.0.0.1:$front" --mode observe \
    --api-listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 >"$work/gateway.log" 2>&1 &
children+=($!)
until_it_answers "http://127.0.0.1:$front/health" || { tail -20 "$work/gateway.log"; exit 1; }
"$environment/bin/python" -m pytest -q -p no:cacheprovider tests --base-url "http://127.0.0.1:$front"
