package company

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/secondline-ops/secondline/examples/lab/servers"
)

// Freeze makes what the company is now the state that Renew goes back to. Every
// host is shut down and booted for it.
func (c *Company) Freeze(ctx context.Context) error {
	return c.reboot(ctx, HostNames(), (*servers.Host).Freeze)
}

// Renew throws away what has happened on the hosts since Freeze, and returns when
// the company is well again.
func (c *Company) Renew(ctx context.Context, hosts []string) error {
	return c.reboot(ctx, hosts, (*servers.Host).Renew)
}

func (c *Company) reboot(ctx context.Context, hosts []string, do func(*servers.Host, context.Context) error) error {
	// The name server first, alone, as when the company was set up.
	var rest []*servers.Host
	for _, name := range hosts {
		h, err := c.Lab.Host(name)
		if err != nil {
			return err
		}
		if name != dns1 {
			rest = append(rest, h)
		} else if err := do(h, ctx); err != nil {
			return err
		}
	}
	errs := make([]error, len(rest))
	var wait sync.WaitGroup
	for i, h := range rest {
		wait.Go(func() { errs[i] = do(h, ctx) })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	c.http.CloseIdleConnections()
	return c.settle(ctx)
}

// Input runs shell text on a host as root, with arguments, and returns what it
// printed, at most limit bytes.
func (c *Company) Input(ctx context.Context, host, text string, limit int64) ([]byte, error) {
	h, err := c.Lab.Host(host)
	if err != nil {
		return nil, err
	}
	cmd := h.Command(ctx, "sh", "-s")
	cmd.Stdin = strings.NewReader(text)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(out, limit+1))
	if int64(len(data)) > limit {
		_ = cmd.Process.Kill()
		err = fmt.Errorf("more than %d bytes", limit)
	}
	if err = errors.Join(err, cmd.Wait()); err != nil {
		return nil, fmt.Errorf("script on %s: %w: %s", host, err, strings.TrimSpace(stderr.String()))
	}
	return data, nil
}

// costScript prints the processor time in milliseconds, and the bytes read, of
// everything that ever ran in the units that a tool works through: its agent, and
// the SSH server. proc_pid_stat(5): 14 to 17 are the times of a process and of
// its ended children, in ticks of which there are 100 a second.
const costScript = `for unit in secondline-agent ssh; do
	group=$(systemctl show -P ControlGroup $unit.service) || continue
	[ -n "$group" ] || continue
	cat /sys/fs/cgroup/systemd"$group"/cgroup.procs /sys/fs/cgroup/unified"$group"/cgroup.procs /sys/fs/cgroup"$group"/cgroup.procs 2>/dev/null || true
done | sort -u | while read -r pid; do
	sed 's/.*) //' /proc/$pid/stat 2>/dev/null | awk '{ print "cpu", ($12 + $13 + $14 + $15) * 10 }'
	awk '$1 == "rchar:" { print "bytes", $2 }' /proc/$pid/io 2>/dev/null
done | awk '{ sum[$1] += $2 } END { printf "%d %d\n", sum["cpu"], sum["bytes"] }'
`

// Cost is what looking at a host has cost it so far.
type Cost struct{ CPUMillis, Bytes int64 }

// Cost returns what agents and SSH sessions on the host have cost it since it
// booted.
func (c *Company) Cost(ctx context.Context, host string) (Cost, error) {
	text, err := c.Input(ctx, host, costScript, 1<<10)
	if err != nil {
		return Cost{}, err
	}
	var out Cost
	if _, err := fmt.Sscan(string(text), &out.CPUMillis, &out.Bytes); err != nil {
		return Cost{}, fmt.Errorf("read the cost of %s: %q: %w", host, text, err)
	}
	return out, nil
}

// Get reads JSON from the controller's API.
func (c *Company) Get(ctx context.Context, path string, into any) error {
	return c.get(ctx, ControllerURL()+path, into)
}

// Webhook returns the alerts as Alertmanager's webhook would post them.
func Webhook(alerts []Alert) (json.RawMessage, error) {
	list := []map[string]any{}
	for _, a := range alerts {
		list = append(list, map[string]any{
			"status": "firing", "labels": a.Labels, "annotations": a.Annotations, "startsAt": a.ActiveAt.UTC(), "endsAt": time.Time{}, "generatorURL": "",
		})
	}
	return json.Marshal(map[string]any{
		"version": "4", "receiver": "hostrca", "status": "firing", "truncatedAlerts": 0, "externalURL": "", "groupKey": "{}",
		"groupLabels": map[string]string{}, "commonLabels": map[string]string{}, "commonAnnotations": map[string]string{}, "alerts": list,
	})
}
