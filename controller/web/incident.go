package web

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// maxTimeline bounds the events on a page; the API has all of them.
const maxTimeline = 300

type incidentView struct {
	api.Incident
	Best     *api.Hypothesis
	Others   []api.Hypothesis
	Plan     *api.PlanView // of the run that is not over
	MayAct   bool
	MaySay   bool // yes to the plan
	Waiting  bool // for an approval
	Held     bool // approved, and waiting for its turn
	Running  bool
	IsOpen   bool
	CanWake  bool // may be diagnosed again
	Timeline []api.Event
	Earlier  bool // there are events before the first shown
	Facts    []factView
	Symptoms []symptomView
}

type symptomView struct {
	api.Symptom
	URL   string   // "" when it is not one to follow
	Names []string // what its signal names
}

type factView struct {
	ID, Probe, Status, Value string
	At                       string
}

func (p *Pages) incident(v *visit) error {
	in, err := p.o.Service.FindIncident(v.Context(), v.PathValue("id"))
	if err != nil {
		return err
	}
	view, err := p.describe(v.Context(), in)
	if err != nil {
		return err
	}
	view.MayAct = v.who.Role.May(access.Operator)
	if run := in.CurrentRun(); run != nil {
		plan := api.DescribePlan(in, run)
		view.Plan, view.MaySay = &plan, v.who.Role.May(access.Role(plan.Needs))
		view.Waiting, view.Running = plan.Run.Missing > 0, run.Status == runbooks.RunRunning
		view.Held = run.Status == runbooks.RunWaiting && !view.Waiting
	}
	return p.show(v, "incident", frame{
		Title: "#" + strconv.FormatInt(in.Number, 10) + " " + clean(in.Title), Live: "/live?incident=" + url.QueryEscape(in.ID), Now: "/incidents/" + url.PathEscape(in.ID) + "/now", Data: view,
	})
}

// now is the part of an incident's page that says what is being done, alone: it
// changes many times while the rest stays as it is.
func (p *Pages) now(v *visit) error {
	in, err := p.o.Service.FindIncident(v.Context(), v.PathValue("id"))
	if err != nil {
		return err
	}
	p.render(v.w, http.StatusOK, "now", api.ProgressOf(in, p.o.Service).Jobs)
	return nil
}

func (p *Pages) describe(ctx context.Context, in *incident.Incident) (incidentView, error) {
	after := max(0, in.Seq-maxTimeline)
	events, err := p.o.Service.ListEvents(ctx, in.ID, after, maxTimeline)
	if err != nil {
		return incidentView{}, err
	}
	facts, err := p.o.Service.ListFacts(ctx, in.ID)
	if err != nil {
		return incidentView{}, err
	}
	signals, _, err := p.o.Service.ListSignals(ctx, store.SignalFilter{Incident: in.ID, Limit: 50})
	if err != nil {
		return incidentView{}, err
	}
	view := incidentView{
		Incident: api.Describe(in, signals), Earlier: after > 0, IsOpen: in.Status.Open(),
		CanWake: in.Status == incident.Escalated || in.Status == incident.Resolved,
	}
	view.Others = view.Hypotheses
	if h := view.Hypotheses; len(h) > 0 && diagnostics.Band(h[0].Band) != diagnostics.Unlikely { // what was ruled out is no headline
		view.Best, view.Others = &h[0], h[1:]
	}
	for _, e := range events {
		view.Timeline = append(view.Timeline, api.DescribeEvent(e))
	}
	slices.SortFunc(view.Timeline, func(a, b api.Event) int { return cmp.Compare(b.Seq, a.Seq) })
	slices.Reverse(view.Runs) // the latest first
	for _, s := range view.Incident.Symptoms {
		view.Symptoms = append(view.Symptoms, symptomView{s, followable(s.Link), view.NamedBy(s)})
	}
	view.Facts = citedFacts(facts)
	view.Jobs = api.ProgressOf(in, p.o.Service).Jobs
	return view, nil
}

// maxFactText bounds the value of a fact on a page.
const maxFactText = 600

func citedFacts(facts []diagnostics.Fact) []factView {
	out := make([]factView, 0, len(facts))
	for _, f := range facts {
		text := f.Error
		if f.Value != nil {
			raw, err := json.Marshal(f.Value)
			if err == nil {
				text = string(raw)
			}
		}
		if len(text) > maxFactText {
			text = strings.ToValidUTF8(text[:maxFactText], "") + " …"
		}
		out = append(out, factView{ID: f.ID, Probe: f.Probe, Status: string(f.Status), Value: text, At: when(f.At)})
	}
	return out
}

// followable returns the link when it leads to a page and nowhere else.
func followable(link string) string {
	u, err := url.Parse(link)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return ""
	}
	return link
}

func (p *Pages) bundle(v *visit) error {
	return api.ServeBundle(v.w, v.Request, p.o.Service, v.PathValue("id"))
}

func (p *Pages) actOnIncident(v *visit) error {
	text, err := p.form(v)
	if err != nil {
		return err
	}
	acts := map[string]func(context.Context, string, string, string) error{
		"ack": p.o.Service.Acknowledge, "resolve": p.o.Service.Resolve, "reopen": p.o.Service.Reopen,
		"escalate": p.o.Service.Escalate, "note": p.o.Service.Note,
	}
	ref := v.PathValue("id")
	act, ok := acts[v.PathValue("act")]
	if !ok {
		return p.absent(v)
	}
	if v.PathValue("act") == "note" && strings.TrimSpace(text) == "" {
		return fault.New(fault.Invalid, "there was nothing to note")
	}
	if err := act(v.Context(), ref, v.who.Name, text); err != nil {
		return err
	}
	return p.backTo(v, ref)
}

func (p *Pages) actOnRun(v *visit) error {
	text, err := p.form(v)
	if err != nil {
		return err
	}
	id := v.PathValue("id")
	in, _, err := p.o.Service.FindRun(v.Context(), id)
	if err != nil {
		return err
	}
	switch v.PathValue("act") {
	case "approve":
		err = api.Approve(v.Context(), p.o.Service, v.who, api.Decision{Run: id, PlanDigest: v.PostFormValue("plan_digest"), Why: text})
	case "reject":
		err = p.o.Service.Reject(v.Context(), id, v.who.Name, text)
	case "cancel":
		err = p.o.Service.CancelRun(v.Context(), id, v.who.Name, text)
	case "pause":
		err = p.o.Service.PauseRun(v.Context(), id, v.who.Name, text)
	case "resume":
		err = p.o.Service.ResumeRun(v.Context(), id, v.who.Name, text)
	default:
		err = p.absent(v)
	}
	if err != nil {
		return err
	}
	return p.backTo(v, in.ID)
}

// form checks that the visitor may act, and returns what they say.
func (p *Pages) form(v *visit) (string, error) {
	if err := v.who.May(access.Operator); err != nil {
		return "", err
	}
	v.Body = http.MaxBytesReader(v.w, v.Body, maxFormBytes)
	if err := v.ParseForm(); err != nil {
		return "", fault.Wrap(fault.Invalid, err, "the form could not be read")
	}
	return strings.TrimSpace(v.PostFormValue("text")), nil
}

func (p *Pages) backTo(v *visit, ref string) error {
	in, err := p.o.Service.FindIncident(v.Context(), ref)
	if err != nil {
		return err
	}
	http.Redirect(v.w, v.Request, "/incidents/"+strconv.FormatInt(in.Number, 10), http.StatusSeeOther)
	return nil
}
