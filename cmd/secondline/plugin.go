package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/plugins"
	"github.com/secondline-ops/secondline/plugins/mock"
	"github.com/secondline-ops/secondline/plugins/tls"
)

func pluginCommand(env *environment) *cobra.Command {
	return group(&cobra.Command{Use: "plugin", Short: "See the bundled plugins, or serve one"}, pluginList(env), pluginServe())
}

func pluginServe() *cobra.Command {
	return &cobra.Command{
		Use: "serve NAME", Short: "Serve a bundled plugin to the agent that started this process", Args: atLeastOne(),
		Long:      `An agent starts this by itself. Started by hand, it says so and ends. "mock" is for tests of agents, with knobs for what it does wrong.`,
		Example:   `  secondline plugin serve tls`,
		ValidArgs: []string{"tls", "mock"},
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case args[0] == "mock":
				mock.Serve(args[1:]...)
				return nil
			case args[0] == "tls" && len(args) == 1:
				info, probes := tls.Plugin()
				plugins.Serve(info, probes...)
				return nil
			}
			return usageError{fault.New(fault.NotFound, "there is no bundled plugin %q", args[0]).WithHint("there are tls and mock")}
		},
	}
}

// pluginInfo is a plugin that this binary can serve.
type pluginInfo struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	SHA256  string   `json:"sha256"`
	Probes  []string `json:"probes"`
	Problem string   `json:"problem,omitempty"`
}

func pluginList(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the bundled plugins; each is started once to see that it works", Args: exactly(0),
		Example: `  secondline plugin list`,
	}
	out := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		list := []pluginInfo{}
		rows := [][]string{{"PLUGIN", "VERSION", "PROBE", "PROBLEM"}}
		for _, name := range bundledPlugins() {
			info, err := tryPlugin(cmd, name)
			if err != nil {
				return err
			}
			list = append(list, info)
			if len(info.Probes) == 0 {
				rows = append(rows, []string{name, orDash(info.Version), "-", info.Problem})
			}
			for _, p := range info.Probes {
				rows = append(rows, []string{name, info.Version, p, info.Problem})
			}
		}
		return out.write(env.stdout, list, func(w io.Writer) { columns(w, rows) })
	}
	return cmd
}

// tryPlugin starts the plugin once. That it does not work is part of the answer.
func tryPlugin(cmd *cobra.Command, name string) (pluginInfo, error) {
	info := pluginInfo{Name: name, Probes: []string{}}
	h, err := bundled(name)
	if err != nil {
		return info, err
	}
	probes, err := h.Probes(cmd.Context())
	if err != nil {
		info.Problem = err.Error()
	}
	for _, p := range probes {
		info.Probes = append(info.Probes, p.Spec().Name)
	}
	for _, s := range h.Status() {
		info.Version, info.SHA256 = s.Version, s.SHA256
	}
	return info, h.Close()
}
