package api

import (
	"context"
	"net/http"

	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// maxRunPages bounds how many pages of incidents one list of runs looks
// through; the cursor goes on where it stopped.
const maxRunPages = 10

// listRuns collects runs from incidents, newest incident first. A page ends
// with the page of incidents that filled it, so it may hold more than limit.
func (s *Server) listRuns(c *call) (any, error) {
	if err := c.known("incident", "status", "limit", "cursor"); err != nil {
		return nil, err
	}
	limit, err := c.limit()
	if err != nil {
		return nil, err
	}
	if limit == 0 {
		limit = 50
	}
	q := c.URL.Query()
	out := RunList{Runs: []Run{}, NextCursor: q.Get("cursor")}
	take := func(in *incident.Incident) {
		for i := range in.Runs {
			if st := string(in.Runs[i].Status); q.Get("status") == "" || st == q.Get("status") {
				out.Runs = append(out.Runs, DescribeRun(in, &in.Runs[i]))
			}
		}
	}
	if ref := q.Get("incident"); ref != "" {
		in, err := s.o.Service.FindIncident(c.Context(), ref)
		if err != nil {
			return nil, err
		}
		take(in)
		return out, nil
	}
	for range maxRunPages {
		page, next, err := s.o.Service.ListIncidents(c.Context(), store.IncidentFilter{Limit: limit, Cursor: out.NextCursor})
		if err != nil {
			return nil, err
		}
		for _, in := range page {
			take(in)
		}
		out.NextCursor = next
		if next == "" || len(out.Runs) >= limit {
			break
		}
	}
	return out, nil
}

func (s *Server) startRun(c *call) (any, error) {
	req, err := decode[RunRequest](c)
	if err != nil {
		return nil, err
	}
	switch {
	case req.Runbook == "":
		return nil, fault.New(fault.Invalid, "say which runbook").WithField("runbook")
	case req.Target == "":
		return nil, fault.New(fault.Invalid, "say on which target").WithField("target")
	}
	in, run, err := s.o.Service.StartRun(c.Context(), req, c.who.Name)
	if err != nil {
		return nil, err
	}
	c.w.Header().Set("Location", "/v1/runs/"+run)
	writeJSON(c.w, http.StatusAccepted, RunStarted{Incident: in, Run: run})
	return answered{}, nil
}

func (s *Server) startRollout(c *call) (any, error) {
	req, err := decode[RolloutRequest](c)
	if err != nil {
		return nil, err
	}
	if req.Runbook == "" {
		return nil, fault.New(fault.Invalid, "say which runbook").WithField("runbook")
	}
	started, err := s.o.Service.StartRollout(c.Context(), req, c.who.Name)
	if err != nil {
		return nil, err
	}
	writeJSON(c.w, http.StatusAccepted, started)
	return answered{}, nil
}

func (s *Server) findRun(c *call) (any, error) {
	in, run, err := s.o.Service.FindRun(c.Context(), c.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return withTranscript(DescribeRun(in, run), run), nil
}

func (s *Server) plan(c *call) (any, error) {
	in, run, err := s.o.Service.FindRun(c.Context(), c.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return DescribePlan(in, run), nil
}

func (s *Server) approve(c *call) (any, error) {
	body, err := decode[Act](c)
	if err != nil {
		return nil, err
	}
	if err := Approve(c.Context(), s.o.Service, c.who, Decision{Run: c.PathValue("id"), PlanDigest: body.PlanDigest, Why: body.Text}); err != nil {
		return nil, err
	}
	return s.findRun(c)
}

// Decision is a person's yes to a plan.
type Decision struct {
	Run        string
	PlanDigest string // of the plan that the person saw
	Why        string
}

// Approve says yes for who, if who may for this plan. API and pages share it.
func Approve(ctx context.Context, svc Service, who access.Identity, d Decision) error {
	if d.PlanDigest == "" {
		return fault.New(fault.Invalid, "say which plan you approve").WithField("plan_digest").
			WithHint("it is the digest in GET /v1/runs/%s/plan", d.Run)
	}
	_, run, err := svc.FindRun(ctx, d.Run)
	if err != nil {
		return err
	}
	if err := who.May(NeededToApprove(run)); err != nil {
		return err
	}
	return svc.Approve(ctx, d.Run, d.PlanDigest, who.Name, d.Why)
}

func (s *Server) runAct(act func(Service, context.Context, string, string, string) error) func(*call) (any, error) {
	return func(c *call) (any, error) {
		body, err := decode[Act](c)
		if err != nil {
			return nil, err
		}
		if err := act(s.o.Service, c.Context(), c.PathValue("id"), c.who.Name, body.Text); err != nil {
			return nil, err
		}
		return s.findRun(c)
	}
}

func (s *Server) listRunbooks(*call) (any, error) {
	return RunbookList{Runbooks: convert(s.o.Service.Runbooks(), DescribeRunbook)}, nil
}

func (s *Server) listCauses(*call) (any, error) {
	return CauseList{Causes: convert(s.o.Service.Causes(), CauseInfo.whole)}, nil
}

func (s *Server) listEntities(*call) (any, error) {
	return EntityList{Entities: list(s.o.Service.Inventory())}, nil
}
