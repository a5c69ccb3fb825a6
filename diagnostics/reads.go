package diagnostics

// Reads returns what is read to tell the cause, for people: first what finds the
// objects, then what is read of each.
func (c *Cause) Reads() []string {
	out := []string{}
	for _, r := range c.survey {
		out = append(out, r.probe+" as "+r.name)
	}
	for _, r := range c.needs {
		out = append(out, r.probe+" as "+r.name+", of each candidate")
	}
	return out
}
