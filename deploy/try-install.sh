#!/usr/bin/env bash
# Runs install.sh for real, as root, on a copy of this machine that is gone afterwards: a mount namespace with an overlay over `/`, a
# process and a network namespace of its own. Nothing of this machine changes.
#
#   deploy/try-install.sh BINARY [NEWER]
#
# First run, a second one that changes nothing, an upgrade to NEWER (or to a copy of BINARY), the same with a service manager, and runs
# that must stop. In place of systemd there is a stand-in that does what the unit says: systemd needs a machine of its own.
set -euo pipefail
fail() { echo "try-install: $*" >&2; exit 1; }

if [ "${1:-}" != --inside ]; then
    [ "$(id -u)" = 0 ] || fail "run it as root: it makes namespaces"
    binary=$(realpath "${1:?a binary}") newer=$(realpath "${2:-$1}")
    here=$(cd "$(dirname "$0")" && pwd)
    stage=$(mktemp -d)
    trap 'rmdir "$stage"' EXIT
    unshare --mount --pid --net --fork --kill-child bash -euc '
        stage=$1
        mount --make-rprivate /
        mount -t tmpfs tmpfs "$stage"
        mkdir "$stage/up" "$stage/work" "$stage/root"
        mount -t overlay overlay -o "lowerdir=/,upperdir=$stage/up,workdir=$stage/work" "$stage/root"
        mount --rbind /dev "$stage/root/dev"
        mount -t proc proc "$stage/root/proc"
        mount -t tmpfs tmpfs "$stage/root/run"
        mkdir "$stage/root/try" && mount --bind "$2" "$stage/root/try"
        touch "$stage/root/binary" "$stage/root/newer"
        mount --bind "$3" "$stage/root/binary" && mount --bind "$4" "$stage/root/newer"
        ip link set lo up
        chroot "$stage/root" /try/try-install.sh --inside
    ' namespaces "$stage" "$here" "$binary" "$newer"
    exit
fi

# From here on inside.
said=/said
installs() { /try/install.sh "$@" >$said 2>&1 || { cat $said >&2; fail "install.sh $*"; }; }
stops() { # WHY ARGUMENTS…
    local why=$1
    shift
    if /try/install.sh "$@" >$said 2>&1; then fail "install.sh $* must stop"; fi
    grep -q "$why" $said || { cat $said >&2; fail "install.sh $*: does not say $why"; }
}
state() { stat -c '%n %U %G %a %Y %s' /etc/chancery /etc/chancery/*; sha256sum /etc/chancery/*; }
is() { [ "$1" = "$2" ] || fail "$3: $1 and not $2"; }

stops "must name the program" --binary /nowhere
id chancery >/dev/null 2>&1 && fail "a service user is there before the first run"

echo "-- first run"
installs --binary /binary --listen 127.0.0.1:8710
grep -q "the first administrator gets in: 200" $said || fail "nobody got in"
grep -q "Recovery key" $said || fail "no recovery key"
for path in /etc/chancery /var/lib/chancery /etc/chancery/chancery.toml /etc/chancery/root.key /etc/chancery/admin-api-key; do
    is "$(stat -c %U "$path")" chancery "the owner of $path"
done
is "$(stat -c '%U %a' /usr/local/bin/chancery)" "root 755" "the program"
is "$(stat -c %a /etc/chancery/admin-api-key)" 600 "the administrator's key"
is "$(getent passwd chancery | cut -d: -f7)" /usr/sbin/nologin "the shell of the service user"
runuser -u nobody -- cat /etc/chancery/root.key 2>/dev/null && fail "anybody reads the root key"

nothing_runs() { pgrep -u chancery >/dev/null && { ps -fu chancery >&2; fail "the server that was asked still runs"; }; return 0; }
nothing_runs

echo "-- second run: nothing changes, and the configuration says where to ask"
before=$(state)
installs --binary /binary
is "$(state)" "$before" "the configuration and the keys"
grep -q "Recovery key" $said && fail "the store was made again"
grep -q "the first administrator gets in: 200" $said || fail "the key does not do any more"

nothing_runs

echo "-- with a service manager: started, and restarted with the newer program"
mkdir -p /run/systemd/system
cat >/usr/local/sbin/systemctl <<'END'
#!/usr/bin/env bash
# What the unit says, without systemd.
unit=/etc/systemd/system/chancery.service
case $1 in
    daemon-reload | enable) echo "$*" >>/systemctl.log ;;
    restart)
        echo "$*" >>/systemctl.log
        if [ -s /server.pid ]; then kill "$(cat /server.pid)" && tail --pid="$(cat /server.pid)" -f /dev/null; fi
        read -ra command <<<"$(sed -n 's/^ExecStart=//p' $unit)"
        setpriv --reuid "$(sed -n 's/^User=//p' $unit)" --regid chancery --clear-groups --no-new-privs \
            "${command[@]}" >/server.log 2>&1 &
        echo $! >/server.pid ;;
    *) exit 1 ;;
esac
END
chmod 755 /usr/local/sbin/systemctl
PATH=/usr/local/sbin:$PATH
installs --binary /binary
is "$(stat -c '%U %a' /etc/systemd/system/chancery.service)" "root 644" "the unit"
first=$(cat /server.pid)
if command -v systemd-analyze >/dev/null; then
    systemd-analyze verify /etc/systemd/system/chancery.service 2>&1 | grep -i 'chancery.service' && fail "systemd has something to say of the unit"
    systemd-analyze security --offline=true --threshold=20 /etc/systemd/system/chancery.service >/security.txt 2>&1 ||
        { cat /security.txt >&2; fail "the unit leaves the server more than it needs"; }
fi
installs --binary /newer
[ "$(cat /server.pid)" != "$first" ] || fail "the server was not restarted"
cmp -s /newer /usr/local/bin/chancery || fail "the program was not replaced"
is "$(state)" "$before" "the configuration and the keys after the upgrade"
kill -0 "$(cat /server.pid)" || { cat /server.log >&2; fail "nothing runs after the upgrade"; }
is "$(stat -c %u "/proc/$(cat /server.pid)")" "$(id -u chancery)" "whose process it is"

echo "-- what is not as it must be stops it"
kill "$(cat /server.pid)" && tail --pid="$(cat /server.pid)" -f /dev/null
rm -r /run/systemd/system
sed -i 's/^listen = .*/listen = "0.0.0.0:8710"/' /etc/chancery/chancery.toml
stops "is reachable from other machines" --binary /binary
sed -i 's/^listen = .*/listen = "127.0.0.1:8710"/' /etc/chancery/chancery.toml
chmod 644 /etc/chancery/root.key
stops "root.key" --binary /binary
chmod 600 /etc/chancery/root.key

echo "-- behind TLS of its own"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj "/CN=an authority" \
    -keyout /ca-key.pem -out /ca.pem 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=auth.clinic.test" \
    -keyout /etc/chancery/key.pem -out /asked.pem 2>/dev/null
printf 'subjectAltName=DNS:auth.clinic.test\n' >/names
openssl x509 -req -in /asked.pem -CA /ca.pem -CAkey /ca-key.pem -days 60 -extfile /names -out /etc/chancery/cert.pem 2>/dev/null
chown chancery:chancery /etc/chancery/key.pem /etc/chancery/cert.pem
sed -i -e 's/^listen = .*/listen = "0.0.0.0:8710"/' -e 's|^public_url = .*|public_url = "https://auth.clinic.test"|' /etc/chancery/chancery.toml
printf '\n[tls]\ncert_file = "/etc/chancery/cert.pem"\nkey_file = "/etc/chancery/key.pem"\n' >>/etc/chancery/chancery.toml
installs --binary /newer
grep -q "strangers are turned away: 401" $said || fail "it was not asked over TLS"
echo "install.sh did all of it"
