package storetest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
)

func fact(id string, data []byte) diagnostics.Fact {
	r := diagnostics.Raw{Name: "df", Command: "df -k", Status: diagnostics.OK, Data: data, At: at(1)}
	r.Seal()
	return diagnostics.Fact{
		ID: id, Probe: "disk", Args: diagnostics.Args{"mount": "/var"}, Target: "db1", Status: diagnostics.OK,
		Value: diagnostics.Value{"used": "95"}, Raws: []diagnostics.Raw{r}, At: at(1),
	}
}

func evidence(t *testing.T, fresh func(t *testing.T) Place) {
	s, ctx := opened(t, fresh), t.Context()
	save := func(incident string, facts ...diagnostics.Fact) error {
		return s.Update(ctx, func(tx store.Tx) error { return tx.SaveEvidence(ctx, incident, facts) })
	}
	binary := []byte("a\x00\xff\\b")
	must(t, save("inc", fact("z#1", binary), fact("a#2", nil)))
	must(t, save("inc", fact("m#3", binary), fact("z#1", binary))) // the same fact again changes nothing
	must(t, save("other", fact("z#1", []byte("else"))))

	facts, err := s.ListFacts(ctx, "inc")
	must(t, err)
	var got strings.Builder
	for _, f := range facts {
		got.WriteString(f.ID + " ")
		for _, r := range f.Raws {
			if r.Data != nil {
				t.Errorf("the raw of %s carries its data", f.ID)
			}
		}
	}
	if got.String() != "z#1 a#2 m#3 " {
		t.Fatalf("facts are %s", got.String())
	}
	want := fact("z#1", binary)
	want.Raws[0].Data = nil
	wantSame(t, facts[0], want)

	data, err := s.FindRaw(ctx, fact("", binary).Raws[0].SHA256)
	must(t, err)
	if !bytes.Equal(data, binary) {
		t.Fatalf("the raw came back as %q", data)
	}
	data, err = s.FindRaw(ctx, fact("", nil).Raws[0].SHA256)
	must(t, err)
	if len(data) != 0 {
		t.Fatalf("the empty raw came back as %q", data)
	}
	_, err = s.FindRaw(ctx, "nobody")
	wantKind(t, err, fault.NotFound)
	facts, err = s.ListFacts(ctx, "nobody")
	must(t, err)
	if facts == nil || len(facts) != 0 {
		t.Fatalf("facts of no incident are %#v", facts)
	}

	wantKind(t, save("inc", fact("z#1", []byte("another reading"))), fault.Conflict)
	forged := fact("f#1", []byte("what was read"))
	forged.Raws[0].Data = []byte("what was not")
	wantKind(t, save("inc", forged), fault.Invalid)
	facts, err = s.ListFacts(ctx, "inc")
	must(t, err)
	if len(facts) != 3 {
		t.Fatalf("a refused save left %d facts", len(facts))
	}

	t.Run("a thousand facts with the same raw of 64 KiB", func(t *testing.T) {
		many := make([]diagnostics.Fact, 0, 1000)
		for i := range 1000 {
			many = append(many, fact(fmt.Sprintf("p#%d", i), bytes.Repeat([]byte("x"), 64<<10)))
		}
		must(t, save("big", many...))
		facts, err := s.ListFacts(ctx, "big")
		must(t, err)
		if len(facts) != 1000 || facts[999].ID != "p#999" {
			t.Fatalf("%d facts came back", len(facts))
		}
	})
}
