package process

import (
	"fmt"
	"testing"

	"github.com/secondline-ops/secondline/internal/expr"
)

const status = "status:Name:\tx\nstatus:Uid:\t0\t33\t0\t0\nstatus:SigIgn:\t0000000000001000\nstatus:SigCgt:\t0000000000004001\n"

func answer(stat string) []byte {
	return []byte("ancestor:7\nancestor:1\n/proc/sys/kernel/random/boot_id:b\nstat:" + stat + "\n" + status +
		"cgroup:0::/system.slice/web.service\ncmdline:web\x00--x\ncmdline:y\x00\n/proc/stat:btime 1000\nexe:/usr/bin/web (deleted)\n")
}

func stat(comm, state string, threads int) string {
	return fmt.Sprintf("42 (%s) %s 1 2 3 4 5 4194560 6 7 8 9 10 11 12 13 14 15 %d 17 777 18 19", comm, state, threads)
}

func TestAReadingIsUnderstood(t *testing.T) {
	t.Parallel()
	for _, comm := range []string{"web", "a) Z 1 (b", "x\nstat:y) R 1 1", ""} {
		r, err := parse(42, answer(stat(comm, "S", 16)))
		if err != nil {
			t.Fatalf("%q: %v", comm, err)
		}
		if r.State != "S" || r.Start != 777 || r.Threads != 16 || r.UID != 33 || r.Boot != "b" || r.Unit != "web.service" || r.Exe != "/usr/bin/web (deleted)" {
			t.Errorf("%q: %+v", comm, r)
		}
		if len(r.Argv) != 2 || r.Argv[1] != "--x\ny" || r.Caught != 0x4001 || r.Ancestor {
			t.Errorf("%q: %+v", comm, r)
		}
	}
	if r, err := parse(7, answer(stat("x", "S", 1))); err != nil || !r.Ancestor {
		t.Errorf("an ancestor: %+v, %v", r, err)
	}
	if _, err := parse(42, []byte("exe:\n")); err == nil {
		t.Error("a process without stat was understood")
	}
}

func TestWhatIsGone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		state   string
		threads int
		want    bool
	}{{"S", 1, false}, {"D", 1, false}, {"T", 1, false}, {"Z", 1, true}, {"Z", 3, false}, {"X", 0, true}} {
		if r := (reading{There: true, State: tt.state, Threads: tt.threads}); r.gone() != tt.want {
			t.Errorf("%s with %d threads is gone: %t", tt.state, tt.threads, r.gone())
		}
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	id := identity{PID: 42, Start: 7, Boot: "b", Exe: "/x"}
	at := func(state string) reading { return reading{identity: id, There: true, State: state, Threads: 1} }
	other, reborn := at("S"), at("S")
	other.Start, reborn.Boot = 8, "c"
	for _, tt := range []struct {
		name          string
		signal        Signal
		now           reading
		judge, happen expr.Truth
	}{
		{"gone", Term, reading{identity: id}, expr.True, expr.True},
		{"its number is another's", Kill, other, expr.True, expr.True},
		{"the host was booted again", Quit, reborn, expr.True, expr.True},
		{"a zombie", Interrupt, at("Z"), expr.True, expr.True},
		{"alive", Term, at("S"), expr.False, expr.CannotTell},
		{"alive", Kill, at("S"), expr.False, expr.False},
		{"in an uninterruptible sleep", Kill, at("D"), expr.CannotTell, expr.CannotTell},
		{"in an uninterruptible sleep", Term, at("D"), expr.CannotTell, expr.CannotTell},
		{"alive", Hup, at("S"), expr.True, expr.CannotTell},
		{"in an uninterruptible sleep", Hup, at("D"), expr.True, expr.CannotTell},
		{"gone", User1, other, expr.False, expr.CannotTell},
		{"stopped", Stop, at("T"), expr.True, expr.True},
		{"running", Stop, at("R"), expr.False, expr.False},
		{"gone", Stop, other, expr.False, expr.False},
		{"running", Cont, at("S"), expr.True, expr.True},
		{"stopped", Cont, at("T"), expr.False, expr.False},
		{"gone", Cont, other, expr.False, expr.False},
	} {
		s := saved{Process: id, Signal: tt.signal}
		if got := s.judge(tt.now); got.Truth != tt.judge {
			t.Errorf("%s after %s: %s, want %s", tt.name, tt.signal, got.Truth, tt.judge)
		}
		if got := s.happened(tt.now); got.Truth != tt.happen {
			t.Errorf("%s, and %s was sent: %s, want %s", tt.name, tt.signal, got.Truth, tt.happen)
		}
	}
}

func TestUnitOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0::/system.slice/web.service\n":                                           "web.service",
		"0::/system.slice/system-x.slice/web@1.service/sub\n":                      "web@1.service",
		"12:pids:/other.service\n1:name=systemd:/system.slice/web.service\n0::/\n": "web.service",
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n":   "",
		"0::/user.slice/user-1000.slice/session-3.scope\n":                         "",
		"0::/\n":                       "",
		"":                             "",
		"0::/system.slice/a b.service": "",
	} {
		if got := unitOf(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(answer(stat("web", "S", 1)))
	f.Add([]byte("stat:) \nexe:"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, out []byte) {
		r, err := parse(42, out)
		if err == nil && (r.State == "" || r.Boot == "" || r.PID != 42) {
			t.Errorf("half a reading: %+v", r)
		}
		_ = r.command()
	})
}
