package trial

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/examples/lab/bench"
	"github.com/secondline-ops/secondline/examples/lab/company"
	"github.com/secondline-ops/secondline/examples/lab/faults"
)

// The times of a cure.
const (
	cureLimit = 6 * time.Minute // of a whole run
	// quietLimit is from the end of a run to the end of the alerts, whose rules look
	// back for up to 30 s.
	quietLimit = 60 * time.Second
)

// Cured is what came of a runbook that a person started against a fault.
type Cured struct {
	Case   faults.Case
	Cure   faults.Cure
	Status string // of the run; "" when there was none
	Gone   bool   // the fault and its alerts are
	Took   bench.Seconds
	Why    string // it is not good, "" when it is
}

// Good says whether the runbook has mended the fault, and proved it.
func (c Cured) Good() bool { return c.Why == "" }

// OpenForCures sets up a company for Cure, whose Secondline does nothing unless a
// person says yes. Nothing is measured on it. The caller closes Company.Lab.
func OpenForCures(ctx context.Context, o company.Options) (*Bench, error) {
	c, err := company.Up(ctx, o)
	if err != nil {
		return nil, err
	}
	o.Say("a snapshot")
	if err := c.Freeze(ctx); err != nil {
		return nil, errors.Join(err, c.Lab.Close())
	}
	return &Bench{Company: c, Tool: Secondline{}, Say: o.Say}, nil
}

// Cure breaks fresh hosts, waits until the symptom shows, starts the runbook as a
// person does, and looks whether the symptom is gone. An error says that ctx has
// ended.
func (b *Bench) Cure(ctx context.Context, fault faults.Case, cure faults.Cure) (Cured, error) {
	out := Cured{Case: fault, Cure: cure}
	cases := []faults.Case{fault}
	err := b.breakFresh(ctx, cases, cure)
	if err == nil {
		began := time.Now()
		out.Status, err = b.start(ctx, fault, cure)
		out.Took = *since(began)
		if out.Gone = b.fixed(ctx, cases, quietLimit); !out.Gone && err == nil {
			err = errors.New("the run ended verified, and the fault or one of its alerts is still there")
		}
	}
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	if err != nil {
		out.Why = err.Error()
	}
	return out, nil
}

func (b *Bench) breakFresh(ctx context.Context, cases []faults.Case, cure faults.Cure) error {
	hosts := hostsOf(cases)
	if cure.Host != "" {
		hosts = distinct(append(hosts, cure.Host))
	}
	if err := b.renew(ctx, hosts); err != nil {
		return err
	}
	if err := b.inject(ctx, cases); err != nil {
		return err
	}
	return b.waitForAlerts(ctx, cases)
}

// start carries the runbook out and returns how the run ended. An error says that
// it did not end verified.
func (b *Bench) start(ctx context.Context, fault faults.Case, cure faults.Cure) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, cureLimit)
	defer cancel()
	args := []string{"run", cure.Runbook, "--on", cmp.Or(cure.Host, fault.Host), "--yes", "--why", "its plan was read", "-o", "json"}
	for _, name := range slices.Sorted(maps.Keys(cure.Inputs)) {
		args = append(args, "--input", name+"="+cure.Inputs[name])
	}
	text, runErr := b.Company.Secondline(ctx, args...)
	var view api.PlanView
	if err := json.Unmarshal([]byte(text), &view); err != nil {
		return "", errors.Join(runErr, fmt.Errorf("read what became of the run: %w", err))
	}
	if view.Run.Status != "verified" || runErr != nil {
		return view.Run.Status, fmt.Errorf("the run of %s ended %s: %s", cure.Runbook, view.Run.Status, whyNot(view))
	}
	return view.Run.Status, nil
}

// whyNot is what a plan or a run says of why it was not carried out to its end.
func whyNot(view api.PlanView) string {
	if view.Plan != nil && view.Plan.Refused != "" {
		return view.Plan.Refused
	}
	return view.Run.Why
}

// WriteCures writes a table of what came of the cures.
func WriteCures(w io.Writer, list []Cured) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "FAULT\tRUNBOOK\tON\tRUN\tSYMPTOM\tSECONDS\t")
	for _, c := range list {
		symptom := "still there"
		if c.Gone {
			symptom = "gone"
		}
		fmt.Fprintf(table, "%s@%s\t%s\t%s\t%s\t%s\t%.0f\t%s\n", c.Case.Fault.ID, c.Case.Host, c.Cure.Runbook,
			cmp.Or(c.Cure.Host, c.Case.Host), cmp.Or(c.Status, "none"), symptom, float64(c.Took), c.Why)
	}
	good := slices.DeleteFunc(slices.Clone(list), func(c Cured) bool { return !c.Good() })
	fmt.Fprintf(table, "\n%d of %d cures are good\n", len(good), len(list))
	return table.Flush()
}
