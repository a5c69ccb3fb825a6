package redact_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/redact"
)

func TestRedactsEveryKindAndKeepsTheRest(t *testing.T) {
	t.Parallel()
	key := "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\nQyNTUxOQAAACB\n-----END OPENSSH PRIVATE KEY-----"
	jwt := "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
	for _, c := range []struct{ name, in, want string }{
		{"key block", "a\n" + key + "\nb", "a\n-----BEGIN OPENSSH PRIVATE KEY-----[redacted:private_key]-----END OPENSSH PRIVATE KEY-----\nb"},
		{"key block without its end", "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nxyz", "a\n-----BEGIN RSA PRIVATE KEY-----[redacted:private_key]"},
		{"key block without its begin", "b3BlbnNzaC1rZXktdjEAAAAA\nQyNTUxOQ==\n-----END RSA PRIVATE KEY-----\nb", "[redacted:private_key]\n-----END RSA PRIVATE KEY-----\nb"},
		{"key block in JSON", `{"k":"-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n","a":1}`, `{"k":"-----BEGIN PRIVATE KEY-----[redacted:private_key]-----END PRIVATE KEY-----\n","a":1}`},
		{"age", "AGE-SECRET-KEY-1QQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", "[redacted:private_key]"},
		{"environment", "PGPASSWORD=hun&ter,2;x next", "PGPASSWORD=[redacted:assignment] next"},
		{"yaml", "  db_password: 'two words' # c", "  db_password: '[redacted:assignment]' # c"},
		{"json", `{"password": "a\"b c","user":"u"}`, `{"password": "[redacted:assignment]","user":"u"}`},
		{"json number", `{"token":12345,"user":"u"}`, `{"token":[redacted:assignment],"user":"u"}`},
		{"json null", `{"token":null,"secret":false,"user":"u"}`, `{"token":null,"secret":false,"user":"u"}`},
		{"php", `$db["password"] = "x1";`, `$db["password"] = "[redacted:assignment]";`},
		{"hash", `:api_key => "x1"`, `:api_key => "[redacted:assignment]"`},
		{"flag", "app --db-password s3cr3t --verbose", "app --db-password [redacted:assignment] --verbose"},
		{"flag with equals", "app --token=s3cr3t -v", "app --token=[redacted:assignment] -v"},
		{"ado", "Server=db;Password=x1;", "Server=db;Password=[redacted:assignment]"},
		{"xml", "<db><password>x1</password></db>", "<db><password>[redacted:assignment]</password></db>"},
		{"xml with attribute", `<password enc="no">x1</password>`, `<password enc="no">[redacted:assignment]</password>`},
		{"url", "postgres://app:p@ss:w@db1:5432/x?sslmode=off", "postgres://app:[redacted:url]@db1:5432/x?sslmode=off"},
		{"redis url", "redis://:x1@cache", "redis://:[redacted:url]@cache"},
		{"token as user", "https://abcdefghijklmnopqrstuvwx@host/", "https://[redacted:url]@host/"},
		{"slack hook", "https://hooks.slack.com/services/T0/B0/xyz", "https://hooks.slack.com/services/[redacted:url]"},
		{"bearer header", "> Authorization: Bearer abc.def\r\n> Host: x", "> Authorization: [redacted:authorization]\r\n> Host: x"},
		{"basic header in curl", `curl -H 'Authorization: Basic dTpw' http://x`, `curl -H 'Authorization: [redacted:authorization]' http://x`},
		{"bearer alone", "used bearer abcdefgh12345", "used bearer [redacted:bearer]"},
		{"cookie", "Set-Cookie: sid=abc; Path=/\nx", "Set-Cookie: [redacted:cookie]\nx"},
		{"aws", "key AKIAIOSFODNN7EXAMPLE used", "key [redacted:aws_key] used"},
		{"aws secret", "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "aws_secret_access_key = [redacted:assignment]"},
		{"github", "git: ghp_abcdefghijklmnopqrstuvwxyz0123", "git: [redacted:token]"},
		{"gitlab", "glpat-abcdefghij0123456789", "[redacted:token]"},
		{"slack", "xoxb-123456789012-abcdef", "[redacted:token]"},
		{"jwt", "got " + jwt + ".", "got [redacted:jwt]."},
		{"shadow", "root:$y$j9T$abc/DEF$0123456789:19000:0", "root:[redacted:password_hash]:19000:0"},
		{"shadow sha512", "u:$6$salt$hashhashhash:1", "u:[redacted:password_hash]:1"},
		{"scram", "SCRAM-SHA-256$4096:abc==$def=:ghi=", "[redacted:password_hash]"},
		{"go dsn", "app:pa:ss@tcp(db1:3306)/x", "app:[redacted:dsn]@tcp(db1:3306)/x"},
		{"sshpass", "sshpass -p x1 ssh host", "sshpass -p [redacted:command_line] ssh host"},
		{"curl", "curl -s -u bob:x1 http://h", "curl -s -u bob:[redacted:command_line] http://h"},
		{"two in one command", `curl -H "X-Auth-Token: x9" -u bob:x1`, `curl -H "X-Auth-Token: [redacted:assignment] -u bob:[redacted:command_line]`},
		{"mysql", "mysqldump -uroot -px1 shop", "mysqldump -uroot -p[redacted:command_line] shop"},
		{"mysql behind a user", "mysql -u root -pSECRET", "mysql -u root -p[redacted:command_line]"},
		{"mysql in quotes", "/usr/bin/mysql -h db1 -p'two words' shop", "/usr/bin/mysql -h db1 -p'[redacted:command_line]' shop"},
		{"mysql twice", "mysql -px1 -py1; x", "mysql -p[redacted:command_line] -p[redacted:command_line] x"},
		{"mysql in cmdline(5)", "mysql\x00-u\x00root\x00-pa b\x00shop\x00", "mysql\x00-u\x00root\x00-p[redacted:command_line]\x00shop\x00"},
		{"mysql as arguments", `["mysql","-u", "root","-pSECRET"],"b"`, `["mysql","-u", "root","-p[redacted:command_line]"],"b"`},
		{"sshpass attached", "sshpass -px1 ssh -p 22 host", "sshpass -p[redacted:command_line] ssh -p 22 host"},
		{"sshpass behind an option", "sshpass -v -P assword -p 'x 1' ssh host", "sshpass -v -P assword -p '[redacted:command_line]' ssh host"},
		{"redis-cli", "redis-cli -h cache -p 6379 -a x1 info", "redis-cli -h cache -p 6379 -a [redacted:command_line] info"},
		{"redis-cli long", "redis-cli --pass x1 info", "redis-cli --pass [redacted:assignment] info"},
		{"curl attached", "curl -ubob:x1 http://h", "curl -ubob:[redacted:command_line] http://h"},
		{"curl clustered", "curl -sSu 'bob:x 1' http://h", "curl -sSu 'bob:[redacted:command_line]' http://h"},
		{"curl quoted", `curl -u "bob:x1" http://h`, `curl -u "bob:[redacted:command_line]" http://h`},
		{"mongosh", "mongosh -u root -p x1 --host db1", "mongosh -u root -p [redacted:command_line] --host db1"},
		{"ldapsearch", "ldapsearch -x -D cn=admin -w x1 -b dc=x", "ldapsearch -x -D cn=admin -w [redacted:command_line] -b dc=x"},
		{"smbclient", "smbclient //h/s -U bob%x1", "smbclient //h/s -U bob%[redacted:command_line]"},
		{"docker login", "docker login -u bob -p x1 registry", "docker login -u bob -p [redacted:command_line] registry"},
		{"netrc", "machine h login u password x1", "machine h login u password [redacted:command_line]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := string(redact.New().Redact([]byte(c.in)))
			if got != c.want {
				t.Errorf("\n got %q\nwant %q", got, c.want)
			}
		})
	}
}

// What a diagnosis reads must survive: these lines hold no secret.
func TestLeavesOrdinaryLinesAlone(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"Failed password for invalid user admin from 10.0.0.9 port 4022 ssh2",
		"PasswordAuthentication no", "PasswordAuthentication=no", "max_tokens=5",
		"passwd:         files systemd", "PWD=/root", "OLDPWD=/var/lib/x",
		"root:x:0:0:root:/root:/bin/bash", "/dev/sda1 / ext4 rw,errors=remount-ro 0 1",
		"ls -p", "ls -pa /", "ssh -p 22 host", "mkdir -p dir", "cp -a a b", "rsync -a a b", "psql -p 5432 -U bob shop", "docker run -p 80:80 nginx",
		"mysql -u root -p shop", "mysql -P3306 --port 3306 --protocol=tcp", "mysql.service loaded -p", "sshpass -e ssh -p 22 host", "sshpass -f /k ssh -p 22 host",
		"redis-cli -p 6379 -n 1 info", "curl -u bob http://h", "curl -p http://h", "mysql shop | grep -p x", "mysql shop\nls -pa", "smbclient -U bob //h/s",
		"ldapsearch -x -W -b dc=x", "podman ps -pa", `["mysql","shop"] -pa`, "mysql", "mysql ", "mysql\x00", `"mysql"`, "sshpass -p", "sshpass -f",
		"net.ipv4.tcp_syncookies = 1", "bypass: on", "http://host:8080/a?b=c", "see https://example.org/a:b@c",
		"pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)",
		"tcp LISTEN 0 4096 127.0.0.1:5432 users:((\"postgres\",pid=12,fd=3))", "", "\x00\xff\xfe",
	} {
		in := []byte(line)
		if got := redact.New().Redact(in); string(got) != line {
			t.Errorf("got %q, want %q", got, line)
		}
	}
}

func TestRemovesKnownSecretsInTheirEscapedForms(t *testing.T) {
	t.Parallel()
	r := redact.New(`p"w/d 1`, "ab", "known", "long-secret-2", "secret-2")
	in := `x p"w/d 1 y p%22w%2Fd+1 z p\"w/d 1 ab known long-secret-2`
	got := string(r.Redact([]byte(in)))
	want := `x [redacted:known] y [redacted:known] z [redacted:known] ab known [redacted:known]`
	if got != want {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}

func TestCountsByKind(t *testing.T) {
	t.Parallel()
	got := redact.New("swordfish").Count([]byte("password=a token=b swordfish http://u:p@h\n"))
	if fmt.Sprint(got) != "map[assignment:2 known:1 url:1]" {
		t.Errorf("got %v", got)
	}
}

// An attacker who writes a mark before a secret must not hide it.
func TestMarksInTheInputHideNothing(t *testing.T) {
	t.Parallel()
	got := string(redact.New().Redact([]byte("password=[redacted:url]hunter22 token=[redacted:url]")))
	if strings.Contains(got, "hunter22") {
		t.Errorf("got %q", got)
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	t.Parallel()
	s := redact.Secret("hunter2")
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("used", "secret", s, "in", struct{ S redact.Secret }{s})
	js, err := json.Marshal(map[string]any{"a": []redact.Secret{s}, "b": &s})
	if err != nil {
		t.Fatal(err)
	}
	out := log.String() + string(js) + fmt.Sprintf("%s %v %+v %#v %q %x %d %T", s, s, struct{ S redact.Secret }{s}, s, s, s, s, s) + fmt.Sprint(&s)
	if strings.Contains(out, "hunter2") || strings.Contains(out, "68756e74") {
		t.Errorf("printed: %s", out)
	}
	if s.Reveal() != "hunter2" {
		t.Error("Reveal does not return the secret")
	}
	var back redact.Secret
	if err := json.Unmarshal([]byte(`"x1"`), &back); err != nil || back.Reveal() != "x1" {
		t.Errorf("got %v, %v", back.Reveal(), err)
	}
}

func FuzzRedact(f *testing.F) {
	for _, seed := range []string{
		"", "password=", "a://b:c@d", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "Authorization: x", "cookie=1", "eyJabcdefghi.x", "$6$abcdefghij",
		"curl -H 'token: x' -u a:b", "login token=x password y", "mysql -h mysql -px -py", "\"mysql\",\"-p", "mysql\x00-p'", "curl -su 'a:", "sshpass -f -p", "docker login -p", "[redacted:url][redacted:token]", "pwd=/a/pwd=/b", "u:p@tcp(@tcp(", `"password":["a"`,
		"\"secret\\\":\\\"", "http://[redacted:url]@x:y@z", "<password a><password>x<",
	} {
		f.Add([]byte(seed), uint8(0))
		f.Add([]byte(seed+"\n"), uint8(3))
	}
	r := redact.New("known-secret")
	const planted = "Zq9xPlanted7secretV"
	frames := []string{
		"\npassword=%s\n", "\n{\"api_key\":\"%s\"}\n", "\nhttps://u:%s@host/\n", "\nAuthorization: Bearer %s\n", "\nSet-Cookie: s=%s\n",
		"\n-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n", "\napp --client-secret %s\n", "\nghp_%sAAAA\n", "\nu:$6$%s$abcdefgh:1\n", "\nroot:%s@tcp(h)/d\n",
		"\nsshpass -p %s x\n", "\nAWS_SECRET_ACCESS_KEY=%s\n", "\n<password>%s</password>\n",
		"\nmysql -u root -p%s\n", "\nredis-cli -h c -a %s\n", "\ncurl -su bob:%s h\n", "\n[\"mysql\",\"-u\",\"root\",\"-p%s\"]\n", "\nmysql\x00-p%s\x00\n",
	}
	f.Fuzz(func(t *testing.T, text []byte, frame uint8) {
		in := fmt.Appendf(nil, "%s"+frames[int(frame)%len(frames)]+"%s", text, planted, text)
		before := string(in)
		out := r.Redact(in)
		if string(in) != before {
			t.Fatal("the argument was changed")
		}
		if strings.Contains(string(out), planted) && !strings.Contains(string(text), planted) {
			t.Fatalf("planted secret in %q", out)
		}
		if again := r.Redact(out); string(again) != string(out) {
			t.Fatalf("not idempotent:\n%q\n%q", out, again)
		}
	})
}

// BenchmarkRedactGigabyte is 1 GB of log lines of several programs, a secret in
// every thousandth: what a large bundle holds. Beside other work the time on
// the processor says more than the clock.
func BenchmarkRedactGigabyte(b *testing.B) {
	lines := []string{
		"Jan 02 03:04:05 db1 postgres[812]: connection authorized: user=app database=orders application_name=web SSL enabled (protocol=TLSv1.3)\n",
		"Jan 02 03:04:05 web1 sshd[4711]: Failed password for invalid user admin from 203.0.113.9 port 4022 ssh2\n",
		"10.0.0.9 - - [02/Jan/2026:03:04:05 +0000] \"GET /api/v1/orders?id=8812&sort=asc HTTP/1.1\" 200 5120 \"https://shop.example.org/a\" \"Mozilla/5.0\"\n",
		"{\"time\":\"2026-01-02T03:04:05Z\",\"level\":\"info\",\"msg\":\"order placed\",\"trace\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"took_ms\":12}\n",
		"Jan 02 03:04:05 web1 kernel: [UFW BLOCK] IN=eth0 OUT= MAC=aa:bb:cc:dd:ee:ff SRC=198.51.100.7 DST=10.0.0.5 LEN=40 PROTO=TCP SPT=443 DPT=22\n",
		"Jan 02 03:04:05 web1 systemd[1]: Started Session 17 of user deploy; pam_unix(sshd:session): session opened for user deploy\n",
	}
	var part strings.Builder
	for i := 0; part.Len() < 16<<20; i++ {
		part.WriteString(lines[i%len(lines)])
		if i%1000 == 0 {
			part.WriteString("Jan 02 03:04:05 web1 app[1]: dial postgres://app:hunter2hunter2@db1:5432/orders\n")
		}
	}
	text := []byte(part.String())
	parts := 1_000_000_000 / len(text)
	r := redact.New("known-secret")
	b.SetBytes(int64(parts * len(text)))
	before := processorTime(b)
	for b.Loop() {
		for range parts {
			r.Redact(text)
		}
	}
	b.ReportMetric((processorTime(b)-before).Seconds()/float64(b.N), "cpu-s/op")
}

// processorTime is what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Lines made to be slow must cost no more than their length.
func BenchmarkRedactHostile(b *testing.B) {
	for name, unit := range map[string]string{
		"many": "pwd=/a mysql token:http://a: ", "mysql": "mysql -mysql ", "keys": "PRIVATE KEY ", "scheme": "a", "flags": "-a", "names": "token", "colons": "a:", "jwt": "eyJ-", "dsn": "@tcp(", "begin": "-----BEGIN PRIVATE KEY-----\n", "end": "a\n-----END PRIVATE KEY", "xml": "password ",
	} {
		b.Run(name, func(b *testing.B) {
			text := []byte(strings.Repeat(unit, 1<<20/len(unit)) + "://u:[redacted:url]@h -p[redacted:url] --password [redacted:url] x:[redacted:url]@tcp(")
			r := redact.New()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				r.Redact(text)
			}
		})
	}
}
