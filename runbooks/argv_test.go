package runbooks

import (
	"strings"
	"testing"
)

func TestValueInScript(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		argv string
		at   int
	}{
		{`logrotate|${inputs.conf}`, -1},
		{`sh|-c|rm ${inputs.x}`, 2},
		{`/bin/bash|-euo|pipefail|-c|rm ${inputs.x}`, 4},
		{`bash|-c|-e|rm ${inputs.x}`, 3},
		{`bash|-lc|rm ${inputs.x}`, 2},
		{`sudo|-u|app|sh|-c|${inputs.x}`, 5},
		{`flock|/run/x|sh|-c|${inputs.x}`, 4},
		{`docker|exec|web|sh|-c|${inputs.x}`, 5},
		{`sh|${inputs.script}`, 1},
		{`sh|${inputs.option}|true`, 1},
		{`sh|-c|stat -- "$1"|sh|${inputs.x}`, -1},
		{`sh|-c|x "$1"|sh|-c|${inputs.x}`, -1},
		{`sh|-c|exec "$@"|sh|sh|-c|${inputs.x}`, 6},
		{`sh|-c`, -1},
		{`sh`, -1},
		{`python3|-c|print(${inputs.x})`, 2},
		{`python3|-c|import sys|${inputs.x}`, -1},
		{`perl|-ne|${inputs.x}`, 2},
		{`perl|-p|-e|${inputs.x}`, 3},
		{`awk|${inputs.x}`, 1},
		{`awk|{print $1}|${inputs.x}`, -1},
		{`ssh|host|df|${inputs.x}`, 3},
		{`sed|-e|s/a/b/|${inputs.x}`, 3},
		{`env|A=1|python3.11|-c|${inputs.x}`, 4},
		{`systemctl|restart|node|${inputs.x}`, -1},
		{`/opt/${inputs.x}/run`, 0},
		{`${inputs.start}`, -1}, // whether it is an argv input is asked elsewhere
		{``, -1},
	} {
		argv := strings.Split(c.argv, "|")
		if got, why := valueInScript(argv); got != c.at || (got >= 0) != (why != "") {
			t.Errorf("valueInScript(%q) = %d, %q; want %d", argv, got, why, c.at)
		}
	}
	if got, _ := valueInScript(nil); got != -1 {
		t.Errorf("an empty argv gives %d", got)
	}
}
