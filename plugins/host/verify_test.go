package host

import (
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/plugins"
	"github.com/secondline-ops/secondline/plugins/mock"
)

func TestVerifyPassesAPluginThatKeepsTheContract(t *testing.T) {
	t.Parallel()
	h := open(t, Options{Entries: []Entry{entry(t)}})
	v, err := h.Verify(t.Context(), "mock")
	if err != nil || !v.OK() || len(v.Findings) != 7 || v.Info.Name != "mock" || len(v.Probes) != 1 {
		t.Errorf("%v: %+v", err, v)
	}
	if h.Status()[0].Running {
		t.Error("its process is still there")
	}
}

func TestVerifySaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	narrow, changed := entry(t), entry(t)
	narrow.Allow = plugins.Capabilities{plugins.CapabilityRead, plugins.MayRead("/etc/x")}
	changed.SHA256 = strings.Repeat("0", 64)
	for want, e := range map[string]Entry{
		"declared twice":               entry(t, mock.BadSpec),
		"is none of read":              entry(t, mock.AsksWrite),
		"calls itself":                 entry(t, mock.OtherName),
		"start plugin mock":            entry(t, mock.ExitEarly),
		"which is not allowed":         narrow,
		"its sha256 differs":           changed,
		"had not come back":            entry(t, mock.Always(mock.Hang)),
		`it says "ok"`:                 entry(t, mock.Always(mock.Liar)),
		"is a string, declared as int": entry(t, mock.Always(mock.Garbage)),
		"it has ended":                 entry(t, mock.Always(mock.CrashRead)),
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			h := open(t, Options{Entries: []Entry{e}})
			v, err := h.Verify(t.Context(), "mock")
			if err != nil || v.OK() {
				t.Fatalf("%v: %+v", err, v)
			}
			text := ""
			for _, f := range v.Findings {
				text += f.What + ": " + f.Problem + "\n"
			}
			if !strings.Contains(text, want) {
				t.Errorf("found:\n%s", text)
			}
		})
	}
}
