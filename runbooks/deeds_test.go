package runbooks

import (
	"slices"
	"testing"
)

func TestCommandDeeds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		argv []string
		want []string
	}{
		{[]string{"/bin/rm", "-f", "x"}, []string{"run.rm"}},
		{[]string{"sudo", "-n", "-u", "app", "env", "A=b", "timeout", "-k", "5s", "10s", "rm", "x"}, []string{"run.rm"}},
		{[]string{"busybox", "rm", "x"}, []string{"run.rm"}},
		{[]string{"sh", "-c", "cd /srv && A=1 rm -f x; echo done"}, []string{"run.sh", "run.cd", "run.rm", "run.echo"}},
		{[]string{"systemctl", "--no-block", "restart", "a.service"}, []string{"run.systemctl", "unit.restarted"}},
		{[]string{"service", "nginx", "stop"}, []string{"run.service", "unit.stopped"}},
		{[]string{"systemctl", "kill", "a.service"}, []string{"run.systemctl", "process.TERM"}},
		{[]string{"kill", "-9", "12"}, []string{"run.kill", "process.KILL"}},
		{[]string{"pkill", "--signal", "SIGUSR1", "nginx"}, []string{"run.pkill", "process.USR1"}},
		{[]string{"kill", "-s", "HUP", "12"}, []string{"run.kill", "process.HUP"}},
		{[]string{"killall", "nginx"}, []string{"run.killall", "process.TERM"}},
		{nil, nil},
	} {
		if got := CommandDeeds(c.argv); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.argv, got, c.want)
		}
	}
	const body = "set -e\n# rm is not run\nif test -e x; then rm x; fi\nfor f in a b; do\n  kill -KILL $(cat $f)\ndone\n"
	for _, want := range []string{"run.rm", "process.KILL", "run.cat"} {
		if got := ScriptDeeds(body); !slices.Contains(got, want) {
			t.Errorf("%q is not among %q", want, got)
		}
	}
}

func FuzzCommandDeeds(f *testing.F) {
	f.Add("sh", "-c", "rm x; $(kill -9 1)")
	f.Add("sudo", "-u", "")
	f.Fuzz(func(_ *testing.T, a, b, c string) {
		CommandDeeds([]string{a, b, c})
		ScriptDeeds(c)
	})
}
