// Package linux has the built-in probes of a Linux server, one file per
// subject. Each reads few files and starts few processes, because the host it
// looks at may be sick; each walk of a file system is bounded by time and runs
// niced. What could not be read is said to be so, never taken for "not there".
//
// The commands are those of GNU coreutils, findutils and grep, of iproute2, of
// systemd and of POSIX awk. A host with other tools (busybox) answers them with
// a usage error, which makes the fact failed, not wrong.
//
// The one thing to know: nothing from outside becomes part of a command text.
// Scripts are constants; paths and names are arguments of their own, and names
// that come back are separated by NUL wherever a file name may hold any byte.
package linux

import (
	"context"
	"errors"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/remote"
)

// Probes returns the built-in probes, which take the times of their readings
// from now.
func Probes(now func() time.Time) []diagnostics.Probe {
	subjects := []probe{
		diskFilesystems(), diskUsage(), diskGrowers(), diskDeletedOpen(), diskInodeDirs(), dirUsage(),
		fileStat(), logTail(),
		unitStatus(), unitFailed(), unitJournal(), configValidate(),
		processMatch(), processTop(),
		netListeners(), hostLoad(), httpGet(), packageUpdates(),
		kernelLog(), memoryDetail(), diskMounts(), unitMemory(), raidStatus(),
		coreDumps(), journalUsage(), bootHistory(), logrotateState(), fstabCheck(),
		diskIO(), mountAnswers(), diskSMART(), quotaReport(), poolUsage(), memoryNodes(),
		hostCPU(), hostCeilings(), processStates(), processFiles(), kernelInstalled(), kernelSettings(),
		unitSettings(), unitDependents(), unitTimers(), unitThrottling(), unitSwitchedOff(), unitSockets(), hostLocale(), processProgress(), packageState(), packageChanges(),
		netCounters(), netTCP(), firewallRules(), dnsServers(), dnsOverrides(), dnsName(),
		tlsFile(), tlsServed(), tlsKeyPair(), webConfig(), webErrors(), logRecent(), timeSync(),
		unitAccess(), unitExporters(), accountState(), sshModes(), sudoState(),
	}
	all := make([]diagnostics.Probe, len(subjects))
	for i, p := range subjects {
		p.now = now
		all[i] = &p
	}
	return all
}

// probe is one subject: what it declares, how it reads, how it understands.
type probe struct {
	spec  diagnostics.Spec
	now   func() time.Time
	read  func(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error
	parse func(in readings) (diagnostics.Value, error)
}

var (
	_ diagnostics.Probe           = (*probe)(nil)
	_ diagnostics.ArgumentChecker = (*probe)(nil)
)

// Spec implements diagnostics.Probe.
func (p *probe) Spec() diagnostics.Spec { return p.spec }

// CheckArgument implements diagnostics.ArgumentChecker; an input has the same
// meaning in every probe that has one of its name.
func (p *probe) CheckArgument(input, value string) error {
	var err error
	switch input {
	case argMount, argPath, argPIDFile:
		err = checkPath(input, value)
	case argUnit:
		_, err = unitName(value)
	case argURL:
		err = checkURL(value)
	case argMatch:
		_, err = parseMatch(value)
	case argPID:
		err = checkPID(value)
	case argDevice:
		err = checkDevice(value)
	case argName:
		err = checkName(value)
	case argAddress:
		err = checkAddress(value)
	case argUser:
		err = checkUser(value)
	}
	return err
}

// Read implements diagnostics.Probe. Arguments that are malformed are an error
// of kind Invalid, and those that point at secrets one of kind Denied; nothing
// was read then.
func (p *probe) Read(ctx context.Context, r remote.Runner, args diagnostics.Args) ([]diagnostics.Raw, error) {
	if err := checkNames(p.spec.Inputs, args); err != nil {
		return nil, err
	}
	rec := diagnostics.Record(r, p.now)
	if err := p.read(ctx, rec, args); err != nil {
		return nil, err
	}
	return rec.Raws(), nil
}

// Parse implements diagnostics.Probe.
func (p *probe) Parse(raws []diagnostics.Raw, args diagnostics.Args) (diagnostics.Value, diagnostics.Status, error) {
	value, err := p.parse(readings{raws: raws, args: args})
	if err == nil {
		return value, diagnostics.OK, nil
	}
	if e, ok := errors.AsType[*cannotTellError](err); ok {
		return value, e.status, err
	}
	return nil, diagnostics.Failed, err
}
