package smtp

import (
	"context"
	"mime"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/notify"
	"github.com/secondline-ops/secondline/internal/fault"
)

func message() notify.Message {
	return notify.Message{
		ID: "job-1", Kind: notify.Escalated, Subject: "disk\r\nBcc: all@evil\r\n\r\nbody \u202eü", Text: "first\n.\nGrüße \x1b[31m", Link: "https://s/incidents/42",
		Incident: notify.Incident{ID: "inc-1", Number: 42},
	}
}

func sender(t *testing.T, s *strictServer, edit func(*Options)) *Sender {
	t.Helper()
	o := Options{Name: "mail", Host: "127.0.0.1", Port: s.port(), From: "Secondline <bot@example.org>", To: []string{"ann@example.org"}, RootCAs: s.roots, Timeout: time.Minute}
	if edit != nil {
		edit(&o)
	}
	out, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestMailIsWhole(t *testing.T) {
	t.Parallel()
	s := newServer(t, true, nil)
	m := message()
	m.Attachment = filepath.Join(t.TempDir(), "incident-42.tar.gz")
	os.WriteFile(m.Attachment, make([]byte, 1<<20), 0o600)
	to := sender(t, s, func(o *Options) { o.User, o.Password = "bot", "pa55" })
	for range 2 {
		if err := to.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.got(&s.mails)) != 2 || !slices.Equal(s.got(&s.auth), []string{"\x00bot\x00pa55", "\x00bot\x00pa55"}) {
		t.Fatalf("%d mails, auth %q", len(s.got(&s.mails)), s.got(&s.auth))
	}
	one, err := mail.ReadMessage(strings.NewReader(s.got(&s.mails)[0]))
	if err != nil {
		t.Fatal(err)
	}
	two, _ := mail.ReadMessage(strings.NewReader(s.got(&s.mails)[1]))
	h := one.Header
	subject, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
	if err != nil || subject != "disk Bcc: all@evil body ü" {
		t.Errorf("subject %q %v", subject, err)
	}
	if h.Get("Bcc") != "" || h.Get("Auto-Submitted") != "auto-generated" || h.Get("X-Auto-Response-Suppress") != "All" || h.Get("References") == "" {
		t.Errorf("headers %v", h)
	}
	if id := h.Get("Message-ID"); !strings.HasSuffix(id, "@example.org>") || id != two.Header.Get("Message-ID") {
		t.Errorf("message ids %q and %q", id, two.Header.Get("Message-ID"))
	}
	if !strings.Contains(s.got(&s.mails)[0], "incident-42.tar.gz") || strings.Contains(s.got(&s.mails)[0], "\x1b") {
		t.Error("attachment missing, or an escape in the text")
	}
	large := message()
	large.ID, large.Attachment = "job-2", filepath.Join(t.TempDir(), "big")
	f, _ := os.Create(large.Attachment)
	f.Truncate(maxAttachmentBytes + 1)
	f.Close()
	if err := to.Send(t.Context(), large); err != nil || !strings.Contains(s.got(&s.mails)[2], "not attached") || len(s.got(&s.mails)[2]) > 10_000 {
		t.Errorf("large attachment: %v, %d bytes", err, len(s.got(&s.mails)[2]))
	}
}

func TestServersAnswerDecidesAboutAnotherTry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers map[string]string
		want    fault.Kind
	}{
		"greylisted":    {map[string]string{"RCPT ann@example.org": "451 4.7.1 later"}, fault.Transient},
		"no such user":  {map[string]string{"RCPT ann@example.org": "550 5.1.1 who"}, fault.Invalid},
		"too large":     {map[string]string{".": "552 5.3.4 too large"}, fault.TooLarge},
		"disk full":     {map[string]string{".": "452 4.3.1 full"}, fault.Transient},
		"bad login":     {map[string]string{"AUTH PLAIN": "535 5.7.8 no"}, fault.Denied},
		"sender denied": {map[string]string{"MAIL bot@example.org": "550 5.7.1 no"}, fault.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, true, c.answers)
			err := sender(t, s, func(o *Options) { o.User, o.Password = "bot", "pa55" }).Send(t.Context(), message())
			if !fault.Is(err, c.want) || strings.Contains(err.Error(), "pa55") || len(s.got(&s.mails)) != 0 {
				t.Errorf("got %v (%s), want %s", err, fault.KindOf(err), c.want)
			}
		})
	}
}

func TestNoMailWithoutEncryption(t *testing.T) {
	t.Parallel()
	s := newServer(t, false, nil)
	if err := sender(t, s, nil).Send(t.Context(), message()); !fault.Is(err, fault.Denied) || len(s.got(&s.mails)) != 0 {
		t.Errorf("required: %v, %d mails", err, len(s.got(&s.mails)))
	}
	if err := sender(t, s, func(o *Options) { o.TLS = Opportunistic }).Send(t.Context(), message()); err != nil || len(s.got(&s.mails)) != 1 {
		t.Errorf("opportunistic: %v", err)
	}
	trusted := newServer(t, true, nil)
	if err := sender(t, trusted, func(o *Options) { o.RootCAs = s.roots }).Send(t.Context(), message()); !fault.Is(err, fault.Denied) {
		t.Errorf("unknown certificate: %v", err)
	}
}

func TestOneBadAddressKeepsNobodyFromBeingTold(t *testing.T) {
	t.Parallel()
	s := newServer(t, true, map[string]string{"RCPT bad@example.org": "451 4.2.0 later"})
	to := sender(t, s, func(o *Options) { o.To = []string{"bad@example.org", "ann@example.org"} })
	for range 3 {
		if err := to.Send(t.Context(), message()); !fault.Is(err, fault.Transient) {
			t.Fatal(err)
		}
	}
	if !slices.Equal(s.got(&s.rcpts), []string{"ann@example.org"}) {
		t.Errorf("mailed %q: another try must not tell anyone twice", s.got(&s.rcpts))
	}
}

func TestSlowServerIsLeft(t *testing.T) {
	t.Parallel()
	s := newServer(t, true, nil)
	s.silent.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := sender(t, s, func(o *Options) { o.Timeout = 100 * time.Millisecond }).Send(ctx, message())
	if !fault.Is(err, fault.Timeout) || ctx.Err() != nil {
		t.Errorf("silent server: %v", err)
	}
	s.listener.Close()
	if err := sender(t, s, nil).Send(t.Context(), message()); !fault.Is(err, fault.Unreachable) {
		t.Errorf("no server: %v", err)
	}
}

func TestNamesEveryBadField(t *testing.T) {
	t.Parallel()
	_, err := New(Options{Port: 70000, From: "x", User: "u", TLS: "maybe"})
	for _, want := range []string{"name", "host", "port", "mail address", "recipient", "together", "maybe"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}
