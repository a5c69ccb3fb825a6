package trial

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/examples/lab/bench"
	"github.com/secondline-ops/secondline/examples/lab/company"
)

// moreAlerts is how long another tool waits for what follows the first alert.
const moreAlerts = 5 * time.Second

// Peer measures another tool: a program that package bench describes. Secondline
// is shut off meanwhile.
type Peer struct {
	bench.Peer
	Release string
}

// Name implements Tool.
func (p Peer) Name() string { return filepath.Base(p.Argv[0]) }

// Version implements Tool.
func (p Peer) Version() string { return p.Release }

// Own implements Tool: what it keeps, it declares.
func (p Peer) Own() []bench.Declared { return nil }

// Ask implements Tool.
func (p Peer) Ask(ctx context.Context, t Task) (Outcome, error) {
	if _, err := t.Company.Input(ctx, company.Monitor, "systemctl stop secondline-controller.service", 1<<10); err != nil {
		return Outcome{}, err
	}
	var alerts []company.Alert
	if !t.Healthy {
		var err error
		if _, err = t.Alerted(ctx); err != nil {
			return Outcome{}, err
		}
		select { // the rest of them
		case <-ctx.Done():
			return Outcome{}, ctx.Err()
		case <-time.After(moreAlerts):
		}
		if alerts, err = t.Alerted(ctx); err != nil {
			return Outcome{}, err
		}
	}
	body, err := company.Webhook(alerts)
	if err != nil {
		return Outcome{}, err
	}
	config, inventory, err := t.Company.Access()
	if err != nil {
		return Outcome{}, err
	}
	// Inside the lab's network, where the hosts are.
	peer := p.Peer
	peer.Argv = t.Company.Lab.Command(ctx, p.Argv...).Args
	answer, err := peer.Ask(ctx, bench.Task{
		Alerts: []json.RawMessage{body}, SSHConfig: config, Inventory: inventory, Deadline: time.Until(t.Deadline).Truncate(time.Second),
	})
	out := Outcome{Answer: answer}
	for _, h := range answer.Hypotheses {
		if h.Claims() && out.ToCause == nil {
			out.ToCause = since(t.Injected)
		}
	}
	return out, err
}

// ParsePeer reads a command line: words parted by blanks.
func ParsePeer(line, release string) Peer {
	return Peer{Peer: bench.Peer{Argv: strings.Fields(line)}, Release: release}
}
