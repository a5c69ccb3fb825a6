package web

import (
	"net/http"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/internal/fault"
)

type loginView struct {
	Next    string
	Problem string
}

func (p *Pages) loginPage(w http.ResponseWriter, r *http.Request) {
	next := local(r.URL.Query().Get("next"))
	if _, err := p.o.Keeper.Session(r); err == nil {
		http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // local let only paths of this site pass
		return
	}
	p.render(w, http.StatusOK, "login", frame{Title: "Sign in", Data: loginView{Next: next}})
}

func (p *Pages) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	next := local(r.PostFormValue("next"))
	cookie, _, err := p.o.Keeper.SignIn(r, r.PostFormValue("token"))
	if err != nil {
		p.render(w, fault.HTTPStatus(fault.KindOf(err)), "login", frame{Title: "Sign in", Data: loginView{Next: next, Problem: api.Message(err)}})
		return
	}
	http.SetCookie(w, cookie)
	http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // local let only paths of this site pass
}

func (p *Pages) logout(w http.ResponseWriter, r *http.Request) {
	cookie, err := p.o.Keeper.SignOut(r)
	http.SetCookie(w, cookie)
	if err != nil {
		p.fail(&visit{Request: r, w: w}, err)
		return
	}
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}
