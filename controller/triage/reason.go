package triage

// Reason names why a decision was taken. The list is closed: each has its
// sentence, and metrics use it as a label.
type Reason string

// The reasons.
const (
	NewIncident        Reason = "new_incident"
	SymptomIsBack      Reason = "symptom_is_back"
	WorldChanged       Reason = "world_changed"
	JobInFlight        Reason = "job_in_flight"
	AgentSilent        Reason = "agent_silent"
	EntityUnknown      Reason = "entity_unknown"
	NoAgent            Reason = "no_agent"
	AgentArrived       Reason = "agent_arrived"
	CannotDiagnose     Reason = "cannot_diagnose"
	TryAgainLater      Reason = "try_again_later"
	CauseUnknown       Reason = "cause_unknown"
	NoCure             Reason = "no_cure"
	CuresExhausted     Reason = "cures_exhausted"
	AttemptsExhausted  Reason = "attempts_exhausted"
	PolicyObserve      Reason = "policy_observe"
	PolicySuggest      Reason = "policy_suggest"
	CureFound          Reason = "cure_found"
	RunRequested       Reason = "run_requested"
	RunEnded           Reason = "run_ended"
	RunFailed          Reason = "run_failed"
	NeedsApproval      Reason = "needs_approval"
	WaitingForApproval Reason = "waiting_for_approval"
	ApprovalTimedOut   Reason = "approval_timed_out"
	PlanApproved       Reason = "plan_approved"
	AllowedByPolicy    Reason = "allowed_by_policy"
	RunVerified        Reason = "run_verified"
	RunNotVerified     Reason = "run_not_verified"
	OutcomeUnknown     Reason = "outcome_unknown"
	UndoStuck          Reason = "undo_stuck"
	MeasuredGone       Reason = "measured_gone"
	GoneByItself       Reason = "gone_by_itself"
	StillThere         Reason = "still_there"
	CannotVerify       Reason = "cannot_verify"
	SourceSaysResolved Reason = "source_says_resolved"
	SourceIsWrong      Reason = "source_says_resolved_but_symptom_holds"
	HeldUnverified     Reason = "held_unverified"
	WaitingForPerson   Reason = "waiting_for_person"
	ResolvedLongEnough Reason = "resolved_long_enough"
	ResolvedRecently   Reason = "resolved_recently"
	NothingToDo        Reason = "nothing_to_do"
	TargetBusy         Reason = "target_busy"
	RateUsedUp         Reason = "rate_used_up"
	WaveBefore         Reason = "wave_before"
	RunPaused          Reason = "run_paused"
	NoEnd              Reason = "no_end"
)

// Sentence explains the reason to a person; "" for an unknown one.
func (r Reason) Sentence() string { return sentences()[r] }

// Reasons returns the closed list.
func Reasons() []Reason {
	all := make([]Reason, 0, len(sentences()))
	for r := range sentences() {
		all = append(all, r)
	}
	return all
}

func sentences() map[Reason]string {
	return map[Reason]string{
		NewIncident:        "nothing has been looked at yet",
		SymptomIsBack:      "the symptom came back within the time in which it counts as the same fault",
		WorldChanged:       "something was changed since the last diagnosis, so it must be made again",
		JobInFlight:        "an agent is at work; its report is awaited",
		AgentSilent:        "the agent did not report in time",
		EntityUnknown:      "nothing in the inventory matches what the signal names",
		NoAgent:            "no agent reaches this entity",
		AgentArrived:       "an agent reaches this entity now, which none did when a person was needed",
		CannotDiagnose:     "the host could not be looked at, several times in a row",
		TryAgainLater:      "the last job ended without a finding and is tried again after a pause",
		CauseUnknown:       "no cause is at least likely, so nothing may be acted on",
		NoCure:             "the cause is known and has no runbook that may cure it",
		CuresExhausted:     "every cure for the causes that are at least likely was tried or ruled out",
		AttemptsExhausted:  "as many cures were tried as policy allows for one incident",
		PolicyObserve:      "policy allows to look, not to propose or act",
		PolicySuggest:      "policy allows to propose a plan, not to carry it out",
		CureFound:          "a runbook cures the cause; what it would change is being read from the host",
		RunRequested:       "a person asked for this runbook; what it would change is being read from the host",
		RunEnded:           "the run that a person asked for is over",
		RunFailed:          "the run that a person asked for did not do what it was to do",
		NeedsApproval:      "the plan changes something and needs a person's yes",
		WaitingForApproval: "the plan waits for a person's yes",
		ApprovalTimedOut:   "nobody answered in the time for approvals",
		PlanApproved:       "a person approved exactly this plan",
		AllowedByPolicy:    "the cause is proven and policy allows this runbook to act by itself",
		RunVerified:        "every step was verified; now the original symptom is measured",
		RunNotVerified:     "the run ended without being verified, so it cured nothing",
		OutcomeUnknown:     "a step may or may not have happened, and nothing could tell which",
		UndoStuck:          "a change could not be taken back",
		MeasuredGone:       "the symptom was measured gone and stayed gone",
		GoneByItself:       "the symptom was measured gone without any cure",
		StillThere:         "the symptom was measured and is still there",
		CannotVerify:       "whether the symptom is gone could not be told, several times in a row",
		SourceSaysResolved: "the source says resolved; the host is asked whether that is so",
		SourceIsWrong:      "the source says resolved, but the symptom was measured and is still there",
		HeldUnverified:     "the source says resolved, it stayed so, and nothing can be measured",
		WaitingForPerson:   "it waits for a person",
		ResolvedLongEnough: "it has been resolved for so long that a new signal would be a new incident",
		ResolvedRecently:   "it was resolved a short while ago and is kept open for a relapse",
		NothingToDo:        "there is nothing to do in this state",
		TargetBusy:         "another run holds the target or a lock; this one waits for it",
		RateUsedUp:         "this runbook has run as often as its rate allows; again and again is no cure",
		WaveBefore:         "the wave of targets before this one is not verified yet",
		RunPaused:          "a person paused the run; it goes on when somebody resumes it",
		NoEnd:              "deciding did not come to an end, which is a bug; a person has to look",
	}
}
