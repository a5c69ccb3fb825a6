// Package web serves the pages for browsers: the list of incidents, one
// incident with its answer first, and signing in. Pages work without scripts;
// with them they refresh themselves. A GET shows and only a POST acts, since
// mail scanners and previews follow links.
//
// The one thing to know: everything on a page may have been written by an
// attacker (an alert's label, a log line). It reaches the page through
// html/template and clean only, and the content security policy lets nothing
// run that is not in static/.
package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
)

//go:embed pages/*.html static/*
var files embed.FS

// Bounds of a request.
const (
	maxFormBytes = 64 << 10
	maxLive      = 256 // pages that refresh themselves at once
	answerWithin = 30 * time.Second
)

// policy lets a page use what is in static/, and nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// Options are what the pages are made of.
type Options struct {
	Service api.Service
	Keeper  *access.Keeper
	Now     func() time.Time
	Logger  *slog.Logger
}

// Pages is the handler of all pages.
type Pages struct {
	o         Options
	templates *template.Template
	handler   http.Handler
	live      chan struct{}
}

// New returns the pages. It fails when a page has a mistake.
func New(o Options) (*Pages, error) {
	p := &Pages{o: o, live: make(chan struct{}, maxLive)}
	var err error
	p.templates, err = template.New("").Funcs(template.FuncMap{
		"clean": clean, "when": when, "age": p.age, "words": words, "sentence": sentence, "object": object, "diff": diffLines, "took": took, "limit": limit, "untold": diagnostics.MergeUntold,
	}).ParseFS(files, "pages/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse pages: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /static/", cached(http.FileServerFS(files)))
	mux.HandleFunc("GET /login", p.loginPage)
	mux.HandleFunc("POST /login", p.login)
	mux.HandleFunc("POST /logout", p.logout)
	for pattern, answer := range map[string]func(*visit) error{
		"GET /{$}":                   p.incidents,
		"GET /incidents/{id}":        p.incident,
		"GET /incidents/{id}/bundle": p.bundle,
		"GET /incidents/{id}/now":    p.now,
		"GET /live":                  p.follow,
		"POST /incidents/{id}/{act}": p.actOnIncident,
		"POST /runs/{id}/{act}":      p.actOnRun,
		"GET /{rest...}":             p.absent,
	} {
		mux.Handle(pattern, p.signedIn(answer))
	}
	p.handler = http.NewCrossOriginProtection().Handler(mux)
	return p, nil
}

// ServeHTTP implements http.Handler.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	p.handler.ServeHTTP(w, r)
}

// visit is one request of somebody who is signed in.
type visit struct {
	*http.Request
	w   http.ResponseWriter
	who access.Identity
}

func (p *Pages) signedIn(answer func(*visit) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := p.o.Keeper.Session(r)
		if fault.Is(err, fault.Unauthenticated) {
			p.sendToLogin(w, r)
			return
		}
		v := &visit{Request: r, w: w, who: who}
		if err == nil {
			deadline := time.Now().Add(answerWithin)
			rc := http.NewResponseController(w)
			_, _ = rc.SetReadDeadline(deadline), rc.SetWriteDeadline(deadline) // not every ResponseWriter can
			err = answer(v)
		}
		if err != nil {
			p.fail(v, err)
		}
	})
}

// sendToLogin asks who it is. The cookie does not come along a link from
// another site (a chat, a mail), so such a visit is first turned into one of
// our own, with the cookie if there is one.
func (p *Pages) sendToLogin(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		p.render(w, http.StatusUnauthorized, "problem", frame{Title: "Signed out", Data: problem{Message: "You are not signed in any more, so nothing was done."}})
		return
	}
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") == "navigate" {
		p.render(w, http.StatusOK, "bounce", frame{Title: "Secondline", Data: r.URL.RequestURI()})
		return
	}
	http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
}

// frame is what every page is in.
type frame struct {
	Title string
	Who   *access.Identity
	Live  string // where the page hears of changes; "" when it does not
	Now   string // where it gets the part that says what is being done; "" when it has none
	Data  any
}

type problem struct {
	Message string
	Hint    string
	Back    string
}

func (p *Pages) show(v *visit, name string, f frame) error {
	f.Who = &v.who
	p.render(v.w, http.StatusOK, name, f)
	return nil
}

// render fills the page in before it answers: half a page is no answer.
func (p *Pages) render(w http.ResponseWriter, status int, name string, f any) {
	var b bytes.Buffer
	if err := p.templates.ExecuteTemplate(&b, name, f); err != nil {
		p.o.Logger.Error("page was not made", slog.String("page", name), slog.Any("reason", err))
		http.Error(w, "this page is broken; the controller's log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the reader is gone when this goes wrong
}

func (p *Pages) fail(v *visit, err error) {
	kind := fault.KindOf(err)
	if kind == fault.Internal {
		p.o.Logger.ErrorContext(v.Context(), "page went wrong", slog.String("path", v.URL.Path), slog.Any("reason", err))
	}
	p.render(v.w, fault.HTTPStatus(kind), "problem", frame{
		Title: "Not done", Who: &v.who, Data: problem{Message: api.Message(err), Hint: hintOf(err), Back: backOf(v.Request)},
	})
}

func (p *Pages) absent(v *visit) error {
	return fault.New(fault.NotFound, "there is no page %s", v.URL.Path)
}

// backOf is the page that a form was on: our own, or the list.
func backOf(r *http.Request) string {
	from, err := url.Parse(r.Header.Get("Referer"))
	if err != nil || from.Host != r.Host {
		return "/"
	}
	return local(from.Path)
}

// local keeps redirects on this site: a path that begins with two slashes, or
// a slash and a backslash, is another site to browsers.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return next
}

func cached(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=300")
		h.ServeHTTP(w, r)
	})
}
