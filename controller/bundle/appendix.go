package bundle

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/secondline-ops/secondline/internal/remote"
)

// What of a raw output the report shows; the whole is in its file.
const (
	excerptLines = 12
	excerptBytes = 1600
)

func excerpt(data []byte) string {
	cut := len(data) > excerptBytes
	text := strings.ToValidUTF8(string(data[:min(len(data), excerptBytes)]), string(utf8.RuneError))
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(all) > excerptLines {
		all, cut = all[:excerptLines], true
	}
	if cut {
		all = append(all, "…")
	}
	return strings.Join(all, "\n")
}

// appendix is every fact with its raw outputs.
func appendix(in Input) []FactEntry {
	out := []FactEntry{}
	for _, f := range in.Facts {
		entry := FactEntry{
			ID: f.ID, Probe: f.Probe, Args: argText(f.Args), Target: f.Target, Status: string(f.Status), Error: f.Error,
			At: f.At.UTC(), Took: f.Took.Round(time.Millisecond).String(), Plugin: f.Plugin, Raws: []RawEntry{},
		}
		for _, raw := range f.Raws {
			told := RawEntry{
				Name: raw.Name, Command: raw.Command, ExitCode: raw.ExitCode, Status: string(raw.Status), Bytes: raw.Bytes,
				SHA256: raw.SHA256, Truncated: raw.Truncated,
			}
			if text, here := in.Excerpts[raw.SHA256]; here {
				told.Excerpt, told.File = text, rawPath(raw.SHA256)
			}
			entry.Raws = append(entry.Raws, told)
		}
		out = append(out, entry)
	}
	return out
}

func argText(args map[string]string) string {
	parts := []string{}
	for _, name := range slices.Sorted(maps.Keys(args)) {
		parts = append(parts, name+"="+remote.Quote([]string{args[name]}))
	}
	return strings.Join(parts, " ")
}
