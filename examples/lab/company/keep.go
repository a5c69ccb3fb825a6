package company

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/secondline-ops/secondline/examples/lab/servers"
)

// forwards are the doors that a running lab has to its machine's loopback.
func forwards() []struct{ here, there, what string } {
	return []struct{ here, there, what string }{
		{"127.0.0.1:17420", address(mon) + ":7420", "Secondline's page and API"},
		{"127.0.0.1:19090", address(mon) + ":9090", "Prometheus"},
		{"127.0.0.1:19093", address(mon) + ":9093", "Alertmanager"},
		{"127.0.0.1:18443", address(lb1) + ":443", "the company's service (https, its own authority)"},
	}
}

// HostNames returns the hosts of the company.
func HostNames() []string {
	var out []string
	for _, r := range roles() {
		out = append(out, r.host)
	}
	return out
}

// Keep lets the company run on when this process has ended, and opens its doors.
func (c *Company) Keep(ctx context.Context) error {
	if err := c.Lab.Keep(); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// "go run" deletes its program when it ends.
	program := c.program("lab")
	if err := copyFile(program, self); err != nil {
		return err
	}
	p, err := c.Lab.StartOutside(ctx, servers.ProcessOptions{Name: "forward", Argv: []string{program, "forward", "--cache", c.o.Cache, c.Lab.Name}})
	if err != nil {
		return err
	}
	return servers.Poll(ctx, "the way in from loopback", func() (bool, error) {
		select {
		case <-p.Done(): // a port is taken, it says
			text, err := os.ReadFile(p.Log)
			return false, errors.Join(fmt.Errorf("no way in from loopback: %s", strings.TrimSpace(string(text))), err)
		default:
		}
		_, err := os.Stat(filepath.Join(c.Lab.Dir, forwarding))
		return err == nil, nil
	})
}

// forwarding is a file that says that every door is open.
const forwarding = "forwarding"

func copyFile(to, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o700)
}

// Forward passes connections to the loopback of this machine on to hosts of the
// lab until ctx ends.
func Forward(ctx context.Context, l *servers.Lab) error {
	var wait sync.WaitGroup
	defer wait.Wait()
	var listeners []net.Listener
	for _, f := range forwards() {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.here)
		if err != nil {
			for _, open := range listeners {
				_ = open.Close()
			}
			return fmt.Errorf("forward %s: %w", f.what, err)
		}
		listeners = append(listeners, listener)
		wait.Go(func() { accept(ctx, l, listener, f.there) })
	}
	err := os.WriteFile(filepath.Join(l.Dir, forwarding), nil, 0o600)
	if err == nil {
		<-ctx.Done()
	}
	for _, listener := range listeners {
		_ = listener.Close()
	}
	return err
}

func accept(ctx context.Context, l *servers.Lab, listener net.Listener, there string) {
	for {
		here, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer here.Close()
			inside, err := l.Dial(ctx, there)
			if err != nil {
				return
			}
			defer inside.Close()
			ended := make(chan struct{}, 2)
			for _, pair := range [][2]net.Conn{{here, inside}, {inside, here}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1])
					ended <- struct{}{}
				}()
			}
			select {
			case <-ended:
			case <-ctx.Done():
			}
		}()
	}
}

// Operator returns a run of secondline as an operator does it, beside the hosts.
func (c *Company) Operator(ctx context.Context, args ...string) *exec.Cmd {
	cmd := c.Lab.Command(ctx, append([]string{c.program(programSecondline)}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+c.Lab.Dir, "XDG_STATE_HOME="+filepath.Join(c.Lab.Dir, "state"), "SSH_AUTH_SOCK=",
		"SECONDLINE_URL="+ControllerURL(), "SECONDLINE_TOKEN="+c.token)
	return cmd
}

// Welcome says what can be done with a running company.
func (c *Company) Welcome() string {
	var out strings.Builder
	fmt.Fprintf(&out, "\nThe company is up: %s\n\n", strings.Join(HostNames(), ", "))
	table := tabwriter.NewWriter(&out, 0, 4, 2, ' ', 0)
	for i, f := range forwards() {
		scheme := "http"
		if i == len(forwards())-1 {
			scheme = "https"
		}
		fmt.Fprintf(table, "  %s://%s\t%s\n", scheme, f.here, f.what)
	}
	_ = table.Flush() // to a string
	fmt.Fprintf(&out, `
The page asks for a token: %s

  go run ./examples/lab fault                   lists what can be broken
  go run ./examples/lab fault disk-full-logs    breaks it
  go run ./examples/lab status                  shows hosts, alerts, incidents
  go run ./examples/lab shell app1              a shell as root
  go run ./examples/lab secondline incident list
  go run ./examples/lab heal                    puts right what was broken
  go run ./examples/lab down                    ends it
`, c.token)
	return out.String()
}

// Status writes what runs, what alerts, and the newest incidents.
func (c *Company) Status(ctx context.Context, w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "HOST\tADDRESS\tSTATE")
	for _, h := range c.Lab.Hosts() {
		state := "off"
		if h.Running() {
			text, err := h.Run(ctx, "systemctl", "is-system-running")
			if state = strings.TrimSpace(text); state == "" {
				state = fmt.Sprint(err)
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", h.Name, h.Address, state)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	alerts, err := c.Alerts(ctx)
	if err != nil {
		fmt.Fprintf(w, "\nalerts: %v\n", err)
	}
	fmt.Fprintf(w, "\n%d alerts\n", len(alerts))
	for _, a := range alerts {
		fmt.Fprintf(w, "  %-8s %s %s%s%s\n", a.State, a.Labels["alertname"], a.Labels["instance"], spaced(a.Labels["mountpoint"]), spaced(a.Labels["name"]))
	}
	text, err := c.Secondline(ctx, "incident", "list", "--limit", "10")
	_, werr := fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(text))
	return errors.Join(err, werr)
}

func spaced(text string) string {
	if text == "" {
		return ""
	}
	return " " + text
}
