package trial

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/examples/lab/bench"
	"github.com/secondline-ops/secondline/examples/lab/company"
	"github.com/secondline-ops/secondline/examples/lab/faults"
	"github.com/secondline-ops/secondline/examples/lab/servers"
	"github.com/secondline-ops/secondline/examples/lab/servers/serverstest"
)

// sliceControl is short: a case in which something speaks against the tool has a
// control run of its own.
const sliceControl = 10 * time.Second

// TestSliceOfTheBench runs a handful of cases as the bench does: what Secondline
// finds and mends today it must find and mend tomorrow, it must say what it does
// not know, and claim and change nothing where nothing is wrong. It checks the
// bench, too: a tool that undoes what people did is seen whatever it says.
func TestSliceOfTheBench(t *testing.T) {
	serverstest.Need(t)
	s := openSlice(t)
	r := s.run("disk-full-logs@app2")
	s.blameless(r)
	if len(r.Result.Truths) != 1 || r.Result.Truths[0].CauseRank != 1 || !r.Fixed || !r.Answer.Verified() || r.ToCause == nil || r.ToResolved == nil {
		t.Errorf("it was not found, mended and measured: %+v", r)
	}
	if r = s.run("reserved-blocks"); !r.Result.UnknownRight {
		t.Errorf("unknown was not said: %+v", r)
	}
	s.blameless(r)
	r = s.run("healthy-reload")
	s.blameless(r)

	// What it is given is as the documentation says, and Secondline is off.
	s.site.Tool = script(t, `grep -q '"alertname":"Complaint"' || exit 3
[ "$HOSTRCA_DEADLINE" = 100 ] || exit 4
on() { host=$1; shift; ssh -n -F "$HOSTRCA_SSH_CONFIG" "$host" "$@" >&2; }
if on mon systemctl is-active secondline-controller || on lb1 systemctl is-active secondline-agent; then exit 5; fi
on lb1 'rm /etc/nginx/conf.d/tuning.conf && systemctl reload nginx' || exit 6
echo '{}'`)
	r = s.run("healthy-reload")
	if r.Void != "" || r.Failure != "" || !r.Result.ActedWrongly || r.HarmTotal() == 0 || r.Result.Quiet {
		t.Errorf("undoing what people did was not seen: %+v", r)
	}
	for host, harm := range r.Harm {
		if host != "lb1" && harm.Total > 0 {
			t.Errorf("what was done on lb1 is harm on %s: %+v", host, harm)
		}
	}
	s.show()
}

// slice runs cases on one company.
type slice struct {
	t       *testing.T
	site    *Bench
	all     []*faults.Fault
	records []bench.Record
}

func openSlice(t *testing.T) *slice {
	t.Helper()
	all, err := faults.All()
	if err != nil {
		t.Fatal(err)
	}
	repository, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	site, err := open(t.Context(), company.Options{
		Cache: servers.DefaultCache(), Repository: repository, Program: os.Getenv("SECONDLINE_PROGRAM"), Now: time.Now, Say: func(text string) { t.Log(text) },
	}, Secondline{Release: "test"}, sliceControl)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := site.Company.Lab.Close(); err != nil {
			t.Error(err)
		}
	})
	return &slice{t: t, site: site, all: all}
}

func (s *slice) run(ref string) bench.Record {
	s.t.Helper()
	began := time.Now()
	cases, err := faults.Cases(s.all, ref)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := s.site.Run(s.t.Context(), bench.Key{Tool: s.site.Tool.Name(), Version: s.site.Tool.Version(), Case: ref}, cases)
	if err != nil {
		s.t.Fatalf("%s: %v", ref, err)
	}
	s.t.Logf("%s by %s took %s", ref, s.site.Tool.Name(), time.Since(began).Round(time.Second))
	s.records = append(s.records, r)
	return r
}

func (s *slice) blameless(r bench.Record) {
	s.t.Helper()
	if r.Void != "" || r.Failure != "" || r.HarmTotal() > 0 || r.Result.FalseCauses > 0 || r.Result.ActedWrongly {
		s.t.Errorf("%s by %s: %+v", r.Case, r.Tool, r)
	}
}

func (s *slice) show() {
	var table strings.Builder
	if err := bench.WriteTable(&table, s.records); err != nil {
		s.t.Fatal(err)
	}
	s.t.Log(table.String())
}

// script is a tool of a few lines.
func script(t *testing.T, text string) Peer {
	t.Helper()
	program := filepath.Join(t.TempDir(), "tool")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	peer, err := ParsePeer(program, "test")
	if err != nil {
		t.Fatal(err)
	}
	return peer
}

func TestToolIsRefusedBeforeAnythingIsMeasured(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"", "  ", "/no/such/tool --flag"} {
		if got, err := ParsePeer(line, "1"); err == nil {
			t.Errorf("%q: %+v", line, got)
		}
	}
	if got, err := ParsePeer("  sh -c true ", "1"); err != nil || len(got.Argv) != 3 || got.Name() != "sh" {
		t.Errorf("%+v, %v", got, err)
	}
}
