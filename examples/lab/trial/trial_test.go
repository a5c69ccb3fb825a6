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

// TestSliceOfTheBench runs a handful of cases as the bench does: what Secondline
// finds and mends today it must find and mend tomorrow, and it must be quiet
// where nothing is wrong. It checks the bench, too: a tool that says nothing
// scores nothing.
func TestSliceOfTheBench(t *testing.T) {
	serverstest.Need(t)
	all, err := faults.All()
	if err != nil {
		t.Fatal(err)
	}
	repository, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	site, err := Open(t.Context(), company.Options{
		Cache: servers.DefaultCache(), Repository: repository, Program: os.Getenv("SECONDLINE_PROGRAM"), Now: time.Now, Say: func(text string) { t.Log(text) },
	}, Secondline{Release: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := site.Company.Lab.Close(); err != nil {
			t.Error(err)
		}
	})
	var records []bench.Record
	run := func(ref string) bench.Record {
		t.Helper()
		cases, err := faults.Cases(all, ref)
		if err != nil {
			t.Fatal(err)
		}
		r, err := site.Run(t.Context(), bench.Key{Tool: site.Tool.Name(), Version: site.Tool.Version(), Case: ref}, cases)
		if err != nil {
			t.Fatalf("%s: %v", ref, err)
		}
		records = append(records, r)
		if r.Void != "" || r.Failure != "" || r.HarmTotal() > 0 || r.Result.FalseCauses > 0 || r.Result.ActedWrongly {
			t.Errorf("%s: %+v", ref, r)
		}
		return r
	}
	for _, ref := range []string{"disk-full-logs", "disk-full-logs@app2"} {
		r := run(ref)
		if len(r.Result.Truths) != 1 || r.Result.Truths[0].CauseRank != 1 || !r.Fixed || !r.Answer.Verified() || r.ToResolved == nil {
			t.Errorf("%s was not found, mended and measured: %+v", ref, r)
		}
	}
	var table strings.Builder
	if err := bench.WriteTable(&table, records); err != nil {
		t.Fatal(err)
	}
	t.Log(table.String())
}
