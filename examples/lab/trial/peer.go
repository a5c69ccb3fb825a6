package trial

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/examples/lab/bench"
	"github.com/secondline-ops/secondline/examples/lab/company"
	"github.com/secondline-ops/secondline/examples/lab/faults"
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

// Prepare implements Tool.
func (p Peer) Prepare(ctx context.Context, c *company.Company) error { return c.ShutSecondlineOff(ctx) }

// Complain implements Tool: it gets what people say together with the alerts.
func (p Peer) Complain(context.Context, *company.Company, faults.Case) error { return nil }

// Ask implements Tool.
func (p Peer) Ask(ctx context.Context, t Task) (Outcome, error) {
	if err := wait(ctx, moreAlerts); err != nil {
		return Outcome{}, err
	}
	signals, err := t.Signals(ctx)
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
	answer, err := peer.Ask(ctx, bench.Task{Alerts: signals, SSHConfig: config, Inventory: inventory, Deadline: t.Limit})
	if failed := (*bench.PeerError)(nil); errors.As(err, &failed) {
		err = &ToolError{failed}
	}
	return Outcome{Answer: answer}, err
}

// ParsePeer reads a command line: words parted by blanks, of which the first is a
// program that can be run.
func ParsePeer(line, release string) (Peer, error) {
	argv := strings.Fields(line)
	if len(argv) == 0 {
		return Peer{}, errors.New("the tool has no name")
	}
	if _, err := exec.LookPath(argv[0]); err != nil {
		return Peer{}, fmt.Errorf("find the tool: %w", err)
	}
	return Peer{Peer: bench.Peer{Argv: argv}, Release: release}, nil
}
