package main

import (
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/plugins"
)

// versionInfo says which build this is.
type versionInfo struct {
	Version        string `json:"version"`
	Revision       string `json:"revision"` // of the source; "" when it was not built from a repository
	Modified       bool   `json:"modified"`
	Go             string `json:"go"`
	Platform       string `json:"platform"`
	PluginProtocol int    `json:"plugin_protocol"`
}

func versionCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "version", Short: "Show which build this is", Args: exactly(0),
		Example: `  secondline version -o json`,
	}
	out := addOutput(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		v := versionInfo{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, PluginProtocol: plugins.ProtocolVersion}
		if build, ok := debug.ReadBuildInfo(); ok {
			for _, s := range build.Settings {
				switch s.Key {
				case "vcs.revision":
					v.Revision = s.Value
				case "vcs.modified":
					v.Modified = s.Value == "true"
				}
			}
		}
		return out.write(env.stdout, v, func(w io.Writer) {
			say(w, "secondline %s", v.Version)
			say(w, "  revision  %s", orDash(v.Revision))
			say(w, "  built by  %s for %s", v.Go, v.Platform)
		})
	}
	return cmd
}
