package api

import (
	"context"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// maxPage bounds a page of a list, as the store does.
const maxPage = 500

func (c *call) limit() (int, error) {
	n, err := c.number("limit")
	if err != nil {
		return 0, err
	}
	if n > maxPage {
		return 0, fault.New(fault.Invalid, "a page has at most %d entries", maxPage).WithField("limit")
	}
	return int(n), nil
}

func (s *Server) listIncidents(c *call) (any, error) {
	if err := c.known("status", "entity", "q", "limit", "cursor", "dry_runs"); err != nil {
		return nil, err
	}
	limit, err := c.limit()
	if err != nil {
		return nil, err
	}
	q := c.URL.Query()
	statuses, err := parseStatuses(q["status"])
	if err != nil {
		return nil, err
	}
	found, next, err := s.o.Service.ListIncidents(c.Context(), store.IncidentFilter{
		Status: statuses, Entity: q.Get("entity"), Query: q.Get("q"), Limit: limit, Cursor: q.Get("cursor"),
		OmitDryRuns: q.Get("dry_runs") != "true",
	})
	if err != nil {
		return nil, err
	}
	return IncidentList{Incidents: convert(found, Summarise), NextCursor: next}, nil
}

// parseStatuses reads ?status=a,b&status=c; "open" stands for all open ones.
func parseStatuses(params []string) ([]incident.Status, error) {
	var out []incident.Status
	for _, param := range params {
		for word := range strings.SplitSeq(param, ",") {
			switch st := incident.Status(strings.TrimSpace(word)); {
			case word == "":
			case word == "open":
				out = append(out, OpenStatuses()...)
			case slices.Contains(incident.Statuses(), st):
				out = append(out, st)
			default:
				return nil, fault.New(fault.Invalid, "there is no status %q", word).WithField("status")
			}
		}
	}
	return out, nil
}

// OpenStatuses returns the statuses in which work may still be needed.
func OpenStatuses() []incident.Status {
	return slices.DeleteFunc(incident.Statuses(), func(s incident.Status) bool { return !s.Open() })
}

func (s *Server) findIncident(c *call) (any, error) {
	in, err := s.o.Service.FindIncident(c.Context(), c.PathValue("id"))
	if err != nil {
		return nil, err
	}
	signals, _, err := s.o.Service.ListSignals(c.Context(), store.SignalFilter{Incident: in.ID, Limit: maxPage})
	if err != nil {
		return nil, err
	}
	out := Describe(in, signals)
	out.Jobs = ProgressOf(in, s.o.Service).Jobs
	return out, nil
}

func (s *Server) why(c *call) (any, error) {
	w, err := s.o.Service.Why(c.Context(), c.PathValue("id"))
	return w.whole(), err
}

func (s *Server) bundle(c *call) (any, error) {
	return answered{}, ServeBundle(c.w, c.Request, s.o.Service, c.PathValue("id"))
}

// ServeBundle sends the incident's bundle as a file.
func ServeBundle(w http.ResponseWriter, r *http.Request, svc Reader, ref string) error {
	in, err := svc.FindIncident(r.Context(), ref)
	if err != nil {
		return err
	}
	path, err := svc.BundlePath(r.Context(), in.ID)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "open the bundle")
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fault.Wrap(fault.Internal, err, "open the bundle")
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(sendWithin)) // not every ResponseWriter can
	w.Header().Set("Content-Type", "application/gzip")
	w.Header().Set("Content-Disposition", `attachment; filename="incident-`+strconv.FormatInt(in.Number, 10)+`.tar.gz"`)
	http.ServeContent(w, r, "", info.ModTime(), f)
	return nil
}

// incidentAct makes a route of something that people do to an incident. It
// answers with the incident as it is then.
func (s *Server) incidentAct(act func(Service, context.Context, string, string, string) error, needsText bool) func(*call) (any, error) {
	return func(c *call) (any, error) {
		body, err := decode[Act](c)
		if err != nil {
			return nil, err
		}
		if needsText && strings.TrimSpace(body.Text) == "" {
			return nil, fault.New(fault.Invalid, "say what to note").WithField("text")
		}
		if err := act(s.o.Service, c.Context(), c.PathValue("id"), c.who.Name, body.Text); err != nil {
			return nil, err
		}
		return s.findIncident(c)
	}
}
