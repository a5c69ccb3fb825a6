package prometheus_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/prometheus"
	"github.com/secondline-ops/secondline/controller/prometheus/prometheustest"
	"github.com/secondline-ops/secondline/internal/expr"
)

const (
	diskExpr  = `disk_used{fstype="ext4"} > 90`
	diskCount = `count(disk_used{fstype="ext4",instance=~"|db1:9100",mount=~"|/var"})`
	diskAll   = `count(disk_used{fstype="ext4"})`
)

// diskFull fired at 12:10 after 15 minutes, and by its server's clock it is 12:30.
func diskFull() prometheus.Alert {
	return prometheus.Alert{
		Labels:  pairs("alertname", "DiskFull", "severity", "page", "instance", "db1:9100", "mount", "/var", "cluster", "eu"),
		FiredAt: t0.Add(-20 * time.Minute),
	}
}

// full is when the disk of db1 was: from 11:55 until so long before now.
func full(until time.Duration) span {
	return between(-35*time.Minute, -until, "__name__", "disk_used", "instance", "db1:9100", "mount", "/var")
}

// disks is a server that has the rule; the disk was full until 10 minutes ago.
func disks(t testing.TB) *fake {
	f := newFake(t)
	f.Rules = prometheustest.Groups(prometheustest.Rule("DiskFull", diskExpr, 15*time.Minute, `"severity":"page"`))
	f.Yields[diskExpr] = []span{full(10 * time.Minute), between(-time.Hour, time.Hour, "instance", "db2:9100", "mount", "/var")}
	f.Yields[diskCount] = []span{always(1)}
	f.Yields[diskAll] = []span{always(7)}
	return f
}

func servers(t testing.TB, clients ...*prometheus.Client) *prometheus.Servers {
	t.Helper()
	s := prometheus.NewServers(clients...)
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestGone(t *testing.T) {
	t.Parallel()
	later := func(change func(*script)) func(*script) { return change }
	breaks := func(h http.HandlerFunc) func(*script) { return func(f *script) { f.Broken = h } }
	for name, c := range map[string]struct {
		before func(*script) // the rules are read
		after  func(*script)
		alert  func(*prometheus.Alert)
		want   expr.Truth
		again  bool
		lost   bool // it is pointless to ask again
		says   string
	}{
		"empty for a minute, and nothing is missing": {want: expr.True, says: "nothing for it from 12:29:00 to 12:30:00, while what it reads was there"},
		"still there":           {after: later(func(f *script) { f.Yields[diskExpr][0].To = t0 }), want: expr.False, says: "still yields the alert at 12:30:00"},
		"gone too short a time": {after: later(func(f *script) { f.Yields[diskExpr] = []span{full(20 * time.Second)} }), want: expr.CannotTell, again: true, says: "since 12:29:39; it must stay so for 1m0s"},
		"there for a moment in between": {after: later(func(f *script) {
			f.Yields[diskExpr] = append(f.Yields[diskExpr], between(-45*time.Second, -40*time.Second, "instance", "db1:9100", "mount", "/var"))
		}), want: expr.CannotTell, again: true},

		// The query answers, but not for this alert.
		"relabelled on the way":          {alert: func(a *prometheus.Alert) { a.Labels["instance"] = "db1" }, want: expr.CannotTell, lost: true, says: "does not yield the alert even at 12:10:00"},
		"another mount":                  {alert: func(a *prometheus.Alert) { a.Labels["mount"] = "/" }, want: expr.CannotTell, lost: true},
		"a changed rule":                 {after: later(func(f *script) { f.Yields[diskExpr] = nil }), want: expr.CannotTell, lost: true},
		"fired at another time":          {alert: func(a *prometheus.Alert) { a.FiredAt = t0.Add(-3 * time.Hour) }, want: expr.CannotTell, lost: true},
		"fired at no time":               {alert: func(a *prometheus.Alert) { a.FiredAt = time.Time{} }, want: expr.CannotTell, lost: true},
		"fired by another rule":          {alert: func(a *prometheus.Alert) { a.Labels["severity"] = "warning" }, want: expr.CannotTell, lost: true, says: "no rule of this name"},
		"of another name":                {alert: func(a *prometheus.Alert) { a.Labels["alertname"] = "Other" }, want: expr.CannotTell, lost: true},
		"without labels":                 {alert: func(a *prometheus.Alert) { a.Labels = nil }, want: expr.CannotTell, lost: true},
		"fires in the future":            {alert: func(a *prometheus.Alert) { a.FiredAt = t0.Add(time.Hour) }, want: expr.CannotTell, says: "has not come yet"},
		"a label was dropped on the way": {alert: func(a *prometheus.Alert) { delete(a.Labels, "mount") }, want: expr.True},

		// The query answers, and sees nothing any more.
		"the target is down": {after: later(func(f *script) { f.Yields[diskCount] = []span{between(-time.Hour, -5*time.Minute)} }), want: expr.CannotTell, says: "there were only 0 left"},
		"the target was away": {after: later(func(f *script) {
			f.Yields[diskCount] = []span{between(-time.Hour, -30*time.Second).Of(1)}
		}), want: expr.CannotTell},
		"the server was down": {after: later(func(f *script) {
			f.Yields[diskCount] = []span{between(-time.Hour, -50*time.Second).Of(1), between(-9*time.Second, 0).Of(1)}
		}), want: expr.CannotTell},
		"some of it is gone": {before: later(func(f *script) {
			f.Yields[diskCount] = nil
			f.Yields[diskAll] = []span{between(-time.Hour, -10*time.Minute).Of(7), between(-9*time.Minute, 0).Of(6)}
		}), want: expr.CannotTell, says: "of the 7 series of"},
		"nothing was ever there":   {before: later(func(f *script) { f.Yields[diskCount], f.Yields[diskAll] = nil, nil }), want: expr.True},
		"joined from other labels": {before: later(func(f *script) { f.Yields[diskCount] = nil }), want: expr.True},

		// The query does not answer.
		"422":      {after: breaks(says(422, `{"status":"error","errorType":"execution","error":"many-to-many matching not allowed"}`)), want: expr.CannotTell, says: "many-to-many"},
		"503":      {after: breaks(says(503, "")), want: expr.CannotTell},
		"half":     {after: breaks(says(200, `{"status":"success","data":{"resultType":"matrix","result":[`)), want: expr.CannotTell},
		"a vector": {after: breaks(says(200, `{"status":"success","data":{"resultType":"vector","result":[]}}`)), want: expr.CannotTell},
		"warnings": {after: later(func(f *script) { f.Warnings = []string{"a store is away"} }), want: expr.CannotTell, says: "a store is away"},
		"hung up":  {after: breaks(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), want: expr.CannotTell},
		"nonsense": {before: later(func(f *script) {
			f.Rules = prometheustest.Groups(prometheustest.Rule("DiskFull", `a{`, 0, ""))
			f.Yields["a{"] = []span{full(10 * time.Minute)}
		}), want: expr.CannotTell, says: "could not be made out"},
		"a page of expression": {before: later(func(f *script) {
			f.Rules = prometheustest.Groups(prometheustest.Rule("DiskFull", strings.Repeat("x", 20<<10), 0, ""))
		}), want: expr.CannotTell, lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, a := disks(t), diskFull()
			if c.before != nil {
				f.Set(c.before)
			}
			s := servers(t, f.client())
			if c.after != nil {
				f.Set(c.after)
			}
			if c.alert != nil {
				c.alert(&a)
			}
			got := s.Gone(t.Context(), []prometheus.Alert{a}, 0)
			if got.Gone != c.want || got.AgainIn > 0 != c.again || got.Pointless != c.lost || !strings.Contains(got.Text, c.says) || len(got.Text) > 2000 {
				t.Errorf("%s, again in %s, pointless %v: %s\n%+v", got.Gone, got.AgainIn, got.Pointless, got.Text, got.Questions)
			}
			if c.want == expr.True && len(got.Questions) < 4 {
				t.Errorf("the evidence is %+v", got.Questions)
			}
		})
	}
}

func TestGoneIsOfAllAlertsAndOfAllWhoMayKnow(t *testing.T) {
	t.Parallel()
	other := diskFull()
	other.Labels["instance"] = "db2:9100"
	unknown := prometheus.Alert{Labels: pairs("alertname", "Other"), FiredAt: t0}
	stopped := disks(t)
	down := stopped.client()
	blank := newFake(t)
	ours := disks(t)
	ours.Yields[`count(disk_used{fstype="ext4",instance=~"|db2:9100",mount=~"|/var"})`] = []span{always(1)}
	both := servers(t, ours.client(), down)
	stopped.Close()
	for name, c := range map[string]struct {
		servers *prometheus.Servers
		alerts  []prometheus.Alert
		want    expr.Truth
		lost    bool
	}{
		"another still fires":                       {servers(t, ours.client()), []prometheus.Alert{diskFull(), other}, expr.False, false},
		"of another nothing is known":               {servers(t, ours.client()), []prometheus.Alert{diskFull(), unknown}, expr.CannotTell, true},
		"no alert":                                  {servers(t, ours.client()), nil, expr.CannotTell, true},
		"a server without such a rule says nothing": {servers(t, ours.client(), blank.client()), []prometheus.Alert{diskFull()}, expr.True, false},
		"a server that has the rule is down":        {both, []prometheus.Alert{diskFull()}, expr.CannotTell, false},
		"down counts more than unknown":             {both, []prometheus.Alert{unknown, diskFull()}, expr.CannotTell, false},
		"one was never read":                        {prometheus.NewServers(ours.client()), []prometheus.Alert{diskFull()}, expr.CannotTell, false},
		"no server":                                 {nil, []prometheus.Alert{diskFull()}, expr.CannotTell, true},
	} {
		if got := c.servers.Gone(t.Context(), c.alerts, 0); got.Gone != c.want || got.Pointless != c.lost {
			t.Errorf("%s: %s, pointless %v: %s", name, got.Gone, got.Pointless, got.Text)
		}
	}
}

// A rule of the same name that has nothing to do with the alert proves nothing,
// and does not stand in the way of the one that fired it.
func TestOfTwoRulesTheOneThatFiredCounts(t *testing.T) {
	t.Parallel()
	f := disks(t)
	f.Rules = prometheustest.Groups(prometheustest.Rule("DiskFull", "vector(1) < 0", 0, ""), prometheustest.Rule("DiskFull", diskExpr, 15*time.Minute, `"severity":"{{ $labels.level }}"`))
	f.Yields["vector(1) < 0"] = nil
	s := servers(t, f.client())
	if got := s.Gone(t.Context(), []prometheus.Alert{diskFull()}, 0); got.Gone != expr.True {
		t.Errorf("%s: %s", got.Gone, got.Text)
	}
	f.Set(func(f *script) { f.Yields[diskExpr][0].To = t0 })
	if got := s.Gone(t.Context(), []prometheus.Alert{diskFull()}, 0); got.Gone != expr.False {
		t.Errorf("%s: %s", got.Gone, got.Text)
	}
}

func TestHoldIsOfTheRuleAndLimited(t *testing.T) {
	t.Parallel()
	f := disks(t)
	f.Yields[diskExpr] = []span{full(90 * time.Second)}
	f.Rules = strings.Replace(f.Rules, `"interval":30`, `"interval":120`, 1) // two evaluations are four minutes
	s := servers(t, f.client())
	for limit, want := range map[time.Duration]expr.Truth{0: expr.CannotTell, time.Hour: expr.CannotTell, time.Minute: expr.True, time.Second: expr.True, time.Millisecond: expr.True} {
		if got := s.Gone(t.Context(), []prometheus.Alert{diskFull()}, limit); got.Gone != want {
			t.Errorf("at most %s: %s: %s", limit, got.Gone, got.Text)
		}
	}
}

// Only the configured servers are asked, whatever the alert says.
func TestAlertsAreDataOnly(t *testing.T) {
	t.Parallel()
	f, a := disks(t), diskFull()
	s := servers(t, f.client())
	maps.Copy(a.Labels, map[string]string{"generatorURL": "http://evil.example/graph?g0.expr=up", "expr": "vector(1)", "__name__": "up", "job": `"} or vector(1)`})
	if got := s.Gone(t.Context(), []prometheus.Alert{a}, 0); got.Gone != expr.True {
		t.Errorf("%s: %s", got.Gone, got.Text)
	}
	for _, q := range f.Questions() {
		if q != "time()" && q != diskExpr && q != diskCount {
			t.Errorf("it was asked %s", q)
		}
	}
}

func TestStoppingIsNoAnswer(t *testing.T) {
	t.Parallel()
	f := disks(t)
	s := servers(t, f.client())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := s.Gone(ctx, []prometheus.Alert{diskFull()}, 0); got.Gone != expr.CannotTell || got.Pointless {
		t.Errorf("%+v", got)
	}
}

func TestHeldForIsThatOfTheRule(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Rules = prometheustest.Groups(
		prometheustest.Rule("DiskFull", "disk > 90", 15*time.Minute, `"severity":"page"`), prometheustest.Rule("DiskFull", "disk > 80", time.Hour, `"severity":"warning"`),
		prometheustest.Rule("Down", "up == 0", 5*time.Minute, ""), prometheustest.Rule("Two", "a", time.Minute, ""), prometheustest.Rule("Two", "b", 2*time.Minute, ""),
		prometheustest.Rule("Same", "a", time.Minute, ""), prometheustest.Rule("Same", "b", time.Minute, `"team":"{{ .Labels.team }}"`),
	)
	c := f.client()
	s := prometheus.NewServers(c)
	if _, ok := s.HeldFor(pairs("alertname", "Down")); ok || !s.MayKnow("Down") || s.MayKnow("") {
		t.Error("before the rules were read nothing is known, and any may be there")
	}
	check := func(s *prometheus.Servers) {
		t.Helper()
		for _, want := range []struct {
			labels map[string]string
			held   time.Duration
			ok     bool
		}{
			{pairs("alertname", "DiskFull", "severity", "page", "instance", "db1"), 15 * time.Minute, true},
			{pairs("alertname", "DiskFull", "severity", "warning"), time.Hour, true},
			{pairs("alertname", "DiskFull", "severity", "info"), 0, false},
			{pairs("alertname", "DiskFull"), 0, false},
			{pairs("alertname", "Down", "severity", "page"), 5 * time.Minute, true},
			{pairs("alertname", "Two"), 0, false},
			{pairs("alertname", "Same", "team", "x"), time.Minute, true},
			{pairs("alertname", "None"), 0, false},
			{nil, 0, false},
		} {
			if held, ok := s.HeldFor(want.labels); held != want.held || ok != want.ok {
				t.Errorf("%v: %s, %v", want.labels, held, ok)
			}
		}
		if !s.MayKnow("Down") || s.MayKnow("None") {
			t.Error("what is known is not what was read")
		}
	}
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(s)
	f.Set(func(f *script) {
		f.Broken = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "half") }
	})
	if err := s.Refresh(t.Context()); err == nil {
		t.Error("nobody says that the rules could not be read")
	}
	check(s) // what was known stays
	again := prometheus.NewServers(newFake(t).client(), c)
	again.Inherit(s)
	if held, ok := again.HeldFor(pairs("alertname", "Down")); !ok || held != 5*time.Minute || !again.MayKnow("None") {
		t.Error("a reload forgets the rules, or takes another server for read")
	}
	again.Inherit(again)
	again.Inherit(nil)
	var none *prometheus.Servers
	none.Inherit(s)
	if _, ok := none.HeldFor(pairs("alertname", "Down")); ok || none.MayKnow("Down") || none.Refresh(t.Context()) != nil {
		t.Error("without servers there are rules")
	}
}
