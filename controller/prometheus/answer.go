package prometheus

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
)

// readSeries reads the data of a query's answer. What does not look as
// documented is an error, never an empty answer.
func readSeries(data json.RawMessage) ([]Series, error) {
	var d struct {
		Type   string          `json:"resultType"`
		Result json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, misshapen("data", err)
	}
	switch d.Type {
	case "scalar":
		var p *point
		if err := json.Unmarshal(d.Result, &p); err != nil || p == nil {
			return nil, misshapen("scalar", err)
		}
		return []Series{{Labels: map[string]string{}, Points: []Point{p.Point}}}, nil
	case "vector", "matrix":
		var list *[]rawSeries
		if err := json.Unmarshal(d.Result, &list); err != nil || list == nil {
			return nil, misshapen(d.Type, err)
		}
		return toSeries(*list)
	}
	return nil, fault.New(fault.Invalid, "a result of type %q is no series", brief(d.Type))
}

func misshapen(what string, err error) error {
	return fault.Wrap(fault.Transient, err, "%s is not as the API documents it", what)
}

// rawSeries is a series of a vector (one value) or of a matrix (several).
type rawSeries struct {
	Metric     map[string]string `json:"metric"`
	Value      *point            `json:"value"`
	Values     []point           `json:"values"`
	Histogram  *point            `json:"histogram"`
	Histograms []point           `json:"histograms"`
}

func toSeries(list []rawSeries) ([]Series, error) {
	if len(list) > maxSeries {
		return nil, fault.New(fault.TooLarge, "%d series are more than %d", len(list), maxSeries)
	}
	all := make([]Series, 0, len(list))
	n := 0
	for _, raw := range list {
		s := Series{Labels: raw.Metric}
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
		for _, one := range []*point{raw.Value, raw.Histogram} {
			if one != nil {
				s.Points = append(s.Points, one.Point)
			}
		}
		for _, many := range [][]point{raw.Values, raw.Histograms} {
			for _, p := range many {
				s.Points = append(s.Points, p.Point)
			}
		}
		if n += len(s.Points); n > maxPoints {
			return nil, fault.New(fault.TooLarge, "the series have more than %d points", maxPoints)
		}
		if len(s.Points) == 0 {
			return nil, fault.New(fault.Transient, "a series without a value is not as the API documents it")
		}
		all = append(all, s)
	}
	return all, nil
}

// point reads [seconds, "value"]. Of a native histogram, whose value is an
// object, only the time counts; its value is not a number.
type point struct{ Point }

// UnmarshalJSON implements json.Unmarshaler.
func (p *point) UnmarshalJSON(data []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fault.New(fault.Transient, "a point has %d parts", len(pair))
	}
	seconds, err := strconv.ParseFloat(string(pair[0]), 64)
	if err != nil || math.Abs(seconds) > maxSeconds {
		return fault.New(fault.Transient, "a point has no time")
	}
	p.At, p.Value = time.UnixMilli(int64(math.Round(seconds*1000))).UTC(), math.NaN()
	if len(pair[1]) > 0 && pair[1][0] == '{' {
		return nil
	}
	var text string
	if err := json.Unmarshal(pair[1], &text); err != nil {
		return err
	}
	if p.Value, err = strconv.ParseFloat(text, 64); err != nil { // err would quote it, however long
		return fault.New(fault.Transient, "a point has no value")
	}
	return nil
}

// maxSeconds is the year 5138: milliseconds of it fit, whatever is done to them.
const maxSeconds = 1e11
