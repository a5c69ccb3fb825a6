#!/bin/sh
# A tool for HostRCA-bench that does what people do first: df and systemctl
# --failed on the hosts that the alerts, or people, name. It changes nothing. What it scores
# is the least that a diagnosis has to beat, and it shows what a tool is asked and
# answers (docs/lab.md).
#
#   go run ./examples/lab bench --tool examples/lab/baseline/first-look.sh --release 1 --records first-look.jsonl
set -eu

found=""

# hypothesis CAUSE HOST KEY VALUE: the first is claimed, the others are only
# suggested. Values are names of units and mount points, without quotes.
hypothesis() {
	case $4 in *[\"\\]*) return 0 ;; esac
	band=possible
	[ -n "$found" ] || band=likely
	found="$found${found:+,}{\"cause\":\"$1\",\"entity\":\"$2\",\"object\":{\"$3\":\"$4\"},\"band\":\"$band\"}"
}

signals=$(cat)
for host in $(printf '%s' "$signals" | grep -o '"instance":"[a-z0-9]*' | cut -d '"' -f 4 | sort -u); do
	looked=$(ssh -n -F "$HOSTRCA_SSH_CONFIG" -o ConnectTimeout=5 "$host" \
		'df -P -x tmpfs -x overlay 2>/dev/null | awk "\$5 + 0 >= 90 { print \"full\", \$6 }"
		 systemctl --failed --plain --no-legend | awk "{ print \"failed\", \$1 }"') || continue
	while read -r what name; do
		case $what in
		full) hypothesis disk-full-logs "$host" mount "$name" ;;
		failed) hypothesis crash-loop-and-start-limit "$host" unit "$name" ;;
		esac
	done <<END
$looked
END
done

# An alert says that something is wrong. A person only asks whether it is.
unknown=false
if [ -z "$found" ] && printf '%s' "$signals" | grep -o '"alertname":"[^"]*' | grep -qv Complaint; then
	unknown=true
fi
printf '{"hypotheses":[%s],"unknown":%s}\n' "$found" "$unknown"
