package prometheus

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
)

// How an expression is asked again. Two evaluations of the rule are the least in
// which the server itself would have seen the alert twice; a minute is the
// default interval of Prometheus, and beyond five an incident waits for nothing.
const (
	minHold       = time.Minute
	maxHold       = 5 * time.Minute
	maxStep       = 15 * time.Second
	stepsOfHold   = 20
	aroundFiring  = time.Minute // where the expression must yield the alert: around the time when it fired
	maxCandidates = 8
	maxSelectors  = 8
	// maxQuestionBytes is what the evidence keeps of one expression.
	maxQuestionBytes = 2 << 10
	goneWithin       = 45 * time.Second // one call of Gone, whatever the servers do
)

// Alert is an alert whose expression is asked again. Its labels are hostile
// data: they are only compared, and quoted where they narrow a question.
type Alert struct {
	Labels  map[string]string
	FiredAt time.Time // as the server said
}

// Question is what was asked, and what was answered: the evidence.
type Question struct {
	Server string    `json:"server"`
	Query  string    `json:"query"`
	From   time.Time `json:"from"` // of the server's clock
	To     time.Time `json:"to"`
	Answer string    `json:"answer"`
}

// Verdict is whether alerts are gone and stayed gone.
type Verdict struct {
	Gone      expr.Truth
	Text      string // for people
	Questions []Question
	// AgainIn is set when they are gone, but not long enough yet: then it can be told.
	AgainIn time.Duration
	// Pointless is set when asking again would tell no more: no rule is known for
	// an alert, or its expression does not yield it even at the time when it fired.
	Pointless bool
}

// Gone asks the expressions of all the alerts again. Gone is true only when each
// yields its alert at the time when it fired, has not yielded it for the hold
// time up to now, and what it reads was there all that time. One that yields it
// now makes it false. Everything else, an error or a warning of any server that
// may know one of them too, is cannot tell. hold limits the hold time; 0 does
// not.
func (s *Servers) Gone(ctx context.Context, alerts []Alert, hold time.Duration) Verdict {
	ctx, cancel := context.WithTimeout(ctx, goneWithin)
	defer cancel()
	if len(alerts) == 0 {
		return Verdict{Gone: expr.CannotTell, Text: "there is no alert to ask for", Questions: []Question{}, Pointless: true}
	}
	all := Verdict{Gone: expr.True, Questions: []Question{}}
	var texts []string
	untold, pointless := false, false
	for _, a := range alerts {
		v := s.goneOne(ctx, a, hold)
		all.Questions = append(all.Questions, v.Questions...)
		switch {
		case v.Gone == expr.True:
		case v.Gone == expr.False: // one that is there decides
			return Verdict{Gone: expr.False, Text: v.Text, Questions: all.Questions}
		case v.Pointless:
			all.Gone, pointless = expr.CannotTell, true
		case v.AgainIn > 0:
			all.Gone, all.AgainIn = expr.CannotTell, max(all.AgainIn, v.AgainIn)
		default:
			all.Gone, untold = expr.CannotTell, true
		}
		texts = append(texts, v.Text)
	}
	if untold {
		all.AgainIn = 0
	}
	all.Pointless = pointless && !untold && all.AgainIn == 0
	all.Text = strings.Join(texts, "; ")
	return all
}

func (s *Servers) goneOne(ctx context.Context, a Alert, hold time.Duration) Verdict {
	found, unread := s.candidates(a.Labels)
	none := func(format string, args ...any) Verdict {
		return Verdict{Gone: expr.CannotTell, Text: a.Labels["alertname"] + ": " + fmt.Sprintf(format, args...), Pointless: true}
	}
	switch {
	case len(unread) > 0:
		v := none("the rules of %s could not be read yet", unread[0].Name())
		v.Pointless = false
		return v
	case len(found) == 0:
		return none("no rule of this name adds these labels")
	case len(found) > maxCandidates:
		return none("%d rules may have fired it, which are too many to ask", len(found))
	case a.FiredAt.IsZero():
		return none("it does not say when it fired")
	}
	verdict := none("")
	var questions []Question
	for _, c := range found {
		q := &inquiry{candidate: c, alert: a, hold: holdOf(c.rule, hold)}
		v := q.ask(ctx)
		questions = append(questions, q.questions...)
		if v.weight() >= verdict.weight() {
			verdict = v
		}
		if verdict.Gone == expr.False {
			break
		}
	}
	verdict.Questions = questions
	return verdict
}

// weight orders findings of several rules about one alert: still there, cannot
// tell, not long enough, gone, and last that the rule does not yield the alert.
func (v Verdict) weight() int {
	switch {
	case v.Pointless:
		return 0
	case v.Gone == expr.True:
		return 1
	case v.AgainIn > 0:
		return 2
	case v.Gone == expr.False:
		return 4
	}
	return 3
}

func holdOf(r Rule, limit time.Duration) time.Duration {
	hold := min(max(2*r.Interval, minHold), maxHold)
	if limit > 0 {
		hold = min(hold, limit)
	}
	return max(hold, time.Second)
}

// inquiry asks one server about one alert by one rule.
type inquiry struct {
	candidate
	alert     Alert
	hold      time.Duration
	now       time.Time // of the server
	questions []Question
}

func (q *inquiry) ask(ctx context.Context) Verdict {
	v, err := q.judge(ctx)
	if err != nil {
		return Verdict{Gone: expr.CannotTell, Text: fmt.Sprintf("%s: %v", q.rule.Alert, err)}
	}
	return v
}

func (q *inquiry) judge(ctx context.Context) (v Verdict, err error) {
	if len(q.rule.Expr) > maxExpression {
		return q.verdict(true, "its expression is longer than %d bytes", maxExpression), nil
	}
	if q.now, err = q.client.Now(ctx); err != nil {
		return v, err
	}
	seen, at, err := q.whenFired(ctx)
	if err != nil {
		return v, err
	}
	if seen == nil {
		return q.verdict(true, "the expression does not yield the alert even at %s, when it fired: the labels were changed on the way, or the rule since", clock(q.alert.FiredAt)), nil
	}
	from, step := q.now.Add(-q.hold), stepOf(q.hold)
	answer, err := q.rangeOf(ctx, q.rule.Expr, from, q.now, step)
	if err != nil {
		return v, err
	}
	if last := q.lastOf(answer); !last.IsZero() {
		if since := q.now.Sub(last); since >= step {
			v := q.verdict(false, "the expression yields nothing for the alert since %s; it must stay so for %s", clock(last), q.hold)
			v.AgainIn = q.hold - since + step
			return v, nil
		}
		v := q.verdict(false, "the expression still yields the alert at %s", clock(last))
		v.Gone = expr.False
		return v, nil
	}
	if why, err := q.blind(ctx, seen, at, step); err != nil || why != "" {
		return q.verdict(false, "the expression yields nothing for the alert, but %s", why), err
	}
	v = q.verdict(false, "the expression yielded the alert at %s, and nothing for it from %s to %s, while what it reads was there", clock(at), clock(from), clock(q.now))
	v.Gone = expr.True
	return v, nil
}

func (q *inquiry) verdict(pointless bool, format string, args ...any) Verdict {
	text := fmt.Sprintf("%s at %s (%s): ", q.rule.Alert, q.client.Name(), brief(q.rule.Expr))
	return Verdict{Gone: expr.CannotTell, Text: text + fmt.Sprintf(format, args...), Pointless: pointless}
}

// whenFired proves that the question would find the alert: it returns the labels
// of the series that the expression yielded for it around the time when it
// fired, and when. Without them an empty answer says nothing: it would be about
// other labels.
func (q *inquiry) whenFired(ctx context.Context) (labels map[string]string, at time.Time, err error) {
	fired := q.alert.FiredAt
	if fired.After(q.now) {
		return nil, at, q.client.wrap(fault.Transient, nil, "the alert fired at %s, which has not come yet by its clock", clock(fired))
	}
	from := fired.Add(-min(q.rule.For, aroundFiring).Truncate(maxStep)) // so that one step falls on the time itself
	to := fired.Add(aroundFiring)
	if to.After(q.now) {
		to = q.now
	}
	answer, err := q.rangeOf(ctx, q.rule.Expr, from, to, maxStep)
	if err != nil {
		return nil, at, err
	}
	for _, s := range answer.Series {
		if !q.rule.yields(s.Labels, q.alert.Labels) {
			continue
		}
		if t := s.Points[0].At; labels == nil || t.Before(at) {
			labels, at = s.Labels, t
		}
	}
	return labels, at, nil
}

// lastOf is the last time at which the answer has the alert; zero for never.
func (q *inquiry) lastOf(a Answer) (last time.Time) {
	for _, s := range a.Series {
		if !q.rule.yields(s.Labels, q.alert.Labels) {
			continue
		}
		for _, p := range s.Points {
			if p.At.After(last) {
				last = p.At
			}
		}
	}
	return last
}

// blind says what the expression can no longer see: a target that is down, a
// server that was, series that are gone. Each selector of it must have as many
// series at every step of the hold time as it had when the alert fired; the
// alert's own labels narrow it where it has them.
func (q *inquiry) blind(ctx context.Context, seen map[string]string, at time.Time, step time.Duration) (string, error) {
	selectors, ok := selectorsOf(q.rule.Expr)
	if !ok || len(selectors) > maxSelectors {
		return "what it reads could not be made out", nil
	}
	narrow := map[string]string{}
	for name, value := range seen {
		if _, added := q.rule.Labels[name]; !added && name != "__name__" {
			narrow[name] = value
		}
	}
	for _, sel := range selectors {
		query, before, err := q.readBefore(ctx, sel, narrow, at)
		if err != nil {
			return "", err
		}
		if before == 0 {
			continue // nothing was there either, as for absent()
		}
		answer, err := q.rangeOf(ctx, query, q.now.Add(-q.hold), q.now, step)
		if err != nil {
			return "", err
		}
		least := leastOf(answer, int(q.hold/step)+1)
		if least < before {
			return fmt.Sprintf("of the %g series of %s there were only %g left for a time", before, brief(query), least), nil
		}
	}
	return "", nil
}

// readBefore returns how to count what the selector reads, and what it counted
// at a time: of the alert's own series, else, when labels were joined or
// replaced on the way, of all.
func (q *inquiry) readBefore(ctx context.Context, sel selector, narrow map[string]string, at time.Time) (query string, n float64, err error) {
	for _, labels := range []map[string]string{narrow, nil} {
		query = "count(" + sel.with(labels) + ")"
		answer, err := q.rangeOf(ctx, query, at, at, maxStep)
		if err != nil {
			return "", 0, err
		}
		if n = leastOf(answer, 1); n > 0 {
			return query, n, nil
		}
	}
	return query, 0, nil
}

// leastOf is the smallest value of a count; 0 when it has less than so many
// points, since a count of nothing is no point.
func leastOf(a Answer, points int) float64 {
	if len(a.Series) != 1 || len(a.Series[0].Points) < points {
		return 0
	}
	least := a.Series[0].Points[0].Value
	for _, p := range a.Series[0].Points {
		least = min(least, p.Value)
	}
	return least
}

// rangeOf asks, and keeps the question with its answer.
func (q *inquiry) rangeOf(ctx context.Context, query string, from, to time.Time, step time.Duration) (Answer, error) {
	answer, err := q.client.QueryRange(ctx, query, from, to, step)
	if err == nil && len(answer.Warnings) > 0 {
		err = q.client.wrap(fault.Transient, nil, "the answer may lack something: %s", answer.Warnings[0])
	}
	said := q.inWords(answer)
	if err != nil {
		said = err.Error()
	}
	q.questions = append(q.questions, Question{Server: q.client.Name(), Query: short(query, maxQuestionBytes), From: from.UTC(), To: to.UTC(), Answer: said})
	return answer, err
}

func (q *inquiry) inWords(a Answer) string {
	if len(a.Series) == 0 {
		return "empty"
	}
	ours, text := 0, ""
	for _, s := range a.Series {
		if q.rule.yields(s.Labels, q.alert.Labels) {
			ours++
			last := s.Points[len(s.Points)-1]
			text = fmt.Sprintf(", the last value %g at %s", last.Value, clock(last.At))
		}
	}
	return fmt.Sprintf("%d series, %d with the labels of the alert%s", len(a.Series), ours, text)
}

func stepOf(hold time.Duration) time.Duration {
	return min(max((hold/stepsOfHold).Truncate(time.Second), time.Second), maxStep)
}

// short cuts a text that is longer than so many bytes.
func short(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05") }
