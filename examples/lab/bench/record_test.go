package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/secondline-ops/secondline/examples/lab/faults"
)

func seconds(f float64) *Seconds { s := Seconds(f); return &s }

func record(name string) Record {
	return Record{Key: Key{Format: Format, Tool: "secondline", Version: "1", Case: name, Digest: "d"}, Group: "A", Ended: time.Unix(1700000000, 0).UTC()}
}

func mustOpen(t *testing.T, path string) *Book {
	t.Helper()
	b, err := OpenBook(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func TestBookGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "records.jsonl")
	first := record("a")
	first.ToAlert, first.Fixed = seconds(7.5), true
	first.Harm = map[string]Harm{"db1": FindHarm(host(), host(), host(noProcess(20)), Allowed{})}
	book := mustOpen(t, path)
	if _, ok := book.Find(first.Key); ok {
		t.Fatal("a new book has a record")
	}
	for _, r := range []Record{record("a"), record("b"), first} {
		if err := book.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := book.Close(); err != nil {
		t.Fatal(err)
	}
	// A crash in the middle of the next record.
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(whole, `{"tool": "secondl`...), 0o600); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, path)
	got, ok := again.Find(first.Key)
	if diff := cmp.Diff(got, first, cmpopts.IgnoreUnexported(Change{})); !ok || diff != "" {
		t.Errorf("the last record of a case counts: %t %s", ok, diff)
	}
	for _, other := range []Key{
		{Format, "other", "1", "a", "d"},
		{Format, "secondline", "2", "a", "d"},
		{Format, "secondline", "1", "c", "d"},
		{Format, "secondline", "1", "a", "e"},
		{Format - 1, "secondline", "1", "a", "d"},
	} {
		if _, ok := again.Find(other); ok {
			t.Errorf("%+v was not run", other)
		}
	}
	if err := again.Add(record("c")); err != nil {
		t.Fatal(err)
	}
	if last := mustOpen(t, path); len(last.records) != 3 {
		t.Errorf("%d records after the crash, want a, b and c", len(last.records))
	}
}

// TestVoidCaseIsRunAgain: what kept it from being measured may be over.
func TestVoidCaseIsRunAgain(t *testing.T) {
	t.Parallel()
	book := mustOpen(t, filepath.Join(t.TempDir(), "records.jsonl"))
	void := record("a")
	void.Void = "its alerts did not fire"
	if err := book.Add(void); err != nil {
		t.Fatal(err)
	}
	if got, ok := book.Find(void.Key); ok {
		t.Errorf("found %+v", got)
	}
	if err := book.Add(record("a")); err != nil {
		t.Fatal(err)
	}
	if _, ok := book.Find(void.Key); !ok {
		t.Error("it was measured the second time")
	}
}

// TestRecordsOfAnOlderFormatAreNotMixed: a book of before the format was counted.
func TestRecordsOfAnOlderFormatAreNotMixed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "records.jsonl")
	old := `{"tool":"secondline","version":"1","case":"a","digest":"d","group":"A","result":{"healthy":true}}` + "\n"
	if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, ok := mustOpen(t, path).Find(record("a").Key); ok {
		t.Errorf("found %+v", got)
	}
}

func TestBookNamesTheBrokenLine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "records.jsonl")
	if err := os.WriteFile(path, []byte("{}\nnot a record\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenBook(path); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("error %v, want line 2 in it", err)
	}
	if text, err := os.ReadFile(path); err != nil || len(text) == 0 {
		t.Errorf("the file was changed: %q, %v", text, err)
	}
}

func TestDigestChangesWithTheCase(t *testing.T) {
	t.Parallel()
	digestOf := func(change func(*faults.Case)) string {
		c := at("db1", faults.Truth{Cause: "a", Object: map[string]string{"x": "1", "y": "2"}})
		change(&c)
		d, err := Digest([]faults.Case{c})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	base := digestOf(func(*faults.Case) {})
	if again := digestOf(func(*faults.Case) {}); again != base || len(base) != 16 {
		t.Errorf("%s, then %s", base, again)
	}
	for name, change := range map[string]func(*faults.Case){
		"host":   func(c *faults.Case) { c.Host = "app1" },
		"script": func(c *faults.Case) { c.Fault.Inject = "true" },
		"heal":   func(c *faults.Case) { c.Fault.Heal = "true" },
		"truth":  func(c *faults.Case) { c.Fault.Truth.Object["x"] = "3" },
		"id":     func(c *faults.Case) { c.Fault.ID = "y" },
	} {
		if digestOf(change) == base {
			t.Errorf("another %s has the same digest", name)
		}
	}
	if digestOf(func(c *faults.Case) { c.Fault.Cures = []faults.Cure{{Runbook: "mend-it"}} }) != base {
		t.Error("a runbook that people may start is no part of the question, and changes the digest")
	}
}
