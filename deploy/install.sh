#!/usr/bin/env bash
# Installs Chancery on this machine, or brings it up to date: places the files, makes or migrates the store, makes the first
# administrator's key, starts the service where systemd runs, and asks it a few questions.
#
#   deploy/install.sh --binary target/release/chancery [--config FILE] [--url https://chancery.example] [--root DIR] [--listen ADDR]
#
# `--root` places everything below a folder, and starts the program only for the questions: to try it out, or to build an image.
# A second run keeps configuration, keys and data, and replaces the program. It stops at the first thing that is not as it must be.
# `--listen` and `--url` are for the first run without `--config`: afterwards the configuration says where the server answers.
set -euo pipefail
umask 077

binary= config= url= root= listen=
usage() { sed -n '2,9p' "$0" | sed 's/^# \{0,1\}//'; exit "${1:-0}"; }
fail() { echo "install: $*" >&2; exit 1; }
while [ $# -gt 0 ]; do
    case $1 in
        --binary) binary=${2:?}; shift 2 ;;
        --config) config=${2:?}; shift 2 ;;
        --url) url=${2:?}; shift 2 ;;
        --root) root=${2:?}; shift 2 ;;
        --listen) listen=${2:?}; shift 2 ;;
        -h | --help) usage ;;
        *) usage 2 ;;
    esac
done
[ -x "$binary" ] || fail "--binary must name the program"
"$binary" --version >/dev/null || fail "$binary does not run on this machine"
[ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "run it as root, or with --root"
command -v curl >/dev/null || fail "curl is needed for the questions at the end"

here=$(cd "$(dirname "$0")" && pwd)
program=$root/usr/local/bin/chancery etc=$root/etc/chancery data=$root/var/lib/chancery
# The configuration is root's, and the service reads it. In a folder that the service's account owns anything may be a link by now: root
# writes nothing there, and reads as that account.
keys=$etc/keys
file=$etc/chancery.toml key=$keys/admin-api-key
systemd() { [ -z "$root" ] && [ -d /run/systemd/system ]; }
# As whom the server runs. Below another root everything is whoever's who asks. No function: what runs in the background must be the
# server itself, so that it ends with us.
as_service=()
[ -n "$root" ] || as_service=(setpriv --reuid chancery --regid chancery --init-groups)

echo "-- files"
if [ -z "$root" ] && ! id chancery >/dev/null 2>&1; then
    useradd --system --home-dir /var/lib/chancery --shell /usr/sbin/nologin chancery
fi
owner() { [ -n "$root" ] || chown "$@"; }
# What root goes on to own or believe must be the thing itself.
itself() {
    [ ! -L "$1" ] || fail "$1 is a link: look who made it, and put the thing itself there"
    [ ! -f "$1" ] || [ "$(stat -c %h "$1")" = 1 ] || fail "$1 has another name too: look who gave it that, and take one away"
}
install -d -m 755 "$(dirname "$program")"
install -d -m 700 "$etc" "$data"
# Older versions gave this folder to the service. From here on nobody else puts anything into it: first the owner, who could change
# the mode, then the mode.
owner root:chancery "$etc"
chmod 750 "$etc"
for path in "$keys" "$file" "$etc/initialised"; do itself "$path"; done
install -d -m 700 "$keys"
owner chancery:chancery "$keys" "$data"
# Beside it and then over it: a running program is not written into.
install -m 755 "$binary" "$program.new"
mv -f "$program.new" "$program"
if [ ! -e "$file" ]; then
    if [ -n "$config" ]; then
        install -m 640 "$config" "$file"
    else
        cat >"$file" <<END
data_dir = "$data"

[server]
listen = "${listen:-127.0.0.1:8700}"
metrics_listen = "127.0.0.1:0"
public_url = "${url:-http://${listen:-127.0.0.1:8700}}"

[kms.local]
key_file = "$keys/root.key"
END
    fi
fi
owner root:chancery "$file"
chmod 640 "$file"
# A text of a section of the configuration.
setting() {
    awk -v section="$1" -v key="$2" '
        /^[ \t]*\[/ { now = $0; sub(/#.*/, "", now); gsub(/[][ \t]/, "", now); next }
        now == section && $0 ~ "^[ \t]*" key "[ \t]*=" { sub(/^[^"]*"/, ""); sub(/".*/, ""); print; exit }' "$file"
}

# Below this port nobody listens without the capability for it. The unit gives it; where there is no systemd it is given here.
private=$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start 2>/dev/null || echo 1024)
low=$({
    setting server listen
    setting server metrics_listen
    setting gateway listen
    setting tls redirect_listen
} | awk -F: -v from="$private" '$NF > 0 && $NF + 0 < from + 0 && (!low || $NF + 0 < low + 0) { low = $NF } END { print low }')
serves=("${as_service[@]}")
if [ -n "$low" ] && ! systemd; then
    [ -n "$root" ] || serves+=(--inh-caps +net_bind_service --ambient-caps +net_bind_service)
    caps=$("${serves[@]}" awk '/^CapEff:/ { print $2 }' /proc/self/status 2>/dev/null) || caps=0
    (( (16#$caps >> 10) & 1 )) || fail "$file says port $low, and nobody here may give the server a port below $private:" \
        "allow it (sysctl net.ipv4.ip_unprivileged_port_start=$low), or take a port from $private on"
fi

if systemd; then
    for unit in chancery.service chancery-sample-logs.service chancery-sample-logs.timer; do
        install -m 644 "$here/$unit" "/etc/systemd/system/$unit"
    done
    systemctl daemon-reload
fi

if [ ! -e "$etc/initialised" ]; then
    echo "-- store, root key, first administrator: what is printed here is printed once"
    "${as_service[@]}" "$program" init --config "$file" --admin-key-file "$key"
    touch "$etc/initialised"
else
    echo "-- the store is there; the server brings it up to date when it starts"
fi

echo "-- start"
work=$(mktemp -d) server=
ends() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap ends EXIT
if systemd; then
    systemctl enable --quiet chancery
    systemctl enable --quiet --now chancery-sample-logs.timer
    # Returns when the server says that it is ready. Why it is not, it said there.
    systemctl restart chancery || { journalctl --unit chancery --lines 20 --no-pager >&2 || true; fail "the server does not start"; }
else
    "${serves[@]}" "$program" serve --config "$file" >"$work/server.log" 2>&1 &
    server=$!
fi

echo "-- questions"
listen=$(setting server listen)
listen=${listen:-127.0.0.1:8700}
# Every address of this machine is asked here.
base=http://$(printf %s "$listen" | sed -e 's/^0\.0\.0\.0:/127.0.0.1:/' -e 's/^\[::\]:/[::1]:/')
tls=()
if [ -n "$(setting tls cert_file)" ] || [ -n "$(grep -E '^[[:space:]]*\[tls\.acme\]' "$file")" ]; then
    # For other names than this one; whether it does, doctor says.
    base=https${base#http} tls=(--insecure)
fi
for _ in $(seq 300); do
    if curl -fsS "${tls[@]}" -o /dev/null "$base/readyz" 2>/dev/null; then break; fi
    [ -z "$server" ] || kill -0 "$server" 2>/dev/null || { tail -20 "$work/server.log" >&2; fail "the server ended"; }
    sleep 0.1
done
asked() { # STATUS WHAT CURL-ARGUMENTS…
    local wanted=$1 what=$2 found
    shift 2
    found=$(curl -sS "${tls[@]}" -o /dev/null -w '%{http_code}' "$@") || found="no answer"
    [ "$found" = "$wanted" ] || fail "$what: $found and not $wanted"
    echo "   $what: $found"
}
if systemd && ! curl -fsS "${tls[@]}" -o /dev/null "$base/readyz" 2>/dev/null; then
    # Why, the server said there.
    journalctl --unit chancery --lines 20 --no-pager >&2 || true
fi
# Whether it is this process that listens at a port, and nobody who was there before it: 2 if that cannot be known here.
listens() { # PID PORT
    local inode inodes
    [ -d "/proc/$1" ] || return 1
    # One that has ended and was not waited for has no files that could be looked at.
    ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" || return 1
    [ -n "$(find "/proc/$1/fd" -lname '*' -print -quit 2>/dev/null)" ] || return 2
    inodes=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        awk -v port="$(printf ':%04X' "$2")" '$4 == "0A" && substr($2, length($2) - 4) == port { print $10 }')
    [ -n "$inodes" ] || return 1
    for inode in $inodes; do
        [ -n "$(find "/proc/$1/fd" -lname "socket:\[$inode\]" -print -quit 2>/dev/null)" ] || return 1
    done
}
asked 200 "it lives" "$base/livez"
asked 200 "it can serve" "$base/readyz"
asked 200 "its keys are there" "$base/.well-known/jwks.json"
asked 200 "its interface is described" "$base/openapi.json"
asked 401 "strangers are turned away" "$base/v1/tenants"
pid=$server
if systemd; then pid=$(systemctl show --property MainPID --value chancery); fi
known=0
listens "$pid" "${listen##*:}" || known=$?
[ "$known" != 1 ] || fail "whoever answers at $listen is not the server that was started: another program has the port"
if [ "$known" != 0 ]; then
    echo "   who listens at $listen cannot be known here: the first administrator's key is not tried"
elif [ -s "$key" ]; then
    secret=$("${as_service[@]}" head -c 400 "$key") || fail "the service cannot read $key"
    # It goes into a text that curl reads as its options.
    [[ $secret =~ ^chy_[A-Za-z0-9_]+$ ]] || fail "$key holds no API key"
    # Not as an argument, which every process on the machine could read.
    printf 'header = "Authorization: Bearer %s"\n' "$secret" |
        asked 200 "the first administrator gets in" --config - "$base/v1/tenants"
fi
said=$("${as_service[@]}" "$program" doctor --config "$file" 2>&1) || { printf '%s\n' "$said" >&2; fail "doctor found a fault"; }
[ -z "$server" ] || kill -0 "$server" 2>/dev/null || { tail -20 "$work/server.log" >&2; fail "the server ended"; }
systemd || echo "   no systemd here: nothing runs now. Start it as the service, not as root: ${serves[*]} $program serve --config $file"
echo "installed: $("$program" --version); configuration $file, first administrator's key $key (move it to where you keep secrets)"
