package storetest

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

func body(id string, second int) store.Body {
	return store.Body{
		ID: id, Source: "alertmanager", ContentType: "application/json", Data: []byte(`{"id":"` + id + `"}`),
		SHA256: "d-" + id, ReceivedAt: at(second), Status: store.BodyPending,
	}
}

func bodies(t *testing.T, fresh func(t *testing.T) Place) {
	s, ctx := opened(t, fresh), t.Context()
	must(t, s.AppendBody(ctx, body("b2", 2)))
	must(t, s.AppendBody(ctx, body("b1", 1)))
	must(t, s.AppendBody(ctx, body("b3", 3)))

	got, err := s.FindBody(ctx, "b1")
	must(t, err)
	wantSame(t, got, body("b1", 1))
	_, err = s.FindBody(ctx, "nobody")
	wantKind(t, err, fault.NotFound)
	wantKind(t, s.AppendBody(ctx, body("b1", 9)), fault.Conflict)

	pending, err := s.PendingBodies(ctx, 2)
	must(t, err)
	wantSame(t, pending, []store.Body{body("b1", 1), body("b2", 2)})

	update(t, s, func(tx store.Tx) error { return tx.SettleBody(ctx, "b1", store.BodySettled, "") })
	update(t, s, func(tx store.Tx) error { return tx.SettleBody(ctx, "b2", store.BodyUnmapped, "no alerts in it") })
	pending, err = s.PendingBodies(ctx, 10)
	must(t, err)
	wantSame(t, pending, []store.Body{body("b3", 3)})
	got, err = s.FindBody(ctx, "b2")
	must(t, err)
	if got.Status != store.BodyUnmapped || got.Problem != "no alerts in it" {
		t.Fatalf("settled body is %s: %q", got.Status, got.Problem)
	}
	wantKind(t, s.Update(ctx, func(tx store.Tx) error { return tx.SettleBody(ctx, "b1", store.BodySettled, "") }), fault.Conflict)
	wantKind(t, s.Update(ctx, func(tx store.Tx) error { return tx.SettleBody(ctx, "nobody", store.BodySettled, "") }), fault.NotFound)
	wantKind(t, s.Update(ctx, func(tx store.Tx) error { return tx.SettleBody(ctx, "b3", store.BodyPending, "") }), fault.Invalid)

	update(t, s, func(tx store.Tx) error { return tx.AdvanceBody(ctx, "b3", 0, 200) })
	wantKind(t, s.Update(ctx, func(tx store.Tx) error { return tx.AdvanceBody(ctx, "b3", 0, 200) }), fault.Conflict)
	wantKind(t, s.Update(ctx, func(tx store.Tx) error { return tx.AdvanceBody(ctx, "b1", 0, 1) }), fault.Conflict)
	wantKind(t, s.Update(ctx, func(tx store.Tx) error { return tx.AdvanceBody(ctx, "nobody", 0, 1) }), fault.NotFound)
	pending, err = s.PendingBodies(ctx, 10)
	must(t, err)
	if len(pending) != 1 || pending[0].Taken != 200 {
		t.Fatalf("pending %+v, want b3 with 200 signals taken", pending)
	}
	update(t, s, func(tx store.Tx) error { return tx.AdvanceBody(ctx, "b3", 200, 250) })
	wantKind(t, s.Update(ctx, func(tx store.Tx) error { return tx.AdvanceBody(ctx, "b3", 0, 200) }), fault.Conflict)
	if got, err = s.FindBody(ctx, "b3"); err != nil || got.Taken != 250 {
		t.Fatalf("%d signals are taken, %v", got.Taken, err)
	}
	if n, oldest, err := s.CountPendingBodies(ctx); err != nil || n != 1 || !oldest.Equal(at(3)) {
		t.Fatalf("%d bodies are pending since %s, %v", n, oldest, err)
	}

	n, err := s.DeleteBodies(ctx, at(2), 10) // b1 only: b2 was received at that very time
	must(t, err)
	if n != 1 {
		t.Fatalf("deleted %d bodies, want 1", n)
	}
	n, err = s.DeleteBodies(ctx, at(100), 10)
	must(t, err)
	if n != 1 {
		t.Fatalf("deleted %d bodies, want 1: the pending one stays", n)
	}
	_, err = s.FindBody(ctx, "b3")
	must(t, err)

	t.Run("many at once share commits and none is lost", func(t *testing.T) {
		var stored atomic.Int64
		var problem atomic.Value
		together(workers, func(i int) {
			for k := range 5 {
				if err := s.AppendBody(ctx, body(fmt.Sprintf("m%d-%d", i, k), i)); err != nil {
					problem.Store(err.Error())
					continue
				}
				stored.Add(1)
			}
		})
		all, err := s.PendingBodies(ctx, 1000)
		must(t, err)
		if stored.Load() != 5*workers || len(all) != 5*workers+1 {
			t.Fatalf("%d acknowledged, %d found, %v", stored.Load(), len(all), problem.Load())
		}
	})
	t.Run("of one id at once one is stored", func(t *testing.T) {
		var stored atomic.Int64
		together(20, func(int) {
			if s.AppendBody(ctx, body("same", 1)) == nil {
				stored.Add(1)
			}
		})
		if stored.Load() != 1 {
			t.Fatalf("%d callers were told that theirs is stored", stored.Load())
		}
	})
	t.Run("four MiB and nothing at all", func(t *testing.T) {
		big := body("big", 1)
		big.Data = bytes.Repeat([]byte{0, 1, 0xff, '\\'}, 1<<20)
		must(t, s.AppendBody(ctx, big))
		empty := body("empty", 1)
		empty.Data = nil
		must(t, s.AppendBody(ctx, empty))
		got, err := s.FindBody(ctx, "big")
		must(t, err)
		if !bytes.Equal(got.Data, big.Data) {
			t.Fatal("4 MiB came back changed")
		}
		got, err = s.FindBody(ctx, "empty")
		must(t, err)
		if len(got.Data) != 0 {
			t.Fatalf("the empty body came back as %q", got.Data)
		}
	})
}
