#!/bin/sh
# Says how a booted example is, a line for each fact. Arguments: a host that a DNS server knows, the server's address and
# port, the name server of the machine that built the image.
host=$1 server=$2 builder=$3
say() { printf '%s: %s\n' "$1" "$2"; }

say system "$(systemctl is-system-running --wait)"
say failed "$(systemctl --failed --no-legend --plain | tr '\n' ';')"
# shellcheck source=/dev/null
. /etc/os-release
say release "$VERSION_CODENAME"
say cmdline "$(cat /proc/cmdline)"

# What no two machines share.
say id "$(cat /etc/machine-id)"
say dbus "$(cat /var/lib/dbus/machine-id 2>/dev/null)"
say name "$(hostname)"
say key "$(cut -d ' ' -f 2 /etc/ssh/ssh_host_ed25519_key.pub)"

say ping "$(setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all ping -c 1 -W 20 10.0.2.2 2>&1 |
	tail -n 2 | tr '\n' ' ' | sed 's/.* \(1 received\),.*/\1/')"

# Names: resolved's stub answers both to the resolver of the C library, for what reads resolv.conf, and to nss-resolve.
say resolv "$(readlink /etc/resolv.conf)"
link=$(ip -o route get 10.0.2.2 | sed 's/.* dev \([^ ]*\).*/\1/')
say link "$(networkctl --no-legend list "$link" | awk '{print $4, $5}')"
resolvectl dns "$link" "$server"
resolvectl domain "$link" '~.'
say stub "$(getent -s dns ahostsv4 "$host" | sed -n '1s/ .*//p')"
say nss "$(getent -s resolve ahostsv4 "$host" | sed -n '1s/ .*//p')"
say localhost "$(getent -s files ahostsv4 localhost | sed -n '1s/ .*//p')"
say myself "$(getent -s myhostname hosts "$(hostname)" | grep -c .)"

say ntp "$(timedatectl show --property NTP --value) $(systemctl is-active systemd-timesyncd)"
say journal "$(journalctl --header | sed -n 's/^File path: //p' | cut -d / -f 2-4 | sort -u | tr '\n' ' ')"
say getty "$(systemctl is-active serial-getty@ttyS0)"
say timers "$(systemctl list-timers --no-legend | grep -o '[^ ]*\.timer' | sort | tr '\n' ' ')"
say builder "$(test -z "$builder" || grep -rIlF -e "$builder" /etc | tr '\n' ' ')"
say lists "$(find /var/lib/apt/lists /var/cache/apt/archives -type f ! -name lock | wc -l)"

# The tool, as it is and by the unit of examples/status.
wyrcan status -tls-verify=false >/dev/null 2>&1
say status $?
systemctl start wyrcan-status
say unit "$? $(journalctl --unit wyrcan-status --output cat | grep -c '^tag ')"
say image "$(wyrcan status -offline | sed -n 's/^image  *//p')"
say second "$(cat /etc/second 2>/dev/null)"
