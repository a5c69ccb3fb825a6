package storetest

import (
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// nasty is text that some engine or encoder trips over.
func nasty() map[string]string {
	return map[string]string{
		"nul":       "a\x00b",
		"escaped":   `a\x00b`,
		"invalid":   "a\xff\xfeb",
		"backslash": `C:\temp\`,
		"quote":     `'; DROP TABLE incidents; --"`,
		"like":      `100%_\`,
		"unicode":   "größe 株式会社 🔥 \u202e",
		"control":   "\x1b[31m\r\n\t\x7f",
		"dollar":    "$1 $2 ? :x @y",
		"long":      strings.Repeat("ü", 250),
	}
}

func hostile(t *testing.T, fresh func(t *testing.T) Place) {
	s, ctx := opened(t, fresh), t.Context()
	for name, text := range nasty() {
		t.Run(name, func(t *testing.T) {
			b := body("b"+text, 1)
			b.Source, b.ContentType, b.Data = text, text, []byte(text)
			must(t, s.AppendBody(ctx, b))
			update(t, s, func(tx store.Tx) error { return tx.SettleBody(ctx, b.ID, store.BodyUnmapped, text) })
			got, err := s.FindBody(ctx, b.ID)
			must(t, err)
			b.Status, b.Problem = store.BodyUnmapped, text
			wantSame(t, got, b)

			j := store.Job{ID: "j" + text, Queue: "q" + text, Kind: text, Key: text, Payload: []byte(text), State: store.JobQueued, RunAt: at(1)}
			update(t, s, func(tx store.Tx) error {
				_, err := tx.Enqueue(ctx, j)
				return err
			})
			claimed, err := s.ClaimJobs(ctx, "q"+text, text, at(1), at(2), 5)
			must(t, err)
			if len(claimed) != 1 || claimed[0].LeaseOwner != text || claimed[0].Key != text {
				t.Fatalf("claimed %+v", claimed)
			}
			must(t, s.RetryJob(ctx, j.ID, 1, at(1), text))
			found, err := s.FindJob(ctx, j.ID)
			must(t, err)
			if found.LastError != text {
				t.Fatalf("the problem came back as %q", found.LastError)
			}
			update(t, s, func(tx store.Tx) error { return tx.Lock(ctx, text, text, at(0), at(9)) })
			wantKind(t, s.Update(ctx, func(tx store.Tx) error { return tx.Lock(ctx, text, "x", at(0), at(9)) }), fault.Conflict)

			in := newIncident("i" + name)
			in.Title, in.Entity, in.Symptoms[0].Identity = text, text, text
			saved(t, s, in)
			var open []*incident.Incident
			update(t, s, func(tx store.Tx) (err error) {
				open, err = tx.FindOpenIncidents(ctx, []string{text}, []incident.Object{{Entity: text, Hint: "unit", Value: text}}, at(0))
				return err
			})
			if len(open) != 1 || open[0].ID != in.ID {
				t.Fatalf("found %d open incidents", len(open))
			}
			if len(text) < 1000 {
				list, _, err := s.ListIncidents(ctx, store.IncidentFilter{Query: strings.ToUpper(text), Entity: text})
				must(t, err)
				if len(list) != 1 {
					t.Fatalf("the title was found %d times", len(list))
				}
			}
			sig := incident.Signal{ID: "s" + name, Source: text, IncidentID: text, ReceivedAt: at(1)}
			update(t, s, func(tx store.Tx) error { return tx.SaveSignals(ctx, []incident.Signal{sig}) })
			signals, _, err := s.ListSignals(ctx, store.SignalFilter{Source: text, Incident: text})
			must(t, err)
			if len(signals) != 1 {
				t.Fatalf("%d signals of the source", len(signals))
			}
			must(t, s.AddEnrolToken(ctx, text, text, at(9)))
			agent, err := s.UseEnrolToken(ctx, text, at(1))
			must(t, err)
			if agent != text {
				t.Fatalf("the token is for %q", agent)
			}
		})
	}
	t.Run("a MiB of text where it may be long", func(t *testing.T) {
		huge := strings.Repeat("a\x00\\", 1<<18)
		in := newIncident("huge")
		in.Title, in.Entity, in.Symptoms[0].Identity = huge, huge, huge
		in.Note(at(1), huge, incident.EventNote, huge, huge, huge)
		saved(t, s, in)
		got, err := s.FindIncident(ctx, "huge")
		must(t, err)
		if got.Title != huge || got.Entity != huge {
			t.Fatal("a MiB of title came back changed")
		}
		update(t, s, func(tx store.Tx) error {
			open, err := tx.FindOpenIncidents(ctx, []string{huge}, nil, at(0))
			if err == nil && len(open) != 1 {
				t.Errorf("found %d open incidents", len(open))
			}
			return err
		})
	})
	t.Run("and where it may not", func(t *testing.T) {
		long := strings.Repeat("k", 513)
		b := body(long, 1)
		wantKind(t, s.AppendBody(ctx, b), fault.Invalid)
		for name, fn := range map[string]func(tx store.Tx) error{
			"key":  func(tx store.Tx) error { _, err := tx.Enqueue(ctx, store.Job{ID: "x", Key: long}); return err },
			"lock": func(tx store.Tx) error { return tx.Lock(ctx, long, "x", at(0), at(1)) },
			"id":   func(tx store.Tx) error { return tx.SaveIncident(ctx, newIncident(long)) },
		} {
			if err := s.Update(ctx, fn); !fault.Is(err, fault.Invalid) {
				t.Errorf("a %s of 513 bytes: %v", name, err)
			}
		}
		_, _, err := s.ListIncidents(ctx, store.IncidentFilter{Query: strings.Repeat(long, 3)})
		wantKind(t, err, fault.Invalid)
	})
}
