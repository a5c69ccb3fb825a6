#!/bin/sh
# Prints the state of this host, for ParseState. Run it as root:
#
#   sh -s -- [FOLDER...]     files are listed below these folders; / if none is named
#
# It changes nothing. Records end with a NUL, since names of files may hold
# anything else; fields are parted by tabs, the last field may hold tabs. Each
# part ends with "done NAME" or "failed NAME", and the whole with "end": what
# could not be read is never taken for what is not there. The record in front of
# "failed" may be cut off.
set -u
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
[ $# -gt 0 ] || set -- /

max_bytes=33554432  # 32 MiB, some 300,000 files
max_hashed=262144   # bytes of a file that is hashed
part_seconds=20     # after which a part is given up: a dead mount hangs what looks at it

records() { tr '\n' '\0'; }

part() {
	name=$1
	shift
	if "$@" 2>/dev/null; then printf 'done\t%s\0' "$name"; else printf '\0failed\t%s\0' "$name"; fi
}

units() {
	shown=$(timeout "$part_seconds" systemctl show --no-pager \
		-p Id,ActiveState,SubState,NRestarts,InvocationID,UnitFileState \
		'*.service' '*.socket' '*.timer' '*.path' '*.swap' '*.target') || return 1
	printf '%s\n\n' "$shown" | awk '
		function put() {
			if (p["Id"] != "") printf "unit\t%s\t%s\t%s\t%s\t%s\t%s\n", p["ActiveState"], p["SubState"],
				p["NRestarts"], p["InvocationID"], p["UnitFileState"], p["Id"]
			split("", p)
		}
		$0 == "" { put(); next }
		{ at = index($0, "="); p[substr($0, 1, at - 1)] = substr($0, at + 1) }' | records
}

# A process may end while it is read. Its records are then fewer, and it is not
# counted. Kernel threads have no program.
processes() {
	printf 'self\t%s\0' "$$"
	find /proc/[0-9]*/exe -maxdepth 0 -printf 'exe\t%h\t%l\0'
	grep -sahz '' /proc/[0-9]*/stat | sed -z 's/^/stat\t/'
	grep -sazH '' /proc/[0-9]*/cmdline | cut -z -b -1024 | sed -z 's/^/arg\t/'
	grep -sH '^[0-9]*:\(name=systemd\)\{0,1\}:' /proc/[0-9]*/cgroup | sed 's/^/cgroup\t/' | records
}

# find ends with 1 when a file vanished in front of it, which is no failure.
listed() {
	timeout "$part_seconds" find "$@"
	[ $? -le 1 ]
}

# Left out: what the kernel makes up, what is rebuilt at each boot, the private
# /tmp of units, and the part of /usr/share that nothing runs from.
files() {
	listed "$@" \( -path /proc -o -path /sys -o -path /dev -o -path /run \
		-o -path '/tmp/systemd-private-*' -o -path '/var/tmp/systemd-private-*' \
		-o -path /usr/share/doc -o -path /usr/share/man -o -path /usr/share/locale -o -path /usr/share/zoneinfo \
		\) -prune -o -type d -printf 'dir\t%m\t%U\t%G\t%p\0' \
		-o -type f -printf 'file\t%s\t%T@\t%m\t%U\t%G\t%p\0' \
		-o -type l -printf 'link\t%p\0target\t%l\0'
}

# Configuration is hashed, so that one put back as it was is the same again.
hashes() {
	listed "$@" \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/lib -o -path /var/log \
		-o -path '/usr/[!l]*' -o -path '/usr/lib*' \) -prune \
		-o -type f -size "-${max_hashed}c" \( -path '/etc/*' -o -path '/usr/local/*' -o -path '/opt/*' -o -path '/root/*' \
		-o -path '/home/*' -o -path '/srv/*' -o -path '/var/spool/cron/*' \) -print0 |
		xargs -0 -r timeout "$part_seconds" sha256sum -z | sed -z 's/^/sha256\t/'
}

mounts() { sed 's/^/mount\t/' /proc/self/mountinfo | records; }

sysctls() {
	set -- "$(timeout "$part_seconds" grep -rs '' /proc/sys/net)"
	[ -n "$1" ] && printf '%s\n' "$1" | sed 's/^/sysctl\t/' | records
}

# 0A is listening, 07 is what a UDP socket is while it has no peer, and the flag
# 00010000 a Unix socket that listens (include/net/tcp_states.h, linux/net.h).
sockets() {
	for protocol in tcp tcp6 udp udp6; do
		[ ! -e /proc/net/$protocol ] || awk -v protocol=$protocol \
			'(protocol ~ /^tcp/ && $4 == "0A") || (protocol ~ /^udp/ && $4 == "07") { printf "socket\t%s\t%s\n", protocol, $2 }' /proc/net/$protocol
	done | records
	awk '$4 == "00010000" && $8 ~ /^\// { printf "socket\tunix\t%s\n", $8 }' /proc/net/unix | records
}

users() { sed 's/^/user\t/' /etc/passwd | records; }

# Flags are written in hexadecimal (linux/if.h: up, promiscuous ...).
interfaces() {
	for link in /sys/class/net/*; do
		[ ! -e "$link/mtu" ] || printf 'interface\t%s\t%s\t%s\0' "$(cat "$link/mtu")" "$(cat "$link/flags")" "${link##*/}"
	done
}

routes() { awk 'NR > 1 { printf "route\t%s %s %s %s %s %s\n", $1, $2, $3, $4, $7, $8 }' /proc/net/route | records; }

# -s leaves out the counters, which always move.
firewall() {
	command -v nft >/dev/null || return 0
	rules=$(timeout "$part_seconds" nft -s list ruleset) || return 1
	printf '%s' "$rules" | sha256sum | sed 's/ .*//; s/^/firewall\t/' | records
}

packages() {
	command -v dpkg-query >/dev/null || return 1
	known=$(timeout "$part_seconds" dpkg-query -W -f '${Version} ${db:Status-Abbrev}\t${Package}:${Architecture}\n') || return 1
	printf '%s\n' "$known" | sed 's/^/package\t/' | records
}

{
	printf 'state\t2\0'
	part unit units
	part process processes
	part file files "$@"
	part hash hashes "$@"
	part mount mounts
	part sysctl sysctls
	part socket sockets
	part user users
	part interface interfaces
	part route routes
	part firewall firewall
	part package packages
	printf 'end\t\0'
} | head -c "$max_bytes"
