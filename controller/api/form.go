package api

import (
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// InputInfo is an input of a runbook: all that a form needs to ask for it.
type InputInfo struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Default     string `json:"default"`
	Required    bool   `json:"required"` // it has no default; From may still give it
	Description string `json:"description"`

	From        string   `json:"from"`         // the expression that gives it, when nobody else does
	Max         string   `json:"max"`          // of numbers
	Pattern     string   `json:"pattern"`      // RE2 that the whole value matches
	Choices     []string `json:"choices"`      // the only values; none takes all
	ChoicesFrom string   `json:"choices_from"` // the expression that gives them: a Form has what came of it
}

// FormRequest asks for the form of a runbook on a target, with the values so far.
type FormRequest struct {
	Target string            `json:"target"`
	Inputs map[string]string `json:"inputs"`
}

// Form is what is to be filled in to start a runbook on a target.
type Form struct {
	Runbook string      `json:"runbook"`
	Target  string      `json:"target"`
	Inputs  []FormInput `json:"inputs"`
}

// FormInput is an input with its value.
type FormInput struct {
	InputInfo
	Value   string `json:"value"`   // given, derived or the default; "" with a problem
	Problem string `json:"problem"` // why it has no value, behind its name: "is missing"; "" when all is well
}

// DescribeInput is the wire form of an input.
func DescribeInput(i runbooks.Input) InputInfo {
	return InputInfo{
		Name: i.Name, Type: string(i.Type), Default: i.Default, Required: i.Required, Description: i.Description,
		From: i.From, Max: i.Max, Pattern: i.Pattern, Choices: list(i.Choices), ChoicesFrom: i.ChoicesFrom,
	}
}

// Accepts says in words what may be given: "percent, at most 99", "string, one
// of: security, all".
func (i InputInfo) Accepts() string {
	text := i.Type
	if i.Max != "" {
		text += ", at most " + i.Max
	}
	if i.Pattern != "" {
		text += ", matching " + i.Pattern
	}
	switch {
	case len(i.Choices) > 0:
		text += ", one of: " + strings.Join(i.Choices, ", ")
	case i.ChoicesFrom != "":
		text += ", one of what " + i.ChoicesFrom + " gives"
	}
	return text
}

func (s *Server) form(c *call) (any, error) {
	req, err := decode[FormRequest](c)
	if err != nil {
		return nil, err
	}
	if req.Target == "" {
		return nil, fault.New(fault.Invalid, "say on which target").WithField("target")
	}
	name := c.PathValue("name")
	bound, err := s.o.Service.PreviewRun(c.Context(), RunRequest{Runbook: name, Target: req.Target, Inputs: req.Inputs})
	if err != nil {
		return nil, err
	}
	return Form{Runbook: name, Target: req.Target, Inputs: convert(bound, func(in runbooks.BoundInput) FormInput {
		return FormInput{InputInfo: DescribeInput(in.Input), Value: in.Value, Problem: in.Problem}
	})}, nil
}
