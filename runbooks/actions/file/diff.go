package file

import (
	"fmt"
	"strings"

	"github.com/secondline-ops/secondline/internal/redact"
)

// Bounds of a diff.
const (
	contextLines  = 3
	maxDiffLines  = 300
	maxLineBytes  = 500
	maxShownBytes = 32 // hex digits of a digest: of sixteen bytes nobody finds a second text
)

// diff shows what changes, in the unified style with one hunk. The digests in
// its head stand for all bytes of both texts, shown or not. Secrets are taken
// out of it, also those that a runbook writes.
func diff(s saved, old, new []string) string {
	var b strings.Builder
	before, after := "/dev/null", "/dev/null"
	if s.Before.Exists {
		before = head(s.Path, s.Before.Digest, s.Before.Mode, s.Before.User+":"+s.Before.Group)
	}
	if s.Kind != removes {
		after = head(s.Path, s.After, s.Mode, s.ownerInWords())
	}
	fmt.Fprintf(&b, "--- %s\n+++ %s\n", before, after)
	if s.Kind != attributes {
		hunk(&b, old, new)
	}
	return strings.ToValidUTF8(string(redact.New().Redact([]byte(b.String()))), "\uFFFD")
}

func head(path, digest, mode, owner string) string {
	text := path + " mode " + mode
	if owner != "" {
		text += " owner " + owner
	}
	if digest != "" {
		text += " sha256 " + digest[:maxShownBytes]
	}
	return text
}

// hunk leaves out what is the same at both ends, but for a few lines.
func hunk(b *strings.Builder, old, new []string) {
	same := 0
	for same < min(len(old), len(new)) && old[same] == new[same] {
		same++
	}
	end := 0
	for end < min(len(old), len(new))-same && old[len(old)-1-end] == new[len(new)-1-end] {
		end++
	}
	from, behind := max(0, same-contextLines), min(end, contextLines)
	fmt.Fprintf(b, "@@ -%d,%d +%d,%d @@\n", min(from+1, len(old)), len(old)-end+behind-from, min(from+1, len(new)), len(new)-end+behind-from)
	left := maxDiffLines
	print := func(sign string, lines []string) {
		shown := lines[:min(len(lines), left)]
		for _, line := range shown {
			fmt.Fprintf(b, "%s%s\n", sign, clip(line))
		}
		left -= len(shown)
		if cut := len(lines) - len(shown); cut > 0 {
			fmt.Fprintf(b, "%s… and %d more lines\n", sign, cut)
		}
	}
	print(" ", old[from:same])
	print("-", old[same:len(old)-end])
	left = max(left, maxDiffLines/2) // what comes is worth more than what goes
	print("+", new[same:len(new)-end])
	print(" ", old[len(old)-end:len(old)-end+behind])
}

func clip(line string) string {
	line = strings.TrimSuffix(line, "\r")
	if len(line) > maxLineBytes {
		return line[:maxLineBytes] + fmt.Sprintf("… %d bytes more", len(line)-maxLineBytes)
	}
	return line
}
