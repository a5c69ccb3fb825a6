// Command fanoutbench measures how long it takes to run `true` on many SSH
// hosts, beside ssh under xargs, clush and ansible where they are installed. All
// ends are this machine: one OpenSSH server process for each connection on
// loopback addresses, so the tools share their CPUs with the servers, and
// sshd's own work is in every number.
//
//	go run ./internal/remote/ssh/fanoutbench -hosts 1,50,500
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/ssh"
	"github.com/secondline-ops/secondline/internal/remote/ssh/sshtest"
)

func main() {
	hosts := flag.String("hosts", "1,50,500", "numbers of hosts")
	parallel := flag.Int("parallel", 32, "hosts at once, for every tool")
	limit := flag.Duration("limit", 3*time.Minute, "for one measurement")
	serve := flag.Int("serve", 0, "internal: serve on so many addresses")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := func() error { return bench(ctx, *hosts, *parallel, *limit) }
	if *serve > 0 {
		run = func() error { return serveSSH(ctx, *serve) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "fanoutbench:", err)
		stop()
		os.Exit(1)
	}
}

// serveSSH runs the servers in a process of their own, until standard input ends.
func serveSSH(ctx context.Context, n int) error {
	dir, err := os.MkdirTemp("", "fanout")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var addresses []string
	for i := range n {
		addresses = append(addresses, fmt.Sprintf("127.77.%d.%d", i/250, i%250+1))
	}
	s, err := sshtest.Start(ctx, dir, addresses...)
	if err != nil {
		return err
	}
	defer s.Stop()
	if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func bench(ctx context.Context, hosts string, parallel int, limit time.Duration) error {
	var counts []int
	most := 0
	for word := range strings.SplitSeq(hosts, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > 5000 {
			return fmt.Errorf("number of hosts %q", word)
		}
		counts = append(counts, n)
		most = max(most, n)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	server := exec.CommandContext(ctx, self, "-serve", strconv.Itoa(most))
	server.Stderr = os.Stderr
	stdin, err := server.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	defer server.Wait()
	defer stdin.Close()
	var s sshtest.Server
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("start the servers: %w", err)
	}
	if err := json.Unmarshal(line, &s); err != nil {
		return err
	}
	fmt.Printf("%d CPUs, server %s, %d hosts at once\n", runtime.NumCPU(), s.Kind, parallel)
	fmt.Printf("%-34s %6s %9s %8s  %s\n", "", "hosts", "seconds", "hosts/s", "failed")
	for _, n := range counts {
		report("secondline, cold", n, func() (int, error) { return ours(ctx, &s, n, parallel, 1) })
		report("secondline, cold and then once warm", n, func() (int, error) { return ours(ctx, &s, n, parallel, 2) })
		for _, tool := range tools(&s, n, parallel) {
			tool.measure(ctx, n, limit)
		}
	}
	return nil
}

func report(name string, n int, do func() (failed int, err error)) {
	began := time.Now()
	failed, err := do()
	took := time.Since(began).Seconds()
	note := strconv.Itoa(failed)
	if err != nil {
		note = err.Error()
	}
	fmt.Printf("%-34s %6d %9.3f %8.0f  %s\n", name, n, took, float64(n)/took, note)
}

// ours connects to each host and runs `true` on it, so many times.
func ours(ctx context.Context, s *sshtest.Server, n, parallel, times int) (failed int, err error) {
	d, err := ssh.NewDialer(ssh.Options{KnownHosts: []string{s.KnownHostsPath}, Identities: []string{s.KeyPath}, Timeout: time.Minute})
	if err != nil {
		return n, err
	}
	defer d.Close()
	var bad atomic.Int32
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for _, address := range s.Addresses[:n] {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			host, _, _ := strings.Cut(address, ":")
			t, err := d.Dial(ctx, ssh.Host{Name: host, Address: host, Port: s.Port, User: s.User})
			if err != nil {
				bad.Add(1)
				return
			}
			defer t.Close()
			for range times {
				if r, err := t.Run(ctx, remote.Command{Argv: []string{"true"}, Effect: remote.Read}); err != nil || r.Err() != nil {
					bad.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return int(bad.Load()), nil
}

type tool struct {
	name, program string
	args          []string
	stdin         string
	env           []string
}

func (c tool) measure(ctx context.Context, n int, limit time.Duration) {
	path, err := exec.LookPath(c.program)
	if err != nil {
		fmt.Printf("%-34s %6d %9s\n", c.name, n, "not installed")
		return
	}
	report(c.name, n, func() (int, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		cmd := exec.CommandContext(ctx, path, c.args...)
		cmd.Stdin, cmd.Env = strings.NewReader(c.stdin), append(os.Environ(), c.env...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.WaitDelay = time.Second
		if out, err := cmd.CombinedOutput(); err != nil {
			return n, fmt.Errorf("%w: %.80q", err, out)
		}
		return 0, nil
	})
}

func tools(s *sshtest.Server, n, parallel int) []tool {
	var hosts []string
	for _, address := range s.Addresses[:n] {
		host, _, _ := strings.Cut(address, ":")
		hosts = append(hosts, host)
	}
	list := strings.Join(hosts, "\n") + "\n"
	options := []string{
		"-F", "none", "-p", strconv.Itoa(s.Port), "-l", s.User, "-i", s.KeyPath, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=" + s.KnownHostsPath, "-o", "GlobalKnownHostsFile=none", "-o", "ControlMaster=no",
	}
	joined := strings.Join(options, " ")
	width := strconv.Itoa(parallel)
	// ansible reads the list from a file beside the key.
	inventory := filepath.Join(filepath.Dir(s.KeyPath), "hosts")
	if err := os.WriteFile(inventory, []byte(list), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, "fanoutbench:", err)
	}
	return []tool{
		{name: "ssh, xargs -P", program: "xargs", args: append(append([]string{"-P", width, "-I", "{}", "ssh"}, options...), "{}", "true"), stdin: list},
		{name: "ssh curve25519, xargs -P", program: "xargs", args: append(append([]string{"-P", width, "-I", "{}", "ssh", "-o", "KexAlgorithms=curve25519-sha256"}, options...), "{}", "true"), stdin: list},
		{name: "clush -f", program: "clush", args: []string{"-S", "-f", width, "-w", strings.Join(hosts, ","), "-o", joined, "true"}},
		{
			name: "ansible -m raw -f, pipelining", program: "ansible", args: []string{"all", "-i", inventory, "-m", "raw", "-a", "true", "-f", width},
			env: []string{"ANSIBLE_SSH_ARGS=" + joined, "ANSIBLE_PIPELINING=1", "ANSIBLE_REMOTE_PORT=" + strconv.Itoa(s.Port), "ANSIBLE_REMOTE_USER=" + s.User},
		},
	}
}
