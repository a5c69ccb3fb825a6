package bundle

import (
	"fmt"
	"maps"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
)

// The records of a bundle, and what is derived of them that programs read.
const (
	incidentFile  = "incident.json"
	inventoryFile = "inventory.json"
	eventsFile    = "events.jsonl"
	factsFile     = "facts.jsonl"
	signalsFile   = "signals.jsonl"
	subjectFile   = "subject.json"
	reportFile    = "report.json"
)

// documentNames are the records in the order in which they are added.
func documentNames() []string {
	return []string{incidentFile, inventoryFile, eventsFile, factsFile, signalsFile}
}

// sources is what a bundle is made of, redacted. All else in it follows from
// them, by build: report, plans, transcripts, manifest.
type sources struct {
	input     Input                         // Excerpts and MadeOf are build's
	documents map[string][]byte             // the same as files
	raws      map[string]content            // by digest
	bodies    map[string]content            // by the id of the body
	preserved map[string]map[string]content // by stepBase and name
}

// content is a file that no record holds.
type content struct {
	data       []byte
	redactions map[string]int
	status     string    // of a body
	at         time.Time // when a body came
	cut        bool      // there was more; of a raw output, the fact says so
}

// inventorySlice is inventory.json.
type inventorySlice struct {
	Entities []entity.Entity `json:"entities"`
}

// material is what a bundle is to be made of, before redaction.
type material struct {
	input  Input
	raws   map[string]content // by digest
	bodies map[string]content // by the id of the body
}

// pack redacts the parts and makes files and manifest of them. A panic of the
// redactor is an error: a text on which it fails must not get out.
func pack(m material, names *redact.Pseudonyms, budget Budget) (b *Bundle, err error) {
	defer func() {
		if p := recover(); p != nil {
			b, err = nil, fault.New(fault.Internal, "the bundle could not be redacted and made: %v", p)
		}
	}()
	s, err := redacted(m, newScrubber(m.input.Redactions, names))
	if err != nil {
		return nil, err
	}
	return budget.build(s)
}

func redacted(m material, scrubber *scrubber) (sources, error) {
	clean, err := scrub(scrubber, m.input)
	if err != nil {
		return sources{}, err
	}
	clean.Causes, clean.Runbooks = m.input.Causes, m.input.Runbooks // reviewed files, whose digests are cited
	s := sources{
		input: clean, raws: redactedRaws(scrubber, clean.Facts, m.raws), bodies: map[string]content{},
		preserved: takePreserved(clean.Incident.Runs),
	}
	for id, body := range m.bodies {
		s.bodies[id] = scrubber.file(body)
	}
	s.input.Redactions = maps.Clone(scrubber.total)
	s.documents, err = documents(s.input)
	return s, err
}

// redactedRaws makes the facts name the digests of their raw outputs as they
// are here: redaction may have changed them.
func redactedRaws(s *scrubber, facts []diagnostics.Fact, raws map[string]content) map[string]content {
	clean := map[string]content{}
	renamed := map[string]string{}
	for i := range facts {
		for j := range facts[i].Raws {
			raw := &facts[i].Raws[j]
			data, ok := raws[raw.SHA256]
			if !ok {
				continue
			}
			digest, known := renamed[raw.SHA256]
			if !known {
				data = s.file(data)
				digest = hexDigest(data.data)
				renamed[raw.SHA256] = digest
				if _, have := clean[digest]; !have {
					clean[digest] = data
				}
			}
			raw.SHA256, raw.Bytes = digest, len(clean[digest].data)
		}
	}
	return clean
}

// takePreserved moves what the steps saved out of the incident: it stands in
// files of its own.
func takePreserved(runs []incident.Run) map[string]map[string]content {
	taken := map[string]map[string]content{}
	for i := range runs {
		if runs[i].Result == nil {
			continue
		}
		for n := range runs[i].Result.Steps {
			step := &runs[i].Result.Steps[n]
			if len(step.Preserved) > 0 {
				files := map[string]content{}
				for name, data := range step.Preserved {
					files[name] = content{data: data}
				}
				taken[stepBase(runs[i].ID, n, step.ID)] = files
				step.Preserved = nil
			}
		}
	}
	return taken
}

// documents writes the records as files.
func documents(in Input) (map[string][]byte, error) {
	files := map[string][]byte{}
	for name, write := range map[string]func() ([]byte, error){
		incidentFile:  func() ([]byte, error) { return indented(in.Incident) },
		inventoryFile: func() ([]byte, error) { return indented(inventorySlice{in.Entities}) },
		eventsFile:    func() ([]byte, error) { return lines(in.Events) },
		factsFile:     func() ([]byte, error) { return lines(in.Facts) },
		signalsFile:   func() ([]byte, error) { return lines(in.Signals) },
	} {
		data, err := write()
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
		files[name] = data
	}
	return files, nil
}
