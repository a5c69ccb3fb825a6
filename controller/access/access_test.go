package access_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// rows is the tokens table. What was not stored is NotFound, as in the store.
type rows struct {
	byHash map[string]store.Token
	broken error
	asked  int
}

func (r *rows) SaveToken(_ context.Context, t store.Token) error {
	r.byHash[t.Hash] = t
	return nil
}

func (r *rows) FindToken(_ context.Context, hash string) (store.Token, error) {
	r.asked++
	t, ok := r.byHash[hash]
	if r.broken != nil {
		return store.Token{}, r.broken
	}
	if !ok {
		return t, fault.New(fault.NotFound, "no")
	}
	return t, nil
}

func now() time.Time { return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) }

func (r *rows) ListTokens(context.Context) ([]store.Token, error) {
	all := []store.Token{}
	for _, hash := range slices.Sorted(maps.Keys(r.byHash)) {
		all = append(all, r.byHash[hash])
	}
	return all, nil
}

func (r *rows) add(t *testing.T, change func(*store.Token)) string {
	t.Helper()
	plain, hash, err := access.MakeToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	row := store.Token{Hash: hash, Name: "person:ann", Role: "operator", CreatedAt: now()}
	if change != nil {
		change(&row)
	}
	r.byHash[hash] = row
	return plain.Reveal()
}

func with(header string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if header != "" {
		r.Header.Set("Authorization", header)
	}
	return r
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	db := &rows{byHash: map[string]store.Token{}}
	k := access.NewKeeper(db, rand.Reader, now)
	good := db.add(t, nil)
	expired := db.add(t, func(s *store.Token) { s.ExpiresAt = now() })
	revoked := db.add(t, func(s *store.Token) { s.RevokedAt = now().Add(-time.Hour) })
	odd := db.add(t, func(s *store.Token) { s.Role = "root" })
	session := db.add(t, func(s *store.Token) { s.Parent = access.Hash(good) })
	basic := func(userinfo string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(userinfo)) }
	for name, c := range map[string]struct {
		header string
		want   fault.Kind
	}{
		"bearer":                       {"Bearer " + good, ""},
		"lower case":                   {"bearer " + good, ""},
		"basic password":               {basic("alertmanager:" + good), ""},
		"basic user":                   {basic(good + ":x"), fault.Unauthenticated},
		"nothing":                      {"", fault.Unauthenticated},
		"no scheme":                    {good, fault.Unauthenticated},
		"empty":                        {"Bearer ", fault.Unauthenticated},
		"wrong":                        {"Bearer slt_" + strings.Repeat("A", 43), fault.Unauthenticated},
		"huge":                         {"Bearer slt_" + strings.Repeat("A", 1<<16), fault.Unauthenticated},
		"the hash itself":              {"Bearer " + access.Hash(good), fault.Unauthenticated},
		"expired":                      {"Bearer " + expired, fault.Unauthenticated},
		"revoked":                      {"Bearer " + revoked, fault.Unauthenticated},
		"a role nobody knows":          {"Bearer " + odd, fault.Unauthenticated},
		"a session is not for headers": {"Bearer " + session, fault.Unauthenticated},
	} {
		who, err := k.Authenticate(with(c.header))
		if fault.KindOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (who.Name != "ann" || who.Role != access.Operator) {
			t.Errorf("%s: %+v", name, who)
		}
		if err != nil && who != (access.Identity{}) {
			t.Errorf("%s: refused, and yet %+v", name, who)
		}
	}
}

func TestStoreTroubleIsNotAWrongToken(t *testing.T) {
	t.Parallel()
	db := &rows{byHash: map[string]store.Token{}}
	good := db.add(t, nil)
	db.broken = errors.New("disk")
	k := access.NewKeeper(db, rand.Reader, now)
	for range 100 {
		if _, err := k.Authenticate(with("Bearer " + good)); fault.KindOf(err) != fault.Internal {
			t.Fatalf("got %v", err)
		}
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	order := []access.Role{access.Viewer, access.Operator, access.Engineer, access.Admin}
	for i, have := range order {
		for j, need := range order {
			if got := have.May(need); got != (i >= j) {
				t.Errorf("%s may %s: %t", have, need, got)
			}
		}
		if access.Webhook.May(have) {
			t.Errorf("a webhook may act as %s", have)
		}
		if have.May(access.Webhook) != (have == access.Admin) {
			t.Errorf("%s may post signals: %t", have, have.May(access.Webhook))
		}
	}
	for _, need := range []access.Role{"", "root"} {
		if access.Admin.May(need) || access.Role("").May(access.Viewer) || access.Role("root").May(access.Viewer) {
			t.Errorf("a role that is none counts: %q", need)
		}
	}
}

func TestWebhookPostsForItsSourceOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mine, to string
		ok       bool
	}{
		{"", "anything", true},
		{"alertmanager", "alertmanager", true},
		{"alertmanager", "grafana", false},
		{"alertmanager", "alertmanagerx", false},
		{"generic", "generic/backup", true},
		{"generic/backup", "generic", false},
	} {
		err := access.Identity{Name: "am", Role: access.Webhook, Source: c.mine}.MayPost(c.to)
		if (err == nil) != c.ok || err != nil && !fault.Is(err, fault.Denied) {
			t.Errorf("%q to %q: %v", c.mine, c.to, err)
		}
	}
	if err := (access.Identity{Name: "ann", Role: access.Engineer}).MayPost("x"); !fault.Is(err, fault.Denied) {
		t.Errorf("an engineer posts signals: %v", err)
	}
}

func TestSessionEndsWithItsToken(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*store.Token){
		"revoked": func(s *store.Token) { s.RevokedAt = now() },
		"expired": func(s *store.Token) { s.ExpiresAt = now() },
		"gone":    nil,
	} {
		db := &rows{byHash: map[string]store.Token{}}
		token := db.add(t, nil)
		k := access.NewKeeper(db, rand.Reader, now)
		cookie, who, err := k.SignIn(with(""), " "+token+"\n")
		if err != nil || who.Name != "ann" {
			t.Fatalf("sign in: %v %+v", err, who)
		}
		r := with("")
		r.AddCookie(cookie)
		if _, err := k.Session(r); err != nil {
			t.Fatalf("session: %v", err)
		}
		row := db.byHash[access.Hash(token)]
		if end == nil {
			delete(db.byHash, row.Hash)
		} else {
			end(&row)
			db.byHash[row.Hash] = row
		}
		if _, err := k.Session(r); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestATokenIsNoCookie(t *testing.T) {
	t.Parallel()
	db := &rows{byHash: map[string]store.Token{}}
	k := access.NewKeeper(db, rand.Reader, now)
	r := with("")
	r.AddCookie(&http.Cookie{Name: access.SessionCookie, Value: db.add(t, nil)})
	if _, err := k.Session(r); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("got %v", err)
	}
}

// TestWrongTokensLockNobodyOut: behind a proxy everybody has the same address,
// the monitoring too.
func TestWrongTokensLockNobodyOut(t *testing.T) {
	t.Parallel()
	db := &rows{byHash: map[string]store.Token{}}
	fresh := db.add(t, nil)
	k := access.NewKeeper(db, rand.Reader, now)
	for i := range 1000 {
		if _, err := k.Authenticate(with(fmt.Sprintf("Bearer slt_%d", i))); !fault.Is(err, fault.Unauthenticated) {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if _, err := k.Authenticate(with("Bearer " + fresh)); err != nil {
		t.Errorf("a good token that was not seen before: %v", err)
	}
}

func FuzzHeader(f *testing.F) {
	for _, s := range []string{"Bearer slt_x", "Basic YTpi", "Basic %%", "", " ", "Bearer", "basic Og=="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		db := &rows{byHash: map[string]store.Token{}}
		k := access.NewKeeper(db, rand.Reader, now)
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Authorization"] = []string{header}
		if _, err := k.Authenticate(r); !fault.Is(err, fault.Unauthenticated) {
			t.Fatalf("%q: %v", header, err)
		}
	})
}
