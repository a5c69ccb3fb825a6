package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote/ssh/sshtest"
)

// The budgets of the patient's two areas.
const (
	logBudget   = 2 << 20
	orderBudget = 1 << 20
)

// patient is a small server in a folder: a shop that logs, a worker, an area
// with orders, and an SSH server to reach it by.
type patient struct {
	name string
	dir  string
	ssh  *sshtest.Server
	shop *exec.Cmd
}

// The shop writes log lines and rotates its log by itself, but never deletes
// an old one: a real rotation without a real limit.
const shopScript = `#!/bin/sh
# usage: shop DIR FLOOD_FILE
cd "$1" || exit 1
n=0
line="level=debug msg=\"cart recalculated\" cart=4711 items=12 total=99.90 took_ms=3 trace=0123456789abcdef0123456789abcdef"
block=$(i=0; while [ $i -lt 400 ]; do echo "$line"; i=$((i+1)); done)
while :; do
  if [ -e "$2" ]; then echo "$block" >> shop.log; sleep 0.01; else echo "$line" >> shop.log; sleep 1; fi
  if [ "$(wc -c < shop.log)" -gt 250000 ]; then
    n=$((n+1)); mv shop.log "shop.log.$n"
  fi
done
`

// The worker only lives; its starter returns and leaves it in a session of its own.
const workerScript = `#!/bin/sh
# usage: worker PID_FILE
echo $$ > "$1"
while :; do sleep 1; done
`

const startScript = `#!/bin/sh
# usage: start-worker DIR
setsid "$1/worker" "$1/run/worker.pid" > /dev/null 2>&1 < /dev/null &
i=0
while [ $i -lt 300 ]; do
  [ -s "$1/run/worker.pid" ] && kill -0 "$(cat "$1/run/worker.pid")" 2> /dev/null && exit 0
  i=$((i+1)); sleep 0.1
done
echo "the worker did not come up" >&2
exit 1
`

func newPatient(ctx context.Context, dir string) (*patient, error) {
	p := &patient{name: "patient", dir: dir}
	for _, sub := range []string{"logs", "orders", "run", "ssh"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("make the patient: %w", err)
		}
	}
	for name, text := range map[string]string{"shop": shopScript, "worker": workerScript, "start-worker": startScript} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil { //nolint:gosec // it is a program
			return nil, fmt.Errorf("make the patient: %w", err)
		}
	}
	if err := exec.CommandContext(ctx, filepath.Join(dir, "start-worker"), dir).Run(); err != nil {
		return nil, fmt.Errorf("start the patient's worker: %w", err)
	}
	server, err := sshtest.Start(context.WithoutCancel(ctx), filepath.Join(dir, "ssh"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the patient's SSH server: %w", err), p.stop())
	}
	p.ssh = server
	return p, nil
}

func (p *patient) logs() string    { return filepath.Join(p.dir, "logs") }
func (p *patient) orders() string  { return filepath.Join(p.dir, "orders") }
func (p *patient) pidFile() string { return filepath.Join(p.dir, "run", "worker.pid") }
func (p *patient) flag() string    { return filepath.Join(p.dir, "run", "flood") }
func (p *patient) sshKind() string { return string(p.ssh.Kind) }
func (p *patient) address() string { return net.JoinHostPort(p.ssh.Host, strconv.Itoa(p.ssh.Port)) }

// entity is the patient as its owner wrote it into the inventory.
func (p *patient) entity(agent string) entity.Entity {
	return entity.Entity{
		ID: p.name, Kind: entity.Host, Via: "ssh", Agent: agent, Address: p.ssh.Host, Port: p.ssh.Port, User: p.ssh.User,
		Budgets: []entity.Budget{
			{Path: p.logs(), Bytes: logBudget, Delete: []string{"shop.log.*"}, Keep: 2},
			{Path: p.orders(), Bytes: orderBudget, Delete: []string{}},
		},
		Processes: []entity.Process{{
			Name: "worker", PIDFile: p.pidFile(), Match: []string{"/bin/sh", filepath.Join(p.dir, "worker")},
			Start: []string{filepath.Join(p.dir, "start-worker"), p.dir},
		}},
	}
}

// flood lets the shop write until its area is well over budget; then it goes on
// at its usual, slow pace.
func (p *patient) flood(ctx context.Context) error {
	if err := os.WriteFile(p.flag(), nil, 0o600); err != nil {
		return fmt.Errorf("flood the logs: %w", err)
	}
	p.shop = exec.Command(filepath.Join(p.dir, "shop"), p.logs(), p.flag()) //nolint:noctx // our own script, ended by stop
	p.shop.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.shop.Start(); err != nil {
		return fmt.Errorf("start the shop: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for size(p.logs()) < logBudget*3/2 {
		select {
		case <-ctx.Done():
			return fault.New(fault.Timeout, "the shop did not fill its area")
		case <-time.After(20 * time.Millisecond):
		}
	}
	return os.Remove(p.flag())
}

func size(dir string) (n int64) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			n += info.Size()
		}
	}
	return n
}

func (p *patient) killWorker() error {
	pid, err := p.workerPID()
	if err != nil {
		return err
	}
	if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("end the worker: %w", err)
	}
	return nil
}

// workerPID is the worker's process, which is also its own session and group.
func (p *patient) workerPID() (int, error) {
	raw, err := os.ReadFile(p.pidFile())
	if err != nil {
		return 0, fmt.Errorf("read the worker's pid file: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil || pid < 2 {
		return 0, fault.New(fault.Internal, "the worker's pid file holds %q", clean(string(raw)))
	}
	return pid, nil
}

func (p *patient) fillOrders() error {
	order := []byte(strings.Repeat("order 4711; 12 items; 99.90\n", 10000))
	for i := range 6 {
		if err := os.WriteFile(filepath.Join(p.orders(), fmt.Sprintf("orders-2026-%02d.csv", i+1)), order, 0o600); err != nil {
			return fmt.Errorf("fill the orders: %w", err)
		}
	}
	return nil
}

// stop ends what the patient started, by process id, and removes its folder.
func (p *patient) stop() error {
	if p.shop != nil && p.shop.Process != nil {
		_ = syscall.Kill(-p.shop.Process.Pid, syscall.SIGKILL)
		_ = p.shop.Wait()
	}
	if pid, err := p.workerPID(); err == nil && p.isWorker(pid) {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
	if p.ssh != nil {
		p.ssh.Stop()
	}
	return os.RemoveAll(filepath.Dir(p.dir))
}

// isWorker guards against a pid that has been given to somebody else.
func (p *patient) isWorker(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && strings.Contains(string(line), filepath.Join(p.dir, "worker"))
}
