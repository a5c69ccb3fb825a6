package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
	"github.com/secondline-ops/secondline/internal/remote/ssh"
)

// What the doctor finds worth a remark.
const (
	slowSync     = 5 * time.Millisecond // the store commits with one fsync; see DESIGN section 12
	maxSkew      = 2 * time.Second      // the Date header has whole seconds; leases are counted in tens of them
	syncTries    = 20
	syncBytes    = 4096
	doctorWithin = 5 * time.Second // for each thing asked over a network
)

// verdict is how one examination went.
type verdict string

const (
	verdictGood    verdict = "ok"
	verdictWarn    verdict = "warn"
	verdictBad     verdict = "fail"
	verdictSkipped verdict = "skip"
)

// examined is one thing that the doctor looked at.
type examined struct {
	Check   string  `json:"check"`
	Verdict verdict `json:"verdict"`
	Said    string  `json:"said"`
	Hint    string  `json:"hint,omitempty"`
}

func doctorCommand(env *environment) *cobra.Command {
	var stateDir string
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look at what Secondline needs on this machine, and say what is missing", Args: exactly(0),
		Long: `Looks at the state folder (writable, how fast the disk makes things durable), at what an agent needs to act here (timeout of
coreutils), at what SSH needs, and at the controller (reachable, ready, token good, clocks together). It changes nothing but a file of
its own in the state folder, which it removes.

Exit code 1 when something does not work; warnings do not count.`,
		Example: `  secondline doctor
  secondline doctor --url https://ctl.example --token-file ~/.secondline-token -o json`,
	}
	conn := addConnection(env, cmd)
	out := addOutput(cmd)
	cmd.Flags().StringVar(&stateDir, "state-dir", env.stateDir(), "the folder to look at")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		here := local.New()
		defer here.Close()
		list := examineDisk(stateDir)
		list = append(list, examineBound(cmd.Context(), here))
		list = append(list, examineSSH(env)...)
		list = append(list, examineController(cmd.Context(), conn)...)
		if err := out.write(env.stdout, list, func(w io.Writer) { showExamined(w, env.paints(w), list) }); err != nil {
			return err
		}
		if slices.ContainsFunc(list, func(e examined) bool { return e.Verdict == verdictBad }) {
			return exitCode(fault.ExitFailed)
		}
		return nil
	}
	return cmd
}

func showExamined(w io.Writer, p paint, list []examined) {
	for _, e := range list {
		colour := dim
		switch e.Verdict {
		case verdictGood:
			colour = green
		case verdictWarn:
			colour = yellow
		case verdictBad:
			colour = red
		case verdictSkipped:
		}
		fmt.Fprintf(w, "%s  %-18s  %s\n", p.as(colour, fmt.Sprintf("%-4s", e.Verdict)), e.Check, oneLine(e.Said))
		if e.Hint != "" {
			say(w, "      hint: %s", e.Hint)
		}
	}
}

// examineDisk tries the state folder the way the store and the journal use it.
func examineDisk(dir string) []examined {
	bad := func(err error) []examined {
		return []examined{{"state folder", verdictBad, err.Error(), "choose a folder that this user may write: --data-dir, --state"}}
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []examined{{"state folder", verdictSkipped, dir + " does not exist yet; the first start makes it", ""}}
	case err != nil:
		return bad(err)
	}
	tmp, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return bad(err)
	}
	took, err := timeSync(tmp)
	if err := errors.Join(err, tmp.Close(), os.Remove(tmp.Name())); err != nil {
		return bad(err)
	}
	folder := examined{"state folder", verdictGood, dir + " can be written", ""}
	if info.Mode().Perm()&0o077 != 0 {
		folder.Verdict, folder.Hint = verdictWarn, "chmod 700 "+dir
		folder.Said += fmt.Sprintf(", but others may look into it (mode %04o)", info.Mode().Perm())
	}
	disk := examined{"disk", verdictGood, fmt.Sprintf("makes 4 KiB durable in %s (median of %d)", took.Round(10*time.Microsecond), syncTries), ""}
	if took > slowSync {
		disk.Verdict, disk.Hint = verdictWarn, "more than "+slowSync.String()+" slows intake down; put the data folder on a faster disk"
	}
	return []examined{folder, disk}
}

// timeSync returns how long it takes to make a small write durable.
func timeSync(f *os.File) (time.Duration, error) {
	block := make([]byte, syncBytes)
	var all []time.Duration
	for range syncTries {
		started := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		all = append(all, time.Since(started))
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

// examineBound starts true(1) in the way of every command that acts, under a
// time-out that this machine keeps itself. One that only observes, or a
// controller's, needs none.
func examineBound(ctx context.Context, here remote.Transport) examined {
	server := remote.Open(here, remote.Options{Gate: remote.AllowAll(), Redactor: redact.New()})
	res, err := server.Run(ctx, remote.Command{Argv: []string{"true"}, Effect: remote.Write, Timeout: doctorWithin})
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return examined{"timeout", verdictWarn, "an agent could not act here: " + err.Error(), hintOf(hinted(err))}
	}
	return examined{"timeout", verdictGood, "an agent can bound here what it does", ""}
}

// examineSSH looks at what reaching servers without an agent needs.
func examineSSH(env *environment) []examined {
	home := env.getenv("HOME")
	config, identities, known := examineConfig(filepath.Join(home, ".ssh", "config"), home)
	list := []examined{examineKnownHosts(append([]string{filepath.Join(home, ".ssh", "known_hosts")}, known...))}
	list = append(list, examineKeys(env, identities))
	list = append(list, config...)
	server := examined{"sshd", verdictGood, "installed here", ""}
	if existing("/usr/sbin/sshd") == "" {
		server.Verdict, server.Said = verdictSkipped, "not installed here; only servers without an agent need one"
	}
	return append(list, server)
}

// examineKeys looks at the keys that ssh tries by itself, those that its
// configuration names, and those of an agent.
func examineKeys(env *environment, named []string) examined {
	files := usualIdentities(env)
	var missing []string
	for _, file := range named {
		switch {
		case existing(file) == "":
			missing = append(missing, file)
		case !slices.Contains(files, file):
			files = append(files, file)
		}
	}
	e := examined{"ssh keys", verdictGood, fmt.Sprintf("%d key files", len(files)), ""}
	if len(missing) > 0 {
		e.Verdict, e.Hint = verdictWarn, "put it there, or take it out of the SSH configuration"
		e.Said += ", without what the SSH configuration names and is not there: " + strings.Join(missing, ", ")
	}
	if socket := env.getenv("SSH_AUTH_SOCK"); socket == "" {
		e.Said += ", no ssh-agent"
		if len(files) == 0 {
			e.Verdict, e.Hint = verdictWarn, "start an ssh-agent and ssh-add a key, or name one with --identity"
		}
	} else if c, err := net.DialTimeout("unix", socket, doctorWithin); err != nil { //nolint:noctx // a local socket, bounded
		e.Verdict, e.Said, e.Hint = verdictWarn, e.Said+", and the ssh-agent does not answer: "+err.Error(), "is SSH_AUTH_SOCK of an old session?"
	} else {
		_ = c.Close() // nothing was said
		e.Said += ", an ssh-agent answers"
	}
	return e
}

// examineKnownHosts counts the keys of hosts. One file with some will do.
func examineKnownHosts(files []string) examined {
	e := examined{Check: "known hosts", Verdict: verdictWarn, Hint: "connect once by hand with ssh and compare the fingerprint on the server's console"}
	var said []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			said = append(said, "no keys of hosts: "+err.Error())
			continue
		}
		n := 0
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				n++
			}
		}
		said = append(said, fmt.Sprintf("%d keys in %s", n, file))
		if n > 0 {
			e.Verdict, e.Hint = verdictGood, ""
		}
	}
	e.Said = strings.Join(said, "; ")
	return e
}

// examineConfig looks at the SSH configuration, if there is one, and returns
// the keys and known hosts files that it names.
func examineConfig(file, home string) (list []examined, identities, knownHosts []string) {
	if existing(file) == "" {
		return nil, nil, nil
	}
	d, err := ssh.NewDialer(ssh.Options{ConfigFile: file, Home: home})
	if err != nil {
		return []examined{{"ssh config", verdictBad, err.Error(), hintOf(err)}}, nil, nil
	}
	defer d.Close()
	e := examined{"ssh config", verdictGood, file + " can be read", ""}
	if ignored := d.Ignored(); len(ignored) > 0 {
		e.Verdict, e.Said = verdictWarn, fmt.Sprintf("%d directives have no effect here: %s", len(ignored), strings.Join(ignored, "; "))
	}
	identities, knownHosts = d.Files()
	return []examined{e}, identities, knownHosts
}

// examineController asks the controller, if there is to be one.
func examineController(ctx context.Context, conn *connection) []examined {
	address := conn.address()
	_, serr := os.Stat(conn.defaultTokenFile())
	if address == defaultURL && serr != nil {
		if _, err := conn.secret(); err != nil {
			return []examined{{"controller", verdictSkipped, "none is known: no --url, and this user has run none", ""}}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, doctorWithin)
	defer cancel()
	started := time.Now()
	date, status, err := askPlainly(ctx, address+"/readyz")
	took := time.Since(started)
	if err != nil {
		return []examined{{"controller", verdictBad, err.Error(), "is it running? secondline controller; or name another with --url"}}
	}
	reach := examined{"controller", verdictGood, fmt.Sprintf("%s is ready, answered in %s", address, took.Round(time.Millisecond)), ""}
	if status != http.StatusOK {
		reach.Verdict, reach.Said, reach.Hint = verdictBad, fmt.Sprintf("%s answers, but is not ready (%d)", address, status), "look at its log"
	}
	return []examined{reach, examineClock(date, started.Add(took/2)), examineToken(ctx, conn)}
}

func examineClock(theirs, ours time.Time) examined {
	if theirs.IsZero() {
		return examined{"clock", verdictSkipped, "the answer has no date", ""}
	}
	// The header is cut to whole seconds, so it is half a second behind on average.
	skew := theirs.Add(500 * time.Millisecond).Sub(ours)
	e := examined{"clock", verdictGood, fmt.Sprintf("within %s of the controller's", maxSkew), ""}
	if skew.Abs() > maxSkew {
		e.Verdict, e.Hint = verdictWarn, "have both keep time (chrony, systemd-timesyncd): timelines and leases go by it"
		e.Said = fmt.Sprintf("differs from the controller's by %s", skew.Round(time.Second))
	}
	return e
}

// askPlainly asks without a token.
func askPlainly(ctx context.Context, url string) (date time.Time, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return date, 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return date, 0, err
	}
	defer resp.Body.Close()
	date, err = http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		date = time.Time{} // a proxy may leave it out
	}
	return date, resp.StatusCode, nil
}

func examineToken(ctx context.Context, conn *connection) examined {
	client, err := conn.client()
	if err == nil {
		_, err = client.ListIncidents(ctx, api.IncidentQuery{Limit: 1})
	}
	if err != nil {
		return examined{"token", verdictBad, err.Error(), hintOf(conn.advise(err))}
	}
	return examined{"token", verdictGood, "the controller takes it", ""}
}
