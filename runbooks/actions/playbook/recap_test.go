package playbook

import "testing"

// FuzzParse reads arbitrary output: a recap that is taken is of localhost.
func FuzzParse(f *testing.F) {
	f.Add("PLAY RECAP ****\nlocalhost : ok=1 changed=1 unreachable=0 failed=0\n")
	f.Add("PLAY RECAP ****\nlocalhost : ok=1\ndb1 : ok=1\n")
	f.Add("PLAY RECAP *\n")
	f.Fuzz(func(t *testing.T, out string) {
		r, err := parse(out)
		if err == nil && (r.OK < 0 || r.Changed < 0 || r.Failed < 0 || r.Unreachable < 0) {
			t.Errorf("%q gave %+v", out, r)
		}
		_ = steady(out)
	})
}
