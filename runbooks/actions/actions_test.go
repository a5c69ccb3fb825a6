package actions_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
)

// usage stands for the probe that the examples of the page verify by.
type usage struct{}

func (usage) Names() []string { return []string{"disk.usage"} }

func (usage) Fields(probe string) (inputs, outputs []expr.Field, ok bool) {
	return []expr.Field{{Name: "mount", Type: expr.String, Required: true, Doc: "a mount point"}}, []expr.Field{{Name: "used_percent", Type: expr.Double}}, probe == "disk.usage"
}

const around = `apiVersion: secondline/v1
kind: Runbook
metadata: {name: example, title: An example}
spec:
  inputs:
    mount: {type: path}
    unit: {type: unit}
    path: {type: path}
    level: {type: string, default: info}
  limits: {deadline: 2h}
  probes:
    used: {probe: disk.usage, with: {mount: "${inputs.mount}"}}
  steps:
`

// TestThePageOfActions reads docs/actions.md: each built-in action has a section
// of its name, whose examples load, or are refused in the line that is marked.
func TestThePageOfActions(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "actions.md"))
	if err != nil {
		t.Fatal(err)
	}
	o := runbooks.ParseOptions{Decoders: actions.Decoders(), Probes: usage{}}
	count := map[string]int{}
	heading := regexp.MustCompile("(?m)^## `([a-z_]+)`$")
	sections := heading.FindAllStringSubmatchIndex(string(page), -1)
	for i, at := range sections {
		name, end := string(page[at[2]:at[3]]), len(page)
		if i+1 < len(sections) {
			end = sections[i+1][0]
		}
		for n, block := range strings.Split(string(page[at[1]:end]), "```yaml ")[1:] {
			expect, rest, _ := strings.Cut(block, "\n")
			text, _, _ := strings.Cut(rest, "```")
			_, err := runbooks.Parse("example.yaml", []byte(around+"    "+strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")+"\n"), o)
			errs := yamlx.Errors(err)
			count[name+" "+expect]++
			switch {
			case expect == "accept" && err != nil:
				t.Errorf("%s, example %d: %v", name, n+1, err)
			case expect == "reject" && len(errs) == 0:
				t.Errorf("%s, example %d was accepted", name, n+1)
			case expect == "reject" && (errs[0].Line <= strings.Count(around, "\n") || errs[0].Snippet == ""):
				t.Errorf("%s, example %d was refused without a place: %v", name, n+1, err)
			case expect == "reject" && !strings.Contains(text, name+":"):
				t.Errorf("%s, example %d is of another action", name, n+1)
			}
		}
	}
	for _, d := range actions.Decoders() {
		if count[d.Name()+" accept"] == 0 || count[d.Name()+" reject"] == 0 {
			t.Errorf("docs/actions.md has no section %s with an example that loads and one that is refused", fmt.Sprintf("## `%s`", d.Name()))
		}
	}
}
