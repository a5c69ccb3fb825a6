package guard

import (
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

func TestGateLooksAtScriptsOnStandardInput(t *testing.T) {
	t.Parallel()
	l := Limits{Mode: Act, CleanupRoots: DefaultCleanupRoots(), ReadDeny: []string{"/etc/secret/*"}, Refuse: []string{"systemctl stop postgres*"}}
	for name, c := range map[string]struct {
		argv  string
		stdin string
		ok    bool
	}{
		"a harmless script":              {"sh -eu", "{ :; set -e\nsystemctl restart nginx\ndf -P \"$MOUNT\"\n} </dev/null\n", true},
		"dd in the middle":               {"sh -eu", "{ :; echo hi\ndd if=/dev/zero of=/dev/sda\n} </dev/null\n", false},
		"on the first line":              {"sh", "{ :; mkfs.ext4 /dev/sda1\n}", false},
		"behind sudo and a time-out":     {"sudo -n -u root -- timeout -k 5s 10s sh -eu", "reboot\n", false},
		"behind env with values":         {"env A=1 bash", "shutdown -h now\n", false},
		"by its path":                    {"/bin/dash", "/sbin/reboot\n", false},
		"in quotes":                      {"sh", "\"dd\" if=/dev/zero\n", false},
		"with a backslash":               {"sh", "\\dd if=/dev/zero\n", false},
		"behind an assignment":           {"sh", "LC_ALL=C dd if=/dev/zero\n", false},
		"in a substitution":              {"sh", "x=$(dd if=/dev/sda)\n", false},
		"rm outside the roots":           {"sh", "rm -f /etc/passwd\n", false},
		"rm of a value":                  {"sh", "rm -f \"$FILE\"\n", false},
		"rm inside the roots":            {"sh", "rm -f /var/log/app/a.log.1\n", true},
		"a denied file":                  {"sh", "cat </etc/secret/key\n", false},
		"the owner's pattern":            {"sh", "systemctl stop postgresql@15-main\n", false},
		"another shell in it":            {"sh", "bash -c 'dd if=/dev/zero'\n", false},
		"a comment":                      {"sh", "# dd would be wrong\ntrue\n", true},
		"an argument":                    {"sh", "echo dd\n", true},
		"a shell whose script is -c":     {"sh -c cat>\"$1\" sh /srv/x", "reboot\n", true},
		"no interpreter":                 {"tee /srv/crontab", "reboot\n", true},
		"behind -o":                      {"bash -o pipefail -c dd", "", false},
		"python that lists":              {"python3 -E -", "import subprocess\nsubprocess.run(['systemctl', 'reboot'])\n", false},
		"python over lines":              {"/usr/bin/python3.11 -", "run([\n  \"iptables\",\n  \"-F\",\n])\n", false},
		"python by a shell":              {"python3", "os.system('true; mkfs /dev/sda')\n", false},
		"python behind an apostrophe":    {"python3", "# don't\nos.system('dd if=/dev/zero')\n", false},
		"python that reads":              {"python3", "print(open('/etc/secret/key').read())\n", false},
		"python that is harmless":        {"python3", "import json\ndd = {'a': 1}\nprint(json.dumps(dd))\n", true},
		"python whose script is -c":      {"python3 -c pass", "os.system('reboot')", true},
		"perl by backticks":              {"perl -w -", "my $x = `dd if=/dev/sda`;\n", false},
		"perl that is harmless":          {"perl -", "print \"hello\\n\";\n", true},
		"a refused word with more to it": {"perl -", "print \"initial\", \"reboots\";\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			argv := strings.Fields(c.argv)
			err := l.Gate().Allow(t.Context(), "web1", remote.Command{Argv: argv, Stdin: []byte(c.stdin), Effect: remote.Write})
			if c.ok && err != nil {
				t.Errorf("%v with %q was refused: %v", argv, c.stdin, err)
			}
			if !c.ok && !fault.Is(err, fault.Denied) {
				t.Errorf("%v with %q was not refused: %v", argv, c.stdin, err)
			}
		})
	}
}

// TestGateLetsTheBuiltInActionsWork holds the commands that actions give by
// themselves against the limits of an agent that may act.
func TestGateLetsTheBuiltInActionsWork(t *testing.T) {
	t.Parallel()
	l := Limits{Mode: Act, CleanupRoots: DefaultCleanupRoots(), ReadDeny: []string{"/etc/secret/*"}}
	for _, argv := range [][]string{
		{"curl", "-q", "--silent", "--proto", "=http,https", "--write-out", `\n%{http_code}`, "--data-binary", "@-", "--header", "X-A: b", "--url", "http://localhost/x"},
		{"psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--set=p1=it's; DROP", "--dbname=dbname=orders connect_timeout=5 user=postgres host=/run/postgresql"},
		{"redis-cli", "-e", "-n", "0", "-s", "/run/redis/s", "CONFIG", "SET", "maxmemory", "2gb"},
		{"dpkg", "--force-confdef", "--force-confold", "--configure", "--", "nginx"},
		{"dpkg-query", "--show", "--showformat=${db:Status-Want}\n", "--", "nginx"},
		{"apt-get", "-y", "-q", "-o", "Dpkg::Options::=--force-confold", "--no-remove", "install", "--", "/var/cache/apt/archives/nginx_1.0_all.deb"},
		{"apt-mark", "hold", "nginx"},
		{"openssl", "pkey", "-in", "/etc/ssl/private/x.key", "-passin", "pass:", "-pubout", "-outform", "PEM"},
		{"ansible-playbook", "--diff", "--inventory", "localhost,", "--connection", "local", "--extra-vars", `{"a":"b"}`, "--", "/srv/site.yml"},
	} {
		cmd := remote.Command{Argv: argv, Stdin: []byte("reboot\n"), Effect: remote.Write}
		if err := l.Gate().Allow(t.Context(), "web1", cmd); err != nil {
			t.Errorf("%q was refused: %v", argv, err)
		}
	}
	denied := remote.Command{Argv: []string{"openssl", "pkey", "-in", "/etc/secret/x.key"}, Effect: remote.Read}
	if err := l.Gate().Allow(t.Context(), "web1", denied); !fault.Is(err, fault.Denied) {
		t.Errorf("a denied key was read: %v", err)
	}
}

// FuzzARefusedCommandIsSeenInAnyScript puts a refused command on a line of its
// own between arbitrary other lines.
func FuzzARefusedCommandIsSeenInAnyScript(f *testing.F) {
	f.Add("echo hi", "true")
	f.Add("if true; then", "fi")
	f.Add("# it's", "")
	f.Fuzz(func(t *testing.T, before, after string) {
		gate := Limits{Mode: Act}.Gate()
		for interpreter, line := range map[string]string{"sh": "dd of=/dev/sda", "python3": "os.system('dd of=/dev/sda')"} {
			cmd := remote.Command{Argv: []string{interpreter}, Stdin: []byte(before + "\n" + line + "\n" + after)}
			if err := gate.Allow(t.Context(), "web1", cmd); !fault.Is(err, fault.Denied) {
				t.Errorf("%s: %q was not refused: %v", interpreter, cmd.Stdin, err)
			}
		}
	})
}
