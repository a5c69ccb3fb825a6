package runbooks

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"maps"
	"slices"
)

// DigestPlan returns the digest that an approval is bound to: "sha256:" and
// hex. It covers what would be done, where and with what (runbook, target,
// inputs, argv, diffs, parts, touches, locks) and the truth of the preconditions. It leaves
// out times, durations, and every sentence that may hold a reading, because a
// plan must stay the same while the world does.
func DigestPlan(p Plan) string {
	d := planDigest{sha256.New()}
	d.strings("secondline plan v4", p.Runbook, p.RunbookDigest, p.Target, string(p.Effect), string(p.Autonomy))
	d.number(len(p.Inputs))
	for _, name := range slices.Sorted(maps.Keys(p.Inputs)) {
		d.strings(name, p.Inputs[name])
	}
	d.number(len(p.Rates))
	for _, r := range p.Rates {
		d.strings(r.Name, r.Within.String())
		d.number(r.Most)
	}
	d.number(p.Approvals)
	d.strings(p.ApproveRole)
	d.list(p.Locks)
	d.number(len(p.Preconditions))
	for _, c := range p.Preconditions {
		d.strings(c.That, string(c.Truth))
	}
	d.number(len(p.Steps))
	for _, s := range p.Steps {
		d.strings(s.ID, s.Action, string(s.Effect), s.As, s.Diff, s.Undo, string(s.Phase), s.Each, s.When)
		d.list(s.Argv)
		d.list(s.Preserve)
		d.list(s.Parts)
		d.number(len(s.Touches))
		for _, t := range s.Touches {
			d.strings(string(t.Kind), t.Name)
		}
		d.truth(s.Noop)
		d.truth(s.Skipped != "") // why it is skipped may hold a reading
	}
	return "sha256:" + hex.EncodeToString(d.hash.Sum(nil))
}

// planDigest writes values so that no two different plans give the same bytes:
// every string and every list goes with its length. JSON would not do, it
// replaces invalid UTF-8, and an argument may hold any bytes.
type planDigest struct{ hash hash.Hash }

func (d planDigest) number(n int) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	_, _ = d.hash.Write(b[:]) // hash.Hash never returns an error
}

func (d planDigest) strings(values ...string) {
	for _, s := range values {
		d.number(len(s))
		_, _ = d.hash.Write([]byte(s))
	}
}

func (d planDigest) list(values []string) {
	d.number(len(values))
	d.strings(values...)
}

func (d planDigest) truth(b bool) {
	if b {
		d.number(1)
		return
	}
	d.number(0)
}
