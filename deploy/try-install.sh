#!/usr/bin/env bash
# Runs install.sh for real, as root, on a copy of this machine that is gone afterwards: a mount namespace with an overlay over `/`, a
# process and a network namespace of its own. Nothing of this machine changes.
#
#   deploy/try-install.sh BINARY [NEWER]
#
# First run, a second one that changes nothing, an upgrade to NEWER (or to a copy of BINARY), the same with a service manager, and runs
# that must stop. In place of systemd there is a stand-in that does what the unit says: try-systemd.sh has a real one.
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
state() { find /etc/chancery -printf '%p %u %g %m %T@ %s\n' | sort; find /etc/chancery -type f -exec sha256sum {} + | sort; }
is() { [ "$1" = "$2" ] || fail "$3: $1 and not $2"; }

stops "must name the program" --binary /nowhere
id chancery >/dev/null 2>&1 && fail "a service user is there before the first run"

echo "-- first run"
installs --binary /binary --listen 127.0.0.1:8710
grep -q "the first administrator gets in: 200" $said || fail "nobody got in"
grep -q "Recovery key" $said || fail "no recovery key"
for path in /etc/chancery/keys /var/lib/chancery; do is "$(stat -c '%U %a' $path)" "chancery 700" "$path"; done
for path in /etc/chancery/keys/root.key /etc/chancery/keys/admin-api-key; do is "$(stat -c '%U %a' $path)" "chancery 600" "$path"; done
is "$(stat -c '%U %G %a' /etc/chancery)" "root chancery 750" "the folder of the configuration"
is "$(stat -c '%U %G %a' /etc/chancery/chancery.toml)" "root chancery 640" "the configuration"
is "$(stat -c '%U %a' /usr/local/bin/chancery)" "root 755" "the program"
is "$(getent passwd chancery | cut -d: -f7)" /usr/sbin/nologin "the shell of the service user"
runuser -u nobody -- cat /etc/chancery/keys/root.key 2>/dev/null && fail "anybody reads the root key"

nothing_runs() { pgrep -u chancery >/dev/null && { ps -fu chancery >&2; fail "the server that was asked still runs"; }; return 0; }
nothing_runs

echo "-- second run: nothing changes, and the configuration says where to ask"
before=$(state)
installs --binary /binary
is "$(state)" "$before" "the configuration and the keys"
grep -q "Recovery key" $said && fail "the store was made again"
grep -q "the first administrator gets in: 200" $said || fail "the key does not do any more"

nothing_runs

echo "-- a port below 1024, where no systemd gives what it takes"
listens_at() { sed -i "s/^listen = .*/listen = \"$1\"/" /etc/chancery/chancery.toml; }
listens_at 127.0.0.1:710
installs --binary /binary
grep -q "the first administrator gets in: 200" $said || fail "nobody got in at a low port"
grep -q "Start it as the service.*+net_bind_service .*chancery serve" $said || fail "it does not say how to start it at a low port"
nothing_runs
if setpriv --bounding-set -net_bind_service /try/install.sh --binary /binary >$said 2>&1; then fail "install.sh must stop: it cannot give the port"; fi
grep -q "says port 710, .*ip_unprivileged_port_start=710" $said || { cat $said >&2; fail "install.sh does not say what the port takes"; }
grep -q -e "-- start" $said && fail "the server was started at a port that it cannot have"
listens_at 127.0.0.1:8710
installs --binary /binary
grep -q "net_bind_service" $said && fail "it is given a capability that it does not need"
nothing_runs

echo "-- whoever has the service's account has not root's: where root writes and reads there is no link of its own"
as_service() { runuser -u chancery -- "$@"; }
as_service ln -sf /etc/shadow /etc/chancery/chancery.toml 2>/dev/null && fail "the service changes its configuration"
shadow=$(stat -c '%U %G %a %s' /etc/shadow)
for name in doctor.txt first-start.log; do as_service ln -sf /etc/cron.d/of-the-service /var/lib/chancery/$name; done
installs --binary /binary
[ ! -e /etc/cron.d/of-the-service ] || fail "root wrote where a link of the service led"
rm /var/lib/chancery/doctor.txt /var/lib/chancery/first-start.log
key=/etc/chancery/keys/admin-api-key
mv $key /admin-api-key
as_service ln -s /etc/shadow $key
stops "cannot read" --binary /binary
rm $key
printf 'x"\noutput = "/etc/cron.d/of-the-service' >$key && chown chancery $key
stops "holds no API key" --binary /binary
[ ! -e /etc/cron.d/of-the-service ] || fail "curl took options of the service"
mv -f /admin-api-key $key
# As older versions left it: the folder was the service's own.
mv /etc/chancery/chancery.toml /chancery.toml
chown chancery:chancery /etc/chancery && chmod 700 /etc/chancery
as_service ln -s /etc/shadow /etc/chancery/chancery.toml
stops "is a link" --binary /binary
rm /etc/chancery/chancery.toml
ln /etc/shadow /etc/chancery/chancery.toml
stops "has another name" --binary /binary
rm /etc/chancery/chancery.toml
is "$(stat -c '%U %G %a %s' /etc/shadow)" "$shadow" "/etc/shadow"
cp /chancery.toml /etc/chancery/chancery.toml && chown chancery:chancery /etc/chancery /etc/chancery/chancery.toml
chmod 700 /etc/chancery && chmod 600 /etc/chancery/chancery.toml
installs --binary /binary
is "$(stat -c '%U %G %a' /etc/chancery /etc/chancery/chancery.toml | xargs)" "root chancery 750 root chancery 640" "what was the service's"
nothing_runs

echo "-- whoever had the port before is not told the key"
install -d -m 700 -o nobody /strange
setpriv --reuid "$(id -u nobody)" --regid "$(id -g nobody)" --clear-groups /binary serve --dev --data /strange --listen 127.0.0.1:8710 >/strange.log 2>&1 &
stranger=$!
for _ in $(seq 300); do curl -fs -o /dev/null http://127.0.0.1:8710/readyz && break; sleep 0.1; done
if /try/install.sh --binary /binary >$said 2>&1; then fail "install.sh must stop: somebody else has the port"; fi
grep -Eq "another program has the port|the server ended" $said || { cat $said >&2; fail "install.sh does not say that somebody else has the port"; }
grep -q "the first administrator gets in" $said && fail "the key went to a stranger"
kill $stranger && wait $stranger || true
nothing_runs
before=$(state)

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
    show) cat /server.pid ;;
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
listens_at 0.0.0.0:8710
stops "is reachable from other machines" --binary /binary
listens_at 127.0.0.1:8710
chmod 644 /etc/chancery/keys/root.key
stops "root.key" --binary /binary
chmod 600 /etc/chancery/keys/root.key

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
