package dns

import (
	"fmt"
	"testing"

	"github.com/secondline-ops/secondline/plugins"
	"github.com/secondline-ops/secondline/plugins/plugintest"
)

func dig(server, port, name string) []string {
	return []string{"dig", "-r", "-p", port, "@" + server, "+time=2", "+tries=1", "+noall", "+comments", "+answer", "+stats", "-q", name, "-t", "A"}
}

// answer is what dig 9.18 prints.
func answer(status string, addresses ...string) plugins.Result {
	text := ";; Got answer:\n;; ->>HEADER<<- opcode: QUERY, status: " + status + ", id: 4711\n;; flags: qr rd ra; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1\n\n"
	for _, a := range addresses {
		text += fmt.Sprintf("db1.example.\t\t300\tIN\tA\t%s\n", a)
	}
	return plugins.Result{Stdout: []byte(text + "\n;; Query time: 4 msec\n;; SERVER: 10.0.0.2#53(10.0.0.2) (UDP)\n")}
}

func TestResolveKeepsTheContract(t *testing.T) {
	t.Parallel()
	const getent = "10.1.1.1        STREAM db1.example\n10.1.1.1        DGRAM\n10.1.1.1        RAW\n"
	none := plugins.Result{ExitCode: 9, Stdout: []byte(";; communications error to 10.0.0.3#53: timed out\n;; no servers could be reached\n")}
	host := func(hosts string, found plugins.Result, first, second plugins.Result, noDig error) *plugintest.Host {
		return plugintest.NewHost(t).
			File("/etc/resolv.conf", "# mine\nsearch example\nnameserver 10.0.0.2\nnameserver 10.0.0.3\noptions edns0\n", nil).
			File("/etc/hosts", hosts, nil).
			Command(found, nil, "getent", "ahosts", "--", "db1.example").
			Command(first, noDig, dig("10.0.0.2", "53", "db1.example")...).
			Command(second, noDig, dig("10.0.0.3", "53", "db1.example")...)
	}
	const local = "127.0.0.1 localhost\n"
	ok := plugins.Result{Stdout: []byte(getent)}
	args := plugins.Args{"name": "db1.example"}
	plugintest.Exercise(t, newResolve(), []plugintest.Case{
		{Name: "all agree", Host: host(local, ok, answer("NOERROR", "10.1.1.1"), answer("NOERROR", "10.1.1.2", "10.1.1.1"), nil), Args: args, Status: plugins.OK, Value: plugins.Value{
			"resolves": true, "addresses": []any{"10.1.1.1"}, "servers_differ": false, "hosts_differ": false, "servers_silent": int64(0), "servers_asked": true,
		}},
		{Name: "one is silent", Host: host(local, ok, none, answer("NOERROR", "10.1.1.1"), nil), Args: args, Status: plugins.OK, Value: plugins.Value{
			"servers_silent": int64(1), "servers_differ": false,
		}},
		{Name: "one lies", Host: host(local, ok, answer("NOERROR", "10.9.9.9"), answer("NOERROR", "10.1.1.1"), nil), Args: args, Status: plugins.OK, Value: plugins.Value{"servers_differ": true}},
		{Name: "one does not know it", Host: host(local, ok, answer("NXDOMAIN"), answer("NOERROR", "10.1.1.1"), nil), Args: args, Status: plugins.OK, Value: plugins.Value{"servers_differ": true}},
		{Name: "hosts overrides", Host: host(local+"10.7.7.7 db1.example db1 # old\n", ok, answer("NOERROR", "10.1.1.1"), answer("NOERROR", "10.1.1.1"), nil), Args: args, Status: plugins.OK, Value: plugins.Value{
			"hosts_differ": true, "in_hosts": []any{"10.7.7.7"},
		}},
		{Name: "not found", Host: host(local, plugins.Result{ExitCode: 2}, answer("NXDOMAIN"), answer("NXDOMAIN"), nil), Args: args, Status: plugins.OK, Value: plugins.Value{
			"resolves": false, "servers_differ": false,
		}},
		{Name: "no dig", Host: host(local, ok, none, none, &plugins.HostError{Class: plugins.ClassNotExist, Message: "dig: not found"}), Args: args, Status: plugins.OK, Value: plugins.Value{
			"resolves": true, "servers_asked": false, "servers": []any{},
		}},
		{Name: "an option as name", Host: host(local, ok, none, none, nil), Args: plugins.Args{"name": "-f/etc/shadow"}, Fails: true},
		{Name: "a server as name", Host: host(local, ok, none, none, nil), Args: plugins.Args{"name": "@evil"}, Fails: true},
		{Name: "an option as server", Host: host(local, ok, none, none, nil), Args: plugins.Args{"name": "x", "server": "-x"}, Fails: true},
		{Name: "nothing asked", Host: host(local, ok, none, none, nil), Args: plugins.Args{}, Fails: true},
	}...)
}

func TestServersAreThoseThatTheResolverAsks(t *testing.T) {
	t.Parallel()
	for conf, want := range map[string]string{
		"":                     "[127.0.0.1]",
		"nameserver 1.1.1.1\n": "[1.1.1.1]",
		"nameserver\nnameserver fe80::1%eth0\n#nameserver 2.2.2.2\n":                       "[fe80::1%eth0]",
		"nameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\nnameserver 4.4.4.4\n": "[1.1.1.1 2.2.2.2 3.3.3.3]",
	} {
		if got := fmt.Sprint(nameServers([]byte(conf))); got != want {
			t.Errorf("%q: %s", conf, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("nameserver 10.0.0.2\n"), []byte("10.0.0.1 a\n"), answer("NOERROR", "10.1.1.1").Stdout, "a")
	p := newResolve()
	checker := plugins.NewChecker()
	f.Fuzz(func(t *testing.T, conf, hosts, said []byte, name string) {
		raws := []plugins.Raw{
			{Name: rawResolv, Status: plugins.OK, Data: conf},
			{Name: rawHosts, Status: plugins.OK, Data: hosts},
			{Name: rawGetent, Status: plugins.OK, Data: hosts},
			{Name: rawServer + "1", Status: plugins.OK, Data: said},
		}
		v, status, err := p.Parse(raws, plugins.Args{"name": name})
		if err != nil || status != plugins.OK {
			t.Fatalf("%s, %v", status, err)
		}
		carried, err := plugins.Carried(v)
		if err == nil {
			err = checker.Answer(p.Spec(), carried, status)
		}
		if err != nil {
			t.Error(err)
		}
	})
}
