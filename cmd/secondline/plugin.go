package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/plugins"
	"github.com/secondline-ops/secondline/plugins/bundled"
	"github.com/secondline-ops/secondline/plugins/host"
	"github.com/secondline-ops/secondline/plugins/mock"
)

func pluginCommand(env *environment) *cobra.Command {
	return group(&cobra.Command{
		Use: "plugin", Short: "See, try, run and write plugins",
		Long: `A plugin is a separate process that yields probes. It reaches a server only through the agent, which lets it run and read
nothing but what it has declared, and what its entry in the plugin file allows.`,
	}, pluginList(env), pluginVerify(env), pluginRun(env), pluginNew(env), pluginServe())
}

func pluginServe() *cobra.Command {
	return &cobra.Command{
		Use: "serve NAME", Short: "Serve a bundled plugin to the agent that started this process", Args: atLeastOne(),
		Long:      `An agent starts this by itself. Started by hand, it says so and ends. "mock" is for tests of agents, with knobs for what it does wrong.`,
		Example:   `  secondline plugin serve tls`,
		ValidArgs: append(bundledPlugins(), "mock"),
		RunE: func(_ *cobra.Command, args []string) error {
			if args[0] == "mock" {
				mock.Serve(args[1:]...)
				return nil
			}
			p, err := bundled.Find(args[0])
			if err != nil || len(args) > 1 {
				return usageError{fault.New(fault.NotFound, "there is no bundled plugin %q", strings.Join(args, " ")).
					WithHint("there are: %s, mock", strings.Join(bundledPlugins(), ", "))}
			}
			plugins.Serve(p.Info, p.Probes...)
			return nil
		},
	}
}

// pluginInfo is a plugin that an agent here can offer.
type pluginInfo struct {
	Name         string               `json:"name"`
	Version      string               `json:"version"`
	Path         string               `json:"path"` // "" when it is bundled
	SHA256       string               `json:"sha256"`
	Protocol     int                  `json:"protocol"`
	Capabilities []plugins.Capability `json:"capabilities"` // of a bundled one what it asks for, else what it is allowed
	Hosts        []string             `json:"hosts"`        // which it may be lent; none is all
	Probes       []string             `json:"probes"`
	Problem      string               `json:"problem,omitempty"`
}

func pluginList(env *environment) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "list", Short: "List the bundled plugins, and those of the plugin file", Args: exactly(0),
		Long: `Those of the plugin file are started once: only they can say which probes they have. What the bundled ones have is known;
"secondline plugin verify" starts them.`,
		Example: `  secondline plugin list`,
	}
	out := addOutput(cmd)
	pluginFileFlag(cmd.Flags(), &file)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		list, err := listPlugins(cmd.Context(), file)
		if err != nil {
			return err
		}
		return out.write(env.stdout, list, func(w io.Writer) {
			rows := [][]string{{"PLUGIN", "VERSION", "FROM", "SHA256", "MAY", "PROBES", "PROBLEM"}}
			for _, p := range list {
				from := p.Path
				if from == "" {
					from = "bundled"
				}
				rows = append(rows, []string{
					p.Name, orDash(p.Version), from, p.SHA256[:12], capabilityWords(p.Capabilities), orDash(strings.Join(p.Probes, " ")), orDash(p.Problem),
				})
			}
			columns(w, rows)
			say(w, "protocol %d", plugins.ProtocolVersion)
		})
	}
	return cmd
}

func capabilityWords(list []plugins.Capability) string {
	words := make([]string, len(list))
	for i, c := range list {
		words[i] = string(c)
	}
	return strings.Join(words, " ")
}

func listPlugins(ctx context.Context, file string) ([]pluginInfo, error) {
	others, err := readPluginFile(file)
	if err != nil {
		return nil, err
	}
	entries, err := bundled.Entries(bundledPlugins()...)
	if err != nil {
		return nil, err
	}
	list := []pluginInfo{}
	for _, e := range slices.Concat(entries, others) {
		info, err := describePlugin(ctx, e)
		if err != nil {
			return nil, err
		}
		list = append(list, info)
	}
	return list, nil
}

// describePlugin says what a plugin is. That it does not work is part of the
// answer.
func describePlugin(ctx context.Context, e host.Entry) (pluginInfo, error) {
	info := pluginInfo{
		Name: e.Name, Path: e.Path, SHA256: e.SHA256, Protocol: plugins.ProtocolVersion, Capabilities: e.Allow,
		Hosts: append([]string{}, e.Targets...), Probes: []string{},
	}
	if p, err := bundled.Find(e.Name); err == nil && len(e.Probes) > 0 {
		info.Path, info.Version = "", p.Info.Version
	}
	h, err := onePlugin(e)
	if err != nil {
		return info, err
	}
	probes, err := h.Probes(ctx)
	if err != nil {
		info.Problem = err.Error()
	}
	for _, p := range probes {
		info.Probes = append(info.Probes, p.Spec().Name)
	}
	if s := h.Status(); s[0].Version != "" {
		info.Version = s[0].Version
	}
	return info, h.Close()
}

// pluginEntry is the plugin of the name: of the plugin file, or bundled.
func pluginEntry(file, name string) (host.Entry, error) {
	others, err := readPluginFile(file)
	if err != nil {
		return host.Entry{}, err
	}
	for _, e := range others {
		if e.Name == name {
			return e, nil
		}
	}
	entries, err := bundled.Entries(name)
	if err != nil {
		return host.Entry{}, notThere("plugin", name, bundledPlugins())
	}
	return entries[0], nil
}

// onePlugin is a host of the one plugin.
func onePlugin(e host.Entry) (*host.Host, error) {
	h, err := host.New(host.Options{Dir: shortTempDir(), Entries: []host.Entry{e}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", e.Name, err)
	}
	return h, nil
}
