package escalation

import (
	"fmt"
	"strings"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/notify"
	"github.com/secondline-ops/secondline/internal/redact"
)

// ComposeStorm writes the one message about a storm of incidents: how many are
// in which status, and the newest of those that wait for a person. in is one of
// the storm, which the message is kept with. The id is the caller's to fill in.
func ComposeStorm(in *incident.Incident, counts map[incident.Status]int, newest []*incident.Incident, baseURL string) notify.Message {
	m := Compose(in, Storm, baseURL)
	if baseURL != "" {
		m.Link = strings.TrimRight(baseURL, "/") + "/"
	}
	var w writer
	waiting := counts[incident.Escalated]
	m.Subject = fmt.Sprintf("Storm: %d incidents need you", waiting)
	if waiting == 0 {
		m.Subject = "Storm: nothing waits for a person any more"
	}
	w.say("More was to be told than one message each can carry; this one is about all of it.")
	w.head("Incidents now")
	for _, s := range incident.Statuses() {
		if n := counts[s]; n > 0 && s.Open() {
			w.item("%s: %d", strings.ReplaceAll(string(s), "_", " "), n)
		}
	}
	if waiting == 0 {
		w.item("none is escalated")
	}
	if len(newest) > 0 {
		w.head("The newest that need you")
		for _, one := range newest {
			where := ""
			if one.Entity != "" {
				where = " on " + one.Entity
			}
			w.item("[%s] #%d %s%s", one.Priority, one.Number, one.Title, where)
		}
	}
	w.head("A bundle is written when you ask for it.")
	m.Text = string(redact.New().Redact([]byte(strings.TrimRight(w.String(), "\n"))))
	return m
}
