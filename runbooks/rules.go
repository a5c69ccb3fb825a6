package runbooks

import "strings"

// The rules that the loader enforces, each with an id that errors carry
// (yamlx.Error.Rule) and Explain explains. docs/runbook-format.md numbers the
// same rules, with examples that tests read.
const (
	RuleVerified    = "SL001"
	RulePerson      = "SL002"
	RuleBounded     = "SL003"
	RuleYAML        = "SL004"
	RuleNoShell     = "SL005"
	RuleTargets     = "SL006"
	RuleRepeat      = "SL007"
	RulePrecheck    = "SL008"
	RuleSecrets     = "SL009"
	RuleForbidden   = "SL010"
	RulePreserve    = "SL011"
	RuleUnsupported = "SL012"
	RuleForm        = "SL013"
	RuleExpression  = "SL014"
	RuleInputs      = "SL015"
)

// Rules returns the ids of all rules, in order.
func Rules() []string {
	return []string{
		RuleVerified, RulePerson, RuleBounded, RuleYAML, RuleNoShell, RuleTargets, RuleRepeat, RulePrecheck,
		RuleSecrets, RuleForbidden, RulePreserve, RuleUnsupported, RuleForm, RuleExpression, RuleInputs,
	}
}

// Explain returns what a rule asks for, why, and how to follow it. The ids of
// YAML mistakes ("yaml-…") are all explained by RuleYAML.
func Explain(id string) (string, bool) {
	if strings.HasPrefix(id, "yaml-") {
		id = RuleYAML
	}
	text := ""
	switch strings.ToUpper(id) {
	case RuleVerified:
		text = `A step that writes is verified, and says how it is taken back.
An exit status of 0 says that a command ended, not that the fault is gone. So a step of effect write or irreversible has
verify.that, an expression that reads at least one declared probe; actions that check themselves (unit) need none. And it says
undo: either {run: [...]}, or none, so that nobody has to guess. Actions that take themselves back need no undo.`
	case RulePerson:
		text = `What cannot be taken back is decided by a person.
A runbook with a step of effect irreversible has an autonomy of approve or less, whatever was earned.
A step cannot declare a weaker effect than its action has. That of run is write; with one of the programs
` + strings.Join(Readers(), ", ") + ` it may say effect: read, since none of their arguments can write.
What cleanup deletes is irreversible, unless the inventory declares with a budget of the target that these files may go (the same
path, no other patterns, keep and min_age not lower): its owner has decided. Only a plan can tell; one that is irreversible waits for
a person, whatever the runbook's autonomy.`
	case RuleBounded:
		text = `Everything ends.
Every step has a time-out (default 2m, at most 1h), every verification a bound (within, default 1m), the run a deadline (default
30m, at most 24h). The worst case (evidence, every step, every verification and hold, every undo) must fit into the deadline.`
	case RuleYAML:
		text = `A runbook is read the same way by people and by every YAML reader.
Duplicate keys, unknown fields, tabs, tags, merge keys, YAML 1.1 booleans (yes, no, on, off), ambiguous numbers and aliases
that expand without bound are errors with their position.`
	case RuleNoShell:
		text = `No value becomes code.
Commands are lists of arguments; ${...} inside an element stays inside that element. A value may not stand in the script of sh -c
(or of another interpreter), may not choose the program, and may not go to a program that hands its arguments to a shell (ssh).
Give it behind the script: [sh, -c, 'stat -- "$1"', sh, "${inputs.path}"]; to the action script in its env.`
	case RuleTargets:
		text = `Never wider than planned.
A run has the one target of its hypothesis, or the one that a person names. With targets.max a person may name several, each with a
run and an approval of its own; targets.waves says in which order, and a wave begins only when the one before is verified.
A runbook that is called is pinned by the digest of its file.
An empty, unknown or grown target set refuses.`
	case RuleRepeat:
		text = `No step is blindly repeated.
When it is unknown whether a step happened, repeat decides: never (the default of a run that writes) leaves it to a person,
{ask: expression} asks a probe whether it happened, always is for steps that only read.`
	case RulePrecheck:
		text = `A precondition that cannot be told refuses.
Each require has that, an expression that reads probes, and because, the sentence for people when it is false. It is true, false or
cannot tell; only true lets the run begin. The engine asks again right before the first step.`
	case RuleSecrets:
		text = `A secret is named, and never written.
secret/NAME, as a whole value, stands for a secret of the agent: in env of a script, in headers of http, as the password of sql, and
nowhere else. The agent reads it when the step acts; plans, digests, journals, reports and recordings hold the reference alone, and what
a program prints of it is redacted. A value that is written out where the action takes a secret, under a name like PASSWORD or API_TOKEN,
is refused: everybody who may read the runbook would have it. What stands elsewhere, as in the arguments of run, is not judged.`
	case RuleForbidden:
		text = `A cure does nothing that its cause forbids.
A cause says in forbids what makes it worse: an action (process), or a deed of one (unit.restarted, run.rm, where the word after run is
the program). A runbook that names the cause in cures has no such step, and none such in a runbook that it calls, or as an undo. What
only starts another program (sudo, env, timeout, a shell's script) is looked through, and systemctl, service and kill count as the unit
or process that they act on. What a script puts together itself is not seen: a person has to read it.`
	case RulePreserve:
		text = `Evidence is saved before it is destroyed.
A step that restarts, kills, truncates or deletes lists in preserve what is saved first (journal, open-files, log-tail, processes),
or says preserve: none. When saving fails, the step does not run.`
	case RuleUnsupported:
		text = `What this version cannot do is refused, never ignored.
The word belongs to the language, but not to this version. Leaving it out silently would run a different runbook than was written.`
	case RuleForm:
		text = `A runbook has its form.
apiVersion secondline/v1, kind Runbook, metadata.name and title, at least one step; each step has a unique id and exactly one action.
Names are lower-case words with dashes; inputs and probes, which expressions read, are lower-case words with underscores.`
	case RuleExpression:
		text = `Every expression is checked when the runbook is loaded.
It reads only what is declared: inputs, hypothesis, entity, target, the probes by their local names, and step inside verify and
repeat. An undefined name, a wrong type or a wrong unit is an error with its position. Templates (${...}) read inputs, entity and
target only: what a hypothesis says comes in through a typed input.`
	case RuleInputs:
		text = `Inputs are typed, and their values checked before anything runs.
Each has a type and either from (an expression over hypothesis, entity and target), a default, or a person who gives it.
max bounds numbers, pattern (RE2, the whole value) bounds texts, choices (a list, or an expression that gives one) are the only values.
Lists (argv, patterns) come only from the inventory: the value must be, whole, a list that the entity declares.`
	}
	return text, text != ""
}
