package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// fillIn asks the person at the terminal for each input that has no value, one
// after the other: the controller says of each answer at once what is wrong with
// it, and what the next one can be chosen from. Without a terminal nobody is
// asked: the controller refuses what is missing, with all of it at once.
func (r *running) fillIn(ctx context.Context, runbook, target string, given map[string]string) error {
	if !r.people() || !terminal(r.env.stdin) || !terminal(r.env.stdout) {
		return nil
	}
	asked := map[string]bool{}
	for {
		form, err := r.client.Form(ctx, runbook, api.FormRequest{Target: target, Inputs: given})
		if err != nil {
			return err
		}
		next := slices.IndexFunc(form.Inputs, func(in api.FormInput) bool { return in.Problem != "" })
		if next < 0 {
			return nil
		}
		in := form.Inputs[next]
		if !askable(in) {
			return fault.New(fault.Invalid, "input %s %s", in.Name, in.Problem).WithHint("the inventory says it of %s: secondline inventory show %s", target, target)
		}
		if given[in.Name], err = r.askInput(ctx, in, given[in.Name] != "", asked[in.Name]); err != nil {
			return err
		}
		if given[in.Name] == "" { // nothing was typed
			delete(given, in.Name)
		}
		asked[in.Name] = true
	}
}

// askable reports whether a person can give the value: not a list, which only
// the inventory gives, and not where there is nothing to choose from.
func askable(in api.FormInput) bool {
	return !runbooks.InputType(in.Type).List() && (in.ChoicesFrom == "" || len(in.Choices) > 0)
}

// askInput asks for one value. What it takes is said once, what was wrong with
// the last answer each time.
func (r *running) askInput(ctx context.Context, in api.FormInput, wrong, again bool) (string, error) {
	w := r.env.stdout
	if !again {
		fmt.Fprintf(w, "%s: %s\n", r.paint.as(bold, oneLine(in.Name)), oneLine(orDash(in.Description)))
		say(w, "  %s", in.Accepts())
	}
	if wrong || again {
		fmt.Fprintln(w, "  "+r.paint.as(red, oneLine(in.Name+" "+in.Problem)))
	}
	fmt.Fprintf(w, "%s= ", oneLine(in.Name))
	line, err := readLine(ctx, r.env.stdin)
	if errors.Is(err, io.EOF) {
		fmt.Fprintln(w)
		return "", fault.New(fault.Denied, "input %s was not given, so nothing was asked for", in.Name).WithHint("give it as --input %s=…", in.Name)
	}
	return strings.TrimSpace(line), err
}
