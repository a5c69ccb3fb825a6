package metrics

import "time"

// Input is what Analyse looks at.
type Input struct {
	Normal, Anomalous Table
	Graph             Graph      // empty when it is not known what depends on what
	Kinds             Kinds      // of the entities whose kind is known
	Onset             *time.Time // when the fault is said to have begun: may be late, or wrong; nil when nobody knows
}

// Report ranks entities and metrics, best first. Equal scores share a rank.
type Report struct {
	Onset    time.Time `json:"onset"`
	Entities []Entity  `json:"entities"`
	Metrics  []Metric  `json:"metrics"`
	Skipped  []Skipped `json:"skipped"`
}

// Entity is an entity with its place in the ranking.
type Entity struct {
	Entity      string     `json:"entity"`
	Score       float64    `json:"score"`
	Onset       *time.Time `json:"onset"` // null when none of its metrics jumps
	Rank        int        `json:"rank"`
	Metric      string     `json:"metric"`       // that speaks most for it
	ExplainedBy string     `json:"explained_by"` // the dependency whose trouble explains most of its own, or ""
}

// Metric is a metric with its place in the ranking.
type Metric struct {
	Entity    string     `json:"entity"`
	Metric    string     `json:"metric"`
	Score     float64    `json:"score"`
	Onset     *time.Time `json:"onset"` // null when it does not jump
	Direction Direction  `json:"direction"`
	Rank      int        `json:"rank"`
}

// Direction is how a metric left its past.
type Direction string

// The directions.
const (
	Up       Direction = "up"
	Down     Direction = "down"
	Vanished Direction = "vanished" // it had values before the onset and has none since
	Appeared Direction = "appeared" // it had none before and has some since
	Steady   Direction = "steady"   // it did not leave it: the score is 0
)

// Skipped is a series, or with an empty metric an entity, that was not looked at.
type Skipped struct {
	Entity string `json:"entity"`
	Metric string `json:"metric"`
	Reason Reason `json:"reason"`
}

// Reason says why something was not looked at.
type Reason string

// The reasons.
const (
	NotNamed     Reason = "not_named_entity_metric" // the column is not called entity_metric
	TooFewPoints Reason = "too_few_points"          // of a baseline, or since the onset
	Constant     Reason = "constant"                // in both tables, and the same
	NoBaseline   Reason = "only_in_anomalous"       // the normal table has no such column
	NoSeries     Reason = "no_series"               // in the graph or among the kinds, but in neither table
)
