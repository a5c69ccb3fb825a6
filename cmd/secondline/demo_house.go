package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/secondline-ops/secondline/agent"
	"github.com/secondline-ops/secondline/agent/credentials"
	"github.com/secondline-ops/secondline/agent/guard"
	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/agent/journal"
	"github.com/secondline-ops/secondline/controller"
	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/intake/sources"
	"github.com/secondline-ops/secondline/controller/inventory"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/store/sqlite"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/runbooks/actions"
)

// demoHold shortens every hold of the demo: the stories are the same, only the
// watching afterwards is shorter. Plans and reports say so.
const demoHold = 2 * time.Second

// house is the demo's controller and agent, wired as the commands wire them.
type house struct {
	app     *controller.App
	db      store.Store
	people  *api.Client // what a person does
	alerts  *api.Client // what Alertmanager does
	keys    *credentials.Keyring
	journal *journal.Journal
	stop    context.CancelFunc
	done    chan error
}

func openHouse(ctx context.Context, d *demo) (h *house, err error) {
	logger := slog.New(slog.DiscardHandler)
	if d.verbose {
		logger = d.env.logger("debug")
	}
	h = &house{done: make(chan error, 1)}
	probes, err := builtinProbes()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(d.dir, "controller")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make demo folder: %w", err)
	}
	if h.db, err = sqlite.Open(ctx, filepath.Join(dir, "secondline.db"), sqlite.Options{Logger: logger}); err != nil {
		return nil, err
	}
	h.app, err = controller.New(ctx, controller.Options{
		Listen: "127.0.0.1:0", AgentListen: "127.0.0.1:0", DataDir: dir, Store: h.db, Sources: sources.All(),
		Load: func() (controller.Settings, error) { return demoSettings(d, probes) },
		Now:  time.Now, Rand: rand.Reader, Version: version, Logger: logger,
	})
	if err != nil {
		return nil, errors.Join(err, h.db.Close())
	}
	if err := h.app.Start(ctx); err != nil {
		return nil, errors.Join(err, h.db.Close())
	}
	if err := h.makeClients(ctx, dir); err != nil {
		return nil, errors.Join(err, h.close(ctx))
	}
	if err := h.startAgent(ctx, d, logger); err != nil {
		return nil, errors.Join(err, h.close(ctx))
	}
	return h, nil
}

func demoSettings(d *demo, probes *diagnostics.ProbeSet) (controller.Settings, error) {
	s, err := controllerConfig{Retention: retentionConfig(controller.DefaultRetention())}.settings(probes)
	if err != nil {
		return s, err
	}
	s.Policy.MaxHold = demoHold
	s.Inventory, err = inventory.New([]entity.Entity{d.patient.entity("demo-agent")})
	return s, err
}

func (h *house) makeClients(ctx context.Context, dir string) error {
	for _, who := range []struct {
		name string
		role access.Role
		into **api.Client
	}{{"demo", access.Admin, &h.people}, {"alertmanager", access.Webhook, &h.alerts}} {
		plain, hash, err := access.MakeToken(rand.Reader)
		if err != nil {
			return err
		}
		if err := h.db.SaveToken(ctx, store.Token{Hash: hash, Name: who.name, Role: string(who.role), CreatedAt: time.Now()}); err != nil {
			return err
		}
		*who.into = api.NewClient("http://"+h.app.Addr(), plain, nil)
		if who.role == access.Admin {
			if err := job.WriteSecret(filepath.Join(dir, "admin-token"), []byte(plain.Reveal()+"\n")); err != nil {
				return fmt.Errorf("write the demo's token: %w", err)
			}
		}
	}
	return nil
}

// startAgent enrols an agent with a one-time token and runs it in this process.
func (h *house) startAgent(ctx context.Context, d *demo, logger *slog.Logger) error {
	state := filepath.Join(d.dir, "agent")
	made, err := h.people.EnrolToken(ctx, api.EnrolRequest{Agent: "demo-agent"})
	if err != nil {
		return err
	}
	token, err := job.ParseJoinToken(made.Token)
	if err != nil {
		return err
	}
	id, key, err := job.Enroll(ctx, job.EnrollOptions{Address: h.app.AgentAddr(), Token: token, Name: "demo-agent", Version: version, Now: time.Now})
	if err != nil {
		return err
	}
	if err := credentials.Save(state, id, key); err != nil {
		return err
	}
	h.keys, err = credentials.NewKeyring(credentials.Options{
		KnownHosts: []string{d.patient.ssh.KnownHostsPath}, Identities: []string{d.patient.ssh.KeyPath}, Logger: logger,
	})
	if err != nil {
		return err
	}
	if h.journal, err = journal.Open(filepath.Join(state, "journal"), journal.Options{}); err != nil {
		return err
	}
	probes, err := builtinProbes()
	if err != nil {
		return err
	}
	a, err := agent.New(agent.Options{
		Identity: id, Addresses: []string{h.app.AgentAddr()}, Journal: h.journal, Probes: probes, Actions: actions.All(), Reach: h.keys,
		// The demo's agent may act, and delete by rule, on its patient only.
		Limits:   guard.Limits{Mode: guard.Act, Targets: []string{d.patient.name}, CleanupRoots: []string{d.patient.dir}},
		Redactor: redact.New(), Audit: commandLog{logger}, Now: time.Now, Rand: mathrand.New(mathrand.NewPCG(1, 2)), Version: version, Host: "demo", Logger: logger, //nolint:gosec // jitter
	})
	if err != nil {
		return err
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.stop = stop
	go func() { h.done <- a.Run(work) }()
	return nil
}

func (h *house) close(ctx context.Context) error {
	var errs []error
	if h.stop != nil {
		h.stop()
		errs = append(errs, <-h.done)
	}
	if h.keys != nil {
		errs = append(errs, h.keys.Close())
	}
	if h.journal != nil {
		errs = append(errs, h.journal.Close())
	}
	return errors.Join(append(errs, h.app.Stop(ctx), h.db.Close())...)
}

// alert posts what Alertmanager 0.27 posts, and returns the incident's id.
func (h *house) alert(ctx context.Context, host string, s story) (string, error) {
	labels := map[string]string{"alertname": s.alert, "instance": host, "severity": "warning"}
	maps.Copy(labels, s.labels)
	fingerprint := fmt.Sprintf("%x", time.Now().UnixNano())
	body, err := json.Marshal(map[string]any{
		"version": "4", "groupKey": "{}:{alertname=\"" + s.alert + "\"}", "truncatedAlerts": 0, "status": "firing", "receiver": "secondline",
		"groupLabels": map[string]string{"alertname": s.alert}, "commonLabels": labels, "commonAnnotations": map[string]string{},
		"externalURL": "http://alertmanager.example:9093",
		"alerts": []map[string]any{{
			"status": "firing", "labels": labels, "annotations": map[string]string{"summary": s.alert + " on " + host},
			"startsAt": time.Now().UTC(), "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prometheus.example:9090/graph", "fingerprint": fingerprint,
		}},
	})
	if err != nil {
		return "", fmt.Errorf("encode alert: %w", err)
	}
	if _, err := h.alerts.PostSignal(ctx, "alertmanager", "application/json", body); err != nil {
		return "", err
	}
	for {
		list, err := h.people.ListSignals(ctx, api.SignalQuery{Source: "alertmanager", Limit: 20})
		if err != nil {
			return "", err
		}
		for _, sig := range list.Signals {
			if sig.Identity == fingerprint && sig.IncidentID != nil {
				return *sig.IncidentID, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", fault.New(fault.Timeout, "the alert did not become an incident")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// fetchBundle downloads the bundle as a person would.
func (h *house) fetchBundle(ctx context.Context, in api.Incident, path string) (err error) {
	for in.BundleURL == "" {
		select {
		case <-ctx.Done():
			return fault.New(fault.Timeout, "incident %d has no bundle yet", in.Number)
		case <-time.After(50 * time.Millisecond):
		}
		if in, err = h.people.FindIncident(ctx, in.ID); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("keep the bundle: %w", err)
	}
	return errors.Join(h.people.Bundle(ctx, in.ID, f), f.Close())
}
