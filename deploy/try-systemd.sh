#!/usr/bin/env bash
# Runs install.sh and the unit for real under systemd, as root, on a copy of this machine that is gone afterwards: an overlay over `/`,
# namespaces of its own, and in them systemd as the first process. Nothing of this machine changes.
#
#   deploy/try-systemd.sh BINARY
#
# The server must do its work while each system call that the unit denies would kill it; another program in its place must be denied
# what anybody else may do.
set -euo pipefail
fail() { echo "try-systemd: $*" >&2; exit 1; }
here=$(cd "$(dirname "$0")" && pwd)

# In the namespaces, before there is a systemd.
if [ "${1:-}" = --stage ]; then
    stage=$2 binary=$3 group=$4 out=$5 root=$2/root
    mount --make-rprivate /
    mount -t tmpfs tmpfs "$stage"
    mkdir "$stage/up" "$stage/work" "$root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$stage/up,workdir=$stage/work" "$root"
    for folder in run tmp dev; do mount -t tmpfs tmpfs "$root/$folder"; done
    for device in null zero full random urandom tty; do
        touch "$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    mkdir "$root"/dev/{pts,shm,mqueue,hugepages}
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    mount -t tmpfs tmpfs "$root/dev/shm"
    # What is the whole machine's can be seen and not changed.
    mount -t proc proc "$root/proc"
    mount --bind "$root/proc/sys" "$root/proc/sys"
    mount -o remount,bind,ro "$root/proc/sys"
    mount -t sysfs -o ro sysfs "$root/sys"
    mkdir "$root/try" "$root/out"
    mount --bind "$here" "$root/try"
    mount --bind "$out" "$root/out"
    touch "$root/binary"
    mount --bind "$binary" "$root/binary"
    # Of what this machine starts, the journal alone.
    find "$root"/{usr/lib,lib,etc}/systemd/system/*.wants/ ! -name 'systemd-journald*' \( -type l -o -type f \) -delete
    ln -sf /dev/null "$root/etc/systemd/system/tmp.mount"
    cat >"$root/etc/systemd/system/try.service" <<END
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/bash -c '/try/try-systemd.sh --inside && touch /out/fine'
ExecStopPost=/bin/systemctl exit
StandardOutput=file:/out/said
StandardError=file:/out/said
END
    ip link set lo up
    echo 0 >"$group/cgroup.procs"
    exec unshare --cgroup bash -c '
        mount -t cgroup2 cgroup2 "$1/sys/fs/cgroup"
        exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=unshare \
            setpriv --bounding-set -sys_module,-sys_time,-sys_rawio,-sys_boot \
            chroot "$1" /lib/systemd/systemd --system --unit=try.service --show-status=no </dev/null >/dev/null 2>&1
    ' systemd "$root"
fi

# What the unit takes away, tried by a program in the server's place, and by one outside of it.
if [ "${1:-}" = --probe ]; then
    probe() { # WHAT COMMAND…
        local what=$1 found=allowed
        shift
        "$@" >/dev/null 2>&1 || found=denied
        [ "$found" = "$expected" ] || fail "to $what is $found and not $expected"
    }
    expected=allowed
    probe "write its data" touch /var/lib/chancery/probe
    expected=$2
    probe "write elsewhere" touch /srv/anybody/probe
    probe "look into homes" ls /home
    probe "give a file away" chgrp chancery /var/lib/chancery/probe
    probe "have another personality" setarch --addr-no-randomize true
    probe "run what it wrote into memory" python3 -c 'import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)'
    exit 0
fi

if [ "${1:-}" != --inside ]; then
    [ "$(id -u)" = 0 ] || fail "run it as root: it makes namespaces"
    [ -x /lib/systemd/systemd ] || fail "systemd is needed (apt-get install systemd)"
    binary=$(realpath "${1:?a binary}") stage=$(mktemp -d) out=$(mktemp -d)
    groups=$(findmnt --noheadings --types cgroup2 --output TARGET | head -1)
    group=${groups:?no cgroup2 is mounted}/chancery-try-$$
    mkdir "$group"
    ends() {
        # The kernel takes the last processes out of it a moment after they ended.
        for _ in $(seq 50); do find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break; sleep 0.1; done
        rm -rf "$out"
        rmdir "$stage"
    }
    trap ends EXIT
    timeout --kill-after=5 180 unshare --mount --pid --net --ipc --uts --fork --kill-child \
        "$here/try-systemd.sh" --stage "$stage" "$binary" "$group" "$out" || true
    cat "$out/said" || true
    [ -e "$out/fine" ] || fail "the unit does not do what it must"
    exit
fi

# From here on a service of that systemd.
is() { [ "$1" = "$2" ] || fail "$3: $1 and not $2"; }
told() { systemctl show --property "$1" --value chancery; }
status() { awk -v name="$1:" '$1 == name { print $2 }' "/proc/$(told MainPID)/status"; }

echo "-- installed and started by systemd"
/try/install.sh --binary /binary --listen 127.0.0.1:8710 >/installed 2>&1 || { cat /installed; fail "install.sh"; }
grep -q "the first administrator gets in: 200" /installed || fail "nobody got in"
is "$(stat -c %U "/proc/$(told MainPID)/status")" root "what no other process of the account may look into"
is "$(status Uid) $(status NoNewPrivs) $(status Seccomp) $(status CapBnd)" "$(id -u chancery) 1 2 0000000000000400" "how it runs"

echo "-- it needs no system call that the unit denies"
mkdir /etc/systemd/system/chancery.service.d
printf '[Service]\nSystemCallErrorNumber=\n' >/etc/systemd/system/chancery.service.d/deadly.conf
systemctl daemon-reload
systemctl restart chancery
export CHANCERY_URL=http://127.0.0.1:8710 CHANCERY_API_KEY_FILE=/etc/chancery/keys/admin-api-key
chancery=/usr/local/bin/chancery
$chancery tenant create north --name North >/tenant
tenant=$(grep -o 'ten_[0-9A-Z]*' /tenant | head -1)
(umask 077 && echo "A long password of nobody's, 7!" >/password)
$chancery user create ada --email ada@north.test --role tenant_admin --tenant "$tenant" --password-file /password >/dev/null
login='{"tenant": "north", "username": "ada", "password": "not hers, and long enough"}'
is "$(curl -s -o /answer -w '%{http_code}' -H 'content-type: application/json' -d "$login" $CHANCERY_URL/v1/auth/login)" 401 "a wrong password"
systemctl reload chancery
curl -fsS -o /dev/null $CHANCERY_URL/readyz
systemctl stop chancery
is "$(told Result) $(told NRestarts)" "success 0" "how it ended"

echo "-- what it does not need is denied"
install -d -m 777 /srv/anybody
sed -e 's/^Type=.*/Type=oneshot/' -e 's|^ExecStart=.*|ExecStart=/try/try-systemd.sh --probe denied|' -e '/^Restart/d' -e '/^ExecReload/d' \
    /etc/systemd/system/chancery.service >/etc/systemd/system/probe.service
setpriv --reuid chancery --regid chancery --init-groups /try/try-systemd.sh --probe allowed
systemctl daemon-reload
systemctl start probe || { journalctl --unit probe --no-pager --output cat; fail "the unit"; }
echo "the unit does all of it"
