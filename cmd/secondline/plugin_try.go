package main

import (
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/plugins"
	"github.com/secondline-ops/secondline/plugins/host"
)

// verifiedPlugin is the answer of "plugin verify".
type verifiedPlugin struct {
	Name         string               `json:"name"`
	Version      string               `json:"version"`
	SHA256       string               `json:"sha256"`
	OK           bool                 `json:"ok"`
	Capabilities []plugins.Capability `json:"capabilities"`
	Probes       []string             `json:"probes"`
	Findings     []host.Finding       `json:"findings"`
	Entry        string               `json:"entry"` // for the plugin file; "" when something is wrong
}

func pluginVerify(env *environment) *cobra.Command {
	var file, sum, name string
	var plain bool
	cmd := &cobra.Command{
		Use: "verify NAME|PATH [ARG]…", Short: "Try whether a plugin keeps the contract; no server is reached", Args: atLeastOne(),
		Long: `Starts the plugin as an agent does and tries it: what it declares, whether each probe comes back in time from a server that
does not answer, tells nothing where it may not look, keeps its types on any bytes, and whether it is alive afterwards.
NAME is a bundled plugin or one of the plugin file; PATH is a program that is in none yet, whose entry is printed when all is well.

Exit code 0 when it keeps the contract, 1 when it does not.`,
		Example: `  secondline plugin verify tls
  secondline plugin verify ./rooms
  secondline plugin verify /usr/local/lib/secondline/rooms --sha256 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03`,
	}
	out := addOutput(cmd)
	f := cmd.Flags()
	pluginFileFlag(f, &file)
	f.StringVar(&sum, "sha256", "", "what the checksum of the file must be; what it is when not given")
	f.StringVar(&name, "name", "", "what the plugin calls itself (default: the name of the file without its ending)")
	f.BoolVar(&plain, "plain", false, "the plugin speaks without TLS, as those in Python do")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		e, err := pluginEntry(file, args[0])
		if strings.Contains(args[0], "/") {
			e, err = fileEntry(args, name, sum, plain)
		}
		if err != nil {
			return err
		}
		h, err := onePlugin(e)
		if err != nil {
			return err
		}
		defer func() { _ = h.Close() }() // it only reads
		v, err := h.Verify(cmd.Context(), e.Name)
		if err != nil {
			return err
		}
		shown := verifiedPlugin{
			Name: e.Name, Version: v.Info.Version, SHA256: e.SHA256, OK: v.OK(), Capabilities: append([]plugins.Capability{}, v.Info.Capabilities...),
			Probes: []string{}, Findings: v.Findings,
		}
		for _, s := range v.Probes {
			shown.Probes = append(shown.Probes, e.Name+"."+s.Name)
		}
		if v.OK() && len(e.Probes) == 0 {
			shown.Entry = entryText(e, v.Info.Capabilities)
		}
		if err := out.write(env.stdout, shown, func(w io.Writer) { showVerifiedPlugin(w, shown) }); err != nil {
			return err
		}
		if !v.OK() {
			return exitCode(fault.ExitFailed)
		}
		return nil
	}
	return cmd
}

// fileEntry is a plugin that is in no file yet.
func fileEntry(args []string, name, sum string, plain bool) (host.Entry, error) {
	path, err := filepath.Abs(args[0])
	if err != nil {
		return host.Entry{}, err
	}
	if sum == "" {
		if sum, err = host.Checksum(path); err != nil {
			return host.Entry{}, fault.Wrap(fault.NotFound, err, "read the plugin")
		}
	}
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	return host.Entry{
		Name: name, Path: path, Args: args[1:], SHA256: sum, Plain: plain, Allow: plugins.Capabilities{plugins.CapabilityRead},
	}, nil
}

func showVerifiedPlugin(w io.Writer, v verifiedPlugin) {
	for _, f := range v.Findings {
		if f.Problem == "" {
			say(w, "ok      %s", f.What)
		} else {
			say(w, "WRONG   %s: %s", f.What, f.Problem)
		}
	}
	if !v.OK {
		say(w, "plugin %s does not keep the contract", v.Name)
		return
	}
	say(w, "plugin %s %s keeps the contract; it asks for: %s", v.Name, v.Version, capabilityWords(v.Capabilities))
	if v.Entry != "" {
		say(w, "for %s:", usualPluginFile)
		for line := range strings.Lines(v.Entry) {
			say(w, "%s", strings.TrimSuffix(line, "\n"))
		}
	}
}

func pluginRun(env *environment) *cobra.Command {
	var on, file string
	var raw bool
	var reach reachOptions
	cmd := &cobra.Command{
		Use: "run NAME PROBE [INPUT=VALUE]…", Short: "Read one probe of a plugin now, here or over SSH", Args: cobra.MinimumNArgs(2),
		Long: `As "secondline probe run NAME.PROBE", also for plugins of the plugin file. Exit code 0 when the reading tells something
("absent" does), 1 when it cannot tell, 4 when it was denied, 6 when the host is unreachable.`,
		Example: `  secondline plugin run postgres locks --on ops@db1
  secondline plugin run rooms heat room=hall --plugin-file plugins.yaml -o json`,
	}
	out := addOutput(cmd)
	reach.addFlags(env, cmd)
	pluginFileFlag(cmd.Flags(), &file)
	cmd.Flags().StringVar(&on, "on", "", "[user@]host to read on, by SSH; this machine when not given")
	cmd.Flags().BoolVar(&raw, "raw", false, "also what was read, before it was understood")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		given, err := pairs("input", args[2:])
		if err != nil {
			return err
		}
		if reach.target = on; on == "" {
			reach.local = true
		}
		if err := reach.complete(); err != nil {
			return err
		}
		e, err := pluginEntry(file, args[0])
		if err != nil {
			return err
		}
		h, err := onePlugin(e)
		if err != nil {
			return err
		}
		defer func() { _ = h.Close() }() // it only reads
		probes, err := h.Probes(cmd.Context())
		if err != nil {
			return err
		}
		set, err := diagnostics.NewProbeSet(probes)
		if err != nil {
			return err
		}
		p, err := set.Find(args[0] + "." + args[1])
		if err != nil {
			return err
		}
		if err := checkInputs(p.Spec(), given); err != nil {
			return err
		}
		return readByHand(cmd.Context(), env, out, handRead{set: set, name: p.Spec().Name, args: given, reach: reach, raw: raw})
	}
	return cmd
}
