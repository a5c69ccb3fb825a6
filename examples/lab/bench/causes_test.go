package bench

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/examples/lab/faults"
)

func TestCausesListsEveryWordOfTheTruths(t *testing.T) {
	t.Parallel()
	of := func(truth faults.Truth) *faults.Fault { return &faults.Fault{Truth: truth} }
	got := Causes([]*faults.Fault{
		of(faults.Truth{Cause: "b", Object: map[string]string{"unit": "x", "file": "y"}}),
		of(faults.Truth{Cause: "b", Object: map[string]string{"mount": "/"}}),
		of(faults.Truth{Cause: "c", Also: []string{"a"}}),
		of(faults.Truth{Unknown: true}),
	})
	want := []CauseWords{{"a", nil}, {"b", []string{"file", "mount", "unit"}}, {"c", nil}}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error(diff)
	}
}
