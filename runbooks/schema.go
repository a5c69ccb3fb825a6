package runbooks

import (
	"slices"

	"github.com/secondline-ops/secondline/internal/expr"
)

// Schema returns the form of a whole runbook, with the parts of the actions
// that say theirs (Schemer) and the arguments of the probes. Encoded as JSON it
// is a schema that editors read.
func Schema(o ParseOptions) *Form {
	f := MappingForm("",
		Need("apiVersion", WordForm("the form that the runbook has", apiVersion)),
		Need("kind", WordForm("what the file is", kind)),
		Need("metadata", MappingForm("who the runbook is",
			Need("name", patternForm("unique in the catalogue: lower-case letters, digits and dashes", slugPattern)),
			Need("title", TextForm("what it does, in a few words")),
			May("owner", TextForm("the team that answers for it")),
			May("labels", EntriesForm("words to find it by", "", TextForm(""))),
		)),
		Need("spec", specForm(o.Probes)),
	)
	f.Dialect, f.Title = "https://json-schema.org/draft/2020-12/schema", "Runbook of Secondline"
	f.Defs = map[string]*Form{"steps": stepsForm(), "step": stepForm(o.Decoders), "choose": chooseForm(), "parallel": parallelForm(), "foreach": foreachForm(), "runbook": callForm()}
	return f
}

func patternForm(doc, pattern string) *Form {
	f := TextForm(doc)
	f.Pattern = pattern
	return f
}

func specForm(probes ProbeSpecs) *Form {
	return MappingForm("what the runbook does",
		May("cures", ListForm("ids of the causes that it cures; none: only people start it", patternForm("", slugPattern), 0, maxEntries)),
		May("inputs", EntriesForm("typed values; expressions read inputs.<name>", namePattern, inputForm())),
		May("targets", MappingForm("the hosts that a person may start it on at once",
			May("max", WholeForm("how many", 1, MaxTargets)),
			May("waves", ListForm("each begins when the one before is verified", EitherForm("a number of hosts, a part of them like 10%, or rest",
				WholeForm("", 1, MaxTargets), patternForm("", `^(rest|[0-9.]{1,6}%|[0-9]{1,4})$`)), 0, MaxWaves)))),
		May("limits", MappingForm("bounds of a run",
			May("rate", MappingForm("how often runs begin: a number of runs within a time, like 2/24h",
				May("per_target", patternForm("on one host", ratePattern)), May("overall", patternForm("on all hosts", ratePattern)))),
			May("locks", ListForm("names that a run holds alone; host is the target", TextForm(""), 0, maxEntries)),
			May("deadline", DurationForm("bound of the whole run: 30m unless said, at most 24h")),
		)),
		May("probes", EntriesForm("probes under local names, read again each time an expression uses them", namePattern, probeForm(probes))),
		May("require", ListForm("preconditions: each must be true before anything is changed", MappingForm("",
			Need("that", ExpressionForm("what must be true; cannot tell refuses")),
			May("say", TextForm("the sentence beside a plan when it is true")),
			Need("because", TextForm("the sentence for people when it is false")),
		), 0, maxEntries)),
		Need("steps", refForm("steps")),
		May("on_failure", refForm("steps")),
		May("always", refForm("steps")),
		May("autonomy", WordForm("the ceiling; the level in force is the controller's policy. approve unless said", Observe, Suggest, Approve, Auto)),
		May("escalate", MappingForm("for people, when it did not help",
			May("to", TextForm("whom")),
			May("collect", evidenceForm("what is saved for them", 0)),
			May("say", TextForm("what they should know")),
		)),
		May("deadman", DurationForm("how long a step that may cut its own access may be unheard of: 30s to 1h")),
		May("self_service", FlagForm("requesters may start it on what is theirs")),
	)
}

func inputForm() *Form {
	return MappingForm("",
		Need("type", WordForm("what it holds; argv and patterns are lists that only the inventory gives", InputTypes()...)),
		May("from", ExpressionForm("expression over the inputs before it, hypothesis, entity and target")),
		May("default", TextForm("the value when nobody gives one; not beside from")),
		May("max", TextForm("the most, of percent, int, bytes and duration")),
		May("pattern", TextForm("regular expression (RE2) that the whole of a string, path or unit matches")),
		May("choices", EitherForm("the only values", ListForm("", TextForm(""), 1, maxEntries), ExpressionForm("expression that gives them"))),
		May("description", TextForm("for the people who give it")),
	)
}

// probeForm names every probe, and for each the arguments that it takes.
func probeForm(specs ProbeSpecs) *Form {
	f := MappingForm("", Need("probe", WordForm("the probe", specs.Names()...)), May("with", EntriesForm("its arguments", "", TextForm(""))))
	for _, name := range specs.Names() {
		takes, _, _ := specs.Fields(name)
		arguments := MappingForm("")
		for _, field := range takes {
			arguments.Fields[field.Name] = TextForm(field.Doc)
			if field.Required {
				arguments.Needed = append(arguments.Needed, field.Name)
			}
		}
		then := &Form{Fields: map[string]*Form{"with": arguments}}
		if slices.ContainsFunc(takes, func(f expr.Field) bool { return f.Required }) {
			then.Needed = []string{"with"}
		}
		f.AllOf = append(f.AllOf, &Form{
			If: &Form{Fields: map[string]*Form{"probe": WordForm("", name)}, Needed: []string{"probe"}}, Then: then,
		})
	}
	return f
}

func evidenceForm(doc string, fewest int) *Form {
	return ListForm(doc, WordForm("", EvidenceNames()...), fewest, 0)
}

func elementTypes() []InputType { return slices.DeleteFunc(InputTypes(), InputType.List) }

func idForm() FormField {
	return Need("id", patternForm("unique in the runbook: lower-case letters, digits and dashes", slugPattern))
}

func stepsForm() *Form {
	return ListForm("what is done, in order", EitherForm("a step with one action, or a block",
		refForm("step"), refForm("choose"), refForm("foreach"), refForm("parallel"), refForm("runbook")), 1, MaxSteps)
}

func chooseForm() *Form {
	return MappingForm("the first branch whose condition is true", idForm(),
		Need("choose", ListForm("the branches; the last may be without if", MappingForm("",
			May("if", ExpressionForm("when the branch is taken; cannot tell refuses")),
			Need("steps", refForm("steps")),
		), 1, maxEntries)))
}

func parallelForm() *Form {
	return MappingForm("several branches at the same time", idForm(),
		Need("parallel", ListForm("the branches", MappingForm("", Need("steps", refForm("steps"))), 2, MaxAtOnce)))
}

func foreachForm() *Form {
	return MappingForm("its steps once for each element of a list", idForm(),
		Need("foreach", MappingForm("",
			Need("as", patternForm("the elements are read as each.<as>", namePattern)),
			Need("type", WordForm("of an element, which is checked like an input", elementTypes()...)),
			Need("in", ExpressionForm("expression that gives the list, when the plan is made")),
			Need("max", WholeForm("more elements refuse", 1, MaxTimes)),
			May("at_once", WholeForm("how many at the same time: 1 unless said", 1, MaxAtOnce)),
		)),
		Need("steps", refForm("steps")))
}

func callForm() *Form {
	return MappingForm("what another runbook does, with inputs of its own", idForm(),
		Need("runbook", MappingForm("",
			Need("name", patternForm("of the runbook", slugPattern)),
			Need("digest", patternForm("of its file, as it was reviewed; lint says what it is", `^sha256:[0-9a-f]{64}$`)),
			May("with", EntriesForm("its inputs, with ${...} over what templates read", namePattern, TextForm(""))),
		)))
}

// stepForm is a step with exactly one action, or word of the language.
func stepForm(decoders []Decoder) *Form {
	f := MappingForm("", idForm(),
		May("if", ExpressionForm("a condition: false skips the step, cannot tell refuses")),
		May("effect", WordForm("what it does to the target; a step may say more than its action, not less", Read, Write, Irreversible)),
		May("as", patternForm("the user that it runs as, by sudo -n; the login user unless said", userPattern)),
		May("timeout", DurationForm("bound of the act: 2m unless said, at most 1h")),
		May("preserve", EitherForm("evidence that is saved first", WordForm("", "none"), evidenceForm("", 1))),
		May("touches", ListForm("what it may change besides what its action says", touchForm(), 0, maxEntries)),
		May("verify", MappingForm("what must be true after it",
			May("that", ExpressionForm("expression that reads a probe; an action that checks itself needs none")),
			May("within", DurationForm("until when it must have become true: 1m unless said")),
			May("hold", DurationForm("for how long it must stay true: 0s unless said")),
		)),
		May("undo", EitherForm("how it is taken back, or that it is not", WordForm("", "none"),
			MappingForm("", Need("run", ArgvForm("the command that takes it back"))))),
		May("repeat", EitherForm("what to do when it is unknown whether it happened", WordForm("", "never", "always"),
			MappingForm("", Need("ask", ExpressionForm("expression that tells whether it happened; reads a probe"))))),
		May("retry", MappingForm("tried again when it was refuted",
			Need("count", WholeForm("tries after the first", 1, MaxRetries)),
			May("delay", DurationForm("before the second try")),
			May("backoff", &Form{Doc: "by which the delay grows each time, 1 to 10", Types: []string{"number"}, Least: new(1.0), Most: new(10.0)}),
		)),
		May("may_cut_access", FlagForm("it may cut off its own host: taken back when nothing is heard within deadman")),
		May("outputs", EntriesForm("values that it finds out, for the conditions behind it", namePattern, MappingForm("",
			Need("type", WordForm("", elementTypes()...)),
			Need("from", ExpressionForm("expression over result")),
		))),
	)
	actions := []string{}
	for _, a := range Actions(decoders) {
		f.Fields[a.Name] = a.Form
		actions = append(actions, a.Name)
	}
	return f.ExactlyOne(actions...)
}

func touchForm() *Form {
	kinds := wordsOf(TouchKinds())
	f := MappingForm("a kind and a name")
	for _, kind := range kinds {
		f.Fields[kind] = TextForm("")
	}
	return f.ExactlyOne(kinds...)
}

// ActionForm is what a step may do, with the form of its part.
type ActionForm struct {
	Name string
	Form *Form
}

// Actions returns the actions of the decoders, and behind them the words of the
// language that a step may be in place of an action.
func Actions(decoders []Decoder) []ActionForm {
	var all []ActionForm
	for _, d := range decoders {
		f := &Form{}
		if s, ok := d.(Schemer); ok {
			f = s.Schema()
		}
		all = append(all, ActionForm{d.Name(), f})
	}
	return append(all,
		ActionForm{StepWait, MappingForm("waits until a condition is true",
			Need("until", ExpressionForm("the condition, which reads a probe")),
			Need("within", DurationForm("until when it must have become true")),
			May("hold", DurationForm("for how long it must stay true: 0s unless said")),
		)},
		ActionForm{StepProbe, patternForm("reads a declared probe now, by its local name, for outputs", namePattern)},
		ActionForm{StepNote, TextForm("says something to those who read the run")},
		ActionForm{StepEscalate, MappingForm("ends the run here, for a person to go on",
			May("to", TextForm("whom")),
			Need("say", TextForm("what they should know")),
		)},
		ActionForm{StepApprove, MappingForm("the run begins only when people have said yes to its plan",
			Need("count", WholeForm("how many different people", 1, MaxApprovals)),
			May("role", WordForm("the least role that each has", ApprovingRoles()...)),
			May("within", DurationForm("after that a person is called")),
			May("say", TextForm("what they are to look at, with ${...}")),
		)},
	)
}
