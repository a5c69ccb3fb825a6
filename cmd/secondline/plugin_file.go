package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/plugins"
	"github.com/secondline-ops/secondline/plugins/host"
)

// usualPluginFile is where an agent looks for plugins that are not bundled.
const usualPluginFile = "/etc/secondline/plugins.yaml"

func pluginFileFlag(f *pflag.FlagSet, into *string) {
	f.StringVar(into, "plugin-file", usualPluginFile, "plugins that are not bundled, each with its checksum and what it may do; no file is none")
}

// authoredPlugins is a plugin file.
type authoredPlugins struct {
	Plugins []authoredPlugin `yaml:"plugins,required"`
}

type authoredPlugin struct {
	Name   string   `yaml:"name,required"`
	Path   string   `yaml:"path,required"`
	Args   []string `yaml:"args"`
	SHA256 string   `yaml:"sha256,required"`
	Allow  []string `yaml:"allow,required"`
	Hosts  []string `yaml:"hosts"`
	Plain  bool     `yaml:"plain"`
}

// readPluginFile returns the plugins of the file. The usual one may be missing.
func readPluginFile(path string) ([]host.Entry, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && path == usualPluginFile {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "read plugin file")
	}
	root, err := yamlx.Parse(path, data)
	if err != nil {
		return nil, err
	}
	var a authoredPlugins
	if err := root.Decode(&a); err != nil {
		return nil, err
	}
	entries := make([]host.Entry, len(a.Plugins))
	for i, p := range a.Plugins {
		entries[i] = host.Entry{Name: p.Name, Path: p.Path, Args: p.Args, SHA256: p.SHA256, Allow: capabilities(p.Allow), Targets: p.Hosts, Plain: p.Plain}
		if err := entries[i].Allow.Check(); err != nil {
			return nil, fault.New(fault.Invalid, "%s: plugin %s: %v", path, p.Name, err).WithField("allow")
		}
	}
	return entries, nil
}

func capabilities(words []string) plugins.Capabilities {
	out := make(plugins.Capabilities, len(words))
	for i, w := range words {
		out[i] = plugins.Capability(w)
	}
	return out
}

// entryText is a plugin as the file has it.
func entryText(e host.Entry, may plugins.Capabilities) string {
	text := fmt.Sprintf("plugins:\n  - name: %s\n    path: %s\n", e.Name, e.Path)
	if len(e.Args) > 0 {
		text += fmt.Sprintf("    args: [%s]\n", quotedList(e.Args))
	}
	text += fmt.Sprintf("    sha256: %s\n    allow: [%s]\n", e.SHA256, quotedList(may))
	if e.Plain {
		text += "    plain: true\n"
	}
	return text
}

func quotedList[S ~string](words []S) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(string(w))
	}
	return strings.Join(quoted, ", ")
}
