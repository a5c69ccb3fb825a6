package access_test

import (
	"crypto/rand"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

func TestTokenMadeWorksUntilRevoked(t *testing.T) {
	t.Parallel()
	db := &rows{byHash: map[string]store.Token{}}
	k := access.NewKeeper(db, rand.Reader, time.Now)
	secret, made, err := k.CreateToken(t.Context(), access.TokenSpec{Name: "alice", Role: access.Operator, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+secret.Reveal())
	if who, err := k.Authenticate(r); err != nil || who.Name != "alice" || who.Role != access.Operator {
		t.Fatalf("got %+v, %v", who, err)
	}
	if _, err := k.RevokeToken(t.Context(), access.TokenID(made)); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Authenticate(r); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a revoked token still counts: %v", err)
	}
	if _, err := k.RevokeToken(t.Context(), access.TokenID(made)); err != nil {
		t.Errorf("revoking once more: %v", err)
	}
}

func TestTokenSpecsThatAreRefused(t *testing.T) {
	t.Parallel()
	db := &rows{byHash: map[string]store.Token{}}
	k := access.NewKeeper(db, rand.Reader, time.Now)
	for name, spec := range map[string]access.TokenSpec{
		"no name":             {Role: access.Viewer},
		"no such role":        {Name: "x", Role: "root"},
		"a person's source":   {Name: "x", Role: access.Admin, Source: "alertmanager"},
		"expired when made":   {Name: "x", Role: access.Viewer, TTL: -1},
		"a name without end":  {Name: string(make([]byte, 101)), Role: access.Viewer},
		"a name of only gaps": {Name: " ", Role: access.Viewer},
		"a gap behind a name": {Name: "ada ", Role: access.Viewer},
		"what nobody can see": {Name: "ada\u200b", Role: access.Viewer},
	} {
		if _, _, err := k.CreateToken(t.Context(), spec); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if len(db.byHash) != 0 {
		t.Errorf("%d tokens were stored", len(db.byHash))
	}
}

func TestRevokingByNameNeedsOneOfThatName(t *testing.T) {
	t.Parallel()
	db := &rows{byHash: map[string]store.Token{}}
	k := access.NewKeeper(db, rand.Reader, time.Now)
	var made []store.Token
	for range 2 {
		_, one, err := k.CreateToken(t.Context(), access.TokenSpec{Name: "bob", Role: access.Viewer})
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, one)
	}
	if _, err := k.RevokeToken(t.Context(), "bob"); !fault.Is(err, fault.Conflict) {
		t.Errorf("two of one name: got %v", err)
	}
	if _, err := k.RevokeToken(t.Context(), access.TokenID(made[0])); err != nil {
		t.Fatal(err)
	}
	got, err := k.RevokeToken(t.Context(), "bob")
	if err != nil || got.Hash != made[1].Hash {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := k.RevokeToken(t.Context(), "bob"); !fault.Is(err, fault.NotFound) {
		t.Errorf("none of the name left: got %v", err)
	}
	if list, err := k.ListTokens(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("got %v, %v", list, err)
	}
}
