package file

import (
	"path"
	"regexp"
	"strings"
)

// Bounds of the header in which a tool says that a file is its own.
const (
	headerLines = 20
	headerBytes = 4 << 10
)

// managedBy returns which tool says of itself, in the file's first lines, that
// it keeps the file as it is; "" when none does. The words are those of the
// tools' own templates and of what people write in them: Ansible's
// ansible_managed, Puppet's and Chef's usual headers, Salt's file.managed.
func managedBy(t text) string {
	const tools = `(puppet|chef|ansible|salt(?:stack)?|cfengine|rudder|bcfg2)`
	patterns := []*regexp.Regexp{
		regexp.MustCompile(`(?i)\b(?:managed|maintained|generated|controlled|created|written|rendered|deployed|configured|installed|updated)\s+(?:\w+\s+)?(?:by|with|via|through|using|from)\s+(?:\w+\s+)?` + tools + `\b`),
		regexp.MustCompile(`(?i)\b` + tools + `[\s_-]+(?:managed|controlled|maintained)\b`),
		regexp.MustCompile(`(?i)\b` + tools + `\b[^\n]{0,80}\b(?:do not edit|don't edit|will be overwritten|local changes)`),
	}
	for _, line := range t.lines[:min(len(t.lines), headerLines)] {
		if line = line[:min(len(line), headerBytes)]; strings.Contains(line, ansibleBlock) {
			continue // of a part of the file
		}
		for _, p := range patterns {
			if m := p.FindStringSubmatch(line); m != nil {
				return strings.ToLower(m[1])
			}
		}
	}
	return ""
}

// ansibleBlock is how blockinfile of Ansible marks its own lines, by default.
const ansibleBlock = "ANSIBLE MANAGED BLOCK"

// managedBlock returns the tool in whose block the line is.
func managedBlock(t text, line int) string {
	inside := ""
	for i := range min(line, len(t.lines)) {
		switch {
		case strings.Contains(t.lines[i], "BEGIN "+ansibleBlock):
			inside = "ansible"
		case strings.Contains(t.lines[i], "END "+ansibleBlock):
			inside = ""
		}
	}
	return inside
}

// managedPattern returns the pattern of the guard that matches the file, or a
// folder above it; "" when none does.
func managedPattern(name string, patterns []string) string {
	for at := name; at != "/" && at != "."; at = path.Dir(at) {
		for _, p := range patterns {
			if ok, _ := path.Match(strings.TrimSuffix(p, "/"), at); ok {
				return p
			}
		}
	}
	return ""
}
