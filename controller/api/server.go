package api

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"time"

	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/internal/fault"
)

// Bounds of a request.
const (
	maxActBytes    = 64 << 10         // what people say
	maxSignalBytes = 4 << 20          // one delivery (DESIGN section 10)
	answerWithin   = 30 * time.Second // everything but streams and bundles
	sendWithin     = 10 * time.Minute // a bundle over a slow line
	maxStreams     = 256              // at once; a follower that finds no room comes again
)

// Options are what the API is made of.
type Options struct {
	Service Service
	Keeper  *access.Keeper
	// Intake takes POST /v1/signals/..., after the token was checked.
	Intake http.Handler
	// Metrics answers GET /metrics; nil has none.
	Metrics http.Handler
	// Pages answers what is not the API's: the pages for browsers. nil has none.
	Pages  http.Handler
	Now    func() time.Time
	Logger *slog.Logger
}

// Server answers HTTP requests of people's tools and of sources.
type Server struct {
	o       Options
	mux     *http.ServeMux
	streams chan struct{}
}

// open is the access of what everybody may ask.
const open access.Role = ""

// route is one call: who may make it, and what answers.
type route struct {
	pattern string
	needs   access.Role
	answer  func(*call) (any, error)
}

// call is one request on its way, with who makes it.
type call struct {
	*http.Request
	w   http.ResponseWriter
	who access.Identity
}

// answered is what a route returns when it has written the answer itself.
type answered struct{}

// status is the table that an error of the route is answered by.
func (r route) status() func(fault.Kind) int {
	if r.needs == access.Webhook {
		return fault.DeliveryStatus
	}
	return fault.HTTPStatus
}

func (s *Server) routes() []route {
	return []route{
		{"POST /v1/signals/{source...}", access.Webhook, s.takeSignals},
		{"GET /v1/signals", access.Viewer, s.listSignals},
		{"GET /v1/signals/{id}", access.Viewer, s.findSignal},
		{"GET /v1/signals/{id}/body", rawBodies, s.rawBody},
		{"GET /v1/signals/{id}/why", access.Viewer, s.signalWhy},

		{"GET /v1/incidents", access.Viewer, s.listIncidents},
		{"GET /v1/incidents/{id}", access.Viewer, s.findIncident},
		{"GET /v1/incidents/{id}/events", access.Viewer, s.events},
		{"GET /v1/incidents/{id}/bundle", access.Viewer, s.bundle},
		{"GET /v1/incidents/{id}/why", access.Viewer, s.why},
		{"POST /v1/incidents/{id}/ack", access.Operator, s.incidentAct(Service.Acknowledge, false)},
		{"POST /v1/incidents/{id}/resolve", access.Operator, s.incidentAct(Service.Resolve, false)},
		{"POST /v1/incidents/{id}/reopen", access.Operator, s.incidentAct(Service.Reopen, false)},
		{"POST /v1/incidents/{id}/escalate", access.Operator, s.incidentAct(Service.Escalate, false)},
		{"POST /v1/incidents/{id}/note", access.Operator, s.incidentAct(Service.Note, true)},

		{"GET /v1/runs", access.Viewer, s.listRuns},
		{"POST /v1/runs", access.Operator, s.startRun},
		{"POST /v1/rollouts", access.Operator, s.startRollout},
		{"GET /v1/runs/{id}", access.Viewer, s.findRun},
		{"GET /v1/runs/{id}/plan", access.Viewer, s.plan},
		{"POST /v1/runs/{id}/approve", access.Operator, s.approve},
		{"POST /v1/runs/{id}/reject", access.Operator, s.runAct(Service.Reject)},
		{"POST /v1/runs/{id}/cancel", access.Operator, s.runAct(Service.CancelRun)},
		{"POST /v1/runs/{id}/pause", access.Operator, s.runAct(Service.PauseRun)},
		{"POST /v1/runs/{id}/resume", access.Operator, s.runAct(Service.ResumeRun)},

		{"GET /v1/runbooks", access.Viewer, s.listRunbooks},
		{"POST /v1/runbooks/{name}/form", access.Viewer, s.form},
		{"GET /v1/runbooks/stats", access.Viewer, s.runbookStats},
		{"GET /v1/catalogue", access.Viewer, s.catalogue},
		{"POST /v1/reload", access.Admin, s.reload},
		{"GET /v1/causes", access.Viewer, s.listCauses},
		{"GET /v1/inventory", access.Viewer, s.listEntities},
		{"GET /v1/agents", access.Viewer, s.listAgents},
		{"GET /v1/checks", access.Viewer, s.listChecks},
		{"POST /v1/agents/enrol-token", access.Admin, s.enrolToken},
		{"POST /v1/agents/{id}/revoke", access.Admin, s.revokeAgent},
		{"GET /v1/tokens", access.Admin, s.listTokens},
		{"POST /v1/tokens", access.Admin, s.createToken},
		{"POST /v1/tokens/{id}/revoke", access.Admin, s.revokeToken},

		{"GET /healthz", open, s.live},
		{"GET /readyz", open, s.ready},
	}
}

// New returns the handler of everything that people and sources reach.
func New(o Options) *Server {
	s := &Server{o: o, mux: http.NewServeMux(), streams: make(chan struct{}, maxStreams)}
	for _, r := range s.routes() {
		s.mux.Handle(r.pattern, s.serve(r))
	}
	if o.Metrics != nil {
		s.mux.Handle("GET /metrics", o.Metrics)
	}
	if o.Pages != nil {
		s.mux.Handle("/", o.Pages)
		// Without these, a wrong path of the API would be answered by a page.
		for _, ours := range []string{"/v1/", "/v2/", "/healthz", "/readyz", "/metrics"} {
			s.mux.HandleFunc(ours, s.refuse)
		}
	}
	return s
}

// ServeHTTP implements http.Handler. A panic is answered as a fault and ends
// the request only.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		switch reason := recover(); reason {
		case nil:
		case http.ErrAbortHandler:
			panic(reason)
		default:
			s.o.Logger.ErrorContext(r.Context(), "request ended in a panic", slog.String("path", r.URL.Path), slog.Any("reason", reason))
			writeError(w, fault.New(fault.Internal, "this is a bug"))
		}
	}()
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store") // answers hold what only the asker may see
	if _, pattern := s.mux.Handler(r); pattern == "" {
		s.refuse(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// serve checks who calls, bounds the time, and writes what the route answers.
func (s *Server) serve(r route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c := &call{Request: req, w: w}
		if r.needs != open {
			who, err := s.o.Keeper.Authenticate(req)
			if err == nil {
				err = who.May(r.needs)
			}
			if err != nil {
				s.fail(c, err, r.status())
				return
			}
			c.who = who
		}
		// A client that does not read or write must not hold a connection for
		// ever. Streams and bundles move this deadline themselves.
		deadline := time.Now().Add(answerWithin)
		rc := http.NewResponseController(w)
		_, _ = rc.SetReadDeadline(deadline), rc.SetWriteDeadline(deadline) // not every ResponseWriter can
		if !c.wantsStream() {
			ctx, cancel := context.WithTimeout(req.Context(), answerWithin)
			defer cancel()
			c.Request = req.WithContext(ctx)
		}
		v, err := r.answer(c)
		if err != nil {
			s.fail(c, err, r.status())
			return
		}
		if _, done := v.(answered); !done {
			writeJSON(w, http.StatusOK, v)
		}
	})
}

// fail answers with a fault. What is Internal is for the operator's log; the
// caller gets a number to find it by.
func (s *Server) fail(c *call, err error, status func(fault.Kind) int) {
	if fault.KindOf(err) == fault.Internal {
		number := rand.Text()[:8]
		s.o.Logger.ErrorContext(c.Context(), "request went wrong", slog.String("path", c.URL.Path), slog.String("number", number), slog.Any("reason", err))
		err = fault.New(fault.Internal, "something went wrong inside; the controller's log has it under %s", number)
	}
	writeErrorAs(c.w, err, status)
}

// refuse answers a request that no route takes; the mux would do it in plain text.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request) {
	allow := s.otherMethods(r)
	if allow == "" {
		writeError(w, fault.New(fault.NotFound, "there is no %s", r.URL.Path))
		return
	}
	w.Header().Set("Allow", allow)
	writeProblem(w, http.StatusMethodNotAllowed, ProblemInfo{
		Kind: string(fault.Invalid), Message: r.Method + " is not possible here", Hint: "possible: " + allow,
	})
}

func (s *Server) live(*call) (any, error) { return map[string]string{"status": "live"}, nil }

func (s *Server) ready(c *call) (any, error) {
	if err := s.o.Service.Ready(c.Context()); err != nil {
		s.o.Logger.WarnContext(c.Context(), "not ready", slog.Any("reason", err))
		return nil, fault.New(fault.Overloaded, "not ready")
	}
	return map[string]string{"status": "ready"}, nil
}
