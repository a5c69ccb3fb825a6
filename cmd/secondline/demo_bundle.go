package main

import (
	"fmt"
	"os"

	"github.com/secondline-ops/secondline/controller/bundle"
)

// judgeBundle reads a bundle as its reader would: the summary of its report,
// and what checking every claim and the signature again gave.
func judgeBundle(env *environment, path, keyFile string) (summary string, verdict bundle.Result, err error) {
	b, err := bundleFrom(env, path)
	if err != nil {
		return "", verdict, err
	}
	report, err := reportIn(b)
	if err != nil {
		return "", verdict, err
	}
	probes, err := builtinProbes()
	if err != nil {
		return "", verdict, err
	}
	keys, err := publicKeys([]string{keyFile})
	if err != nil {
		return "", verdict, err
	}
	return report.Terminal(defaultWidth), bundle.Verify(b, bundle.Check{Probes: probes, Keys: keys, Version: version}), nil
}

// extractReport puts the page of a bundle beside it, to be opened in a browser.
func extractReport(env *environment, path, to string) error {
	b, err := bundleFrom(env, path)
	if err != nil {
		return err
	}
	page, err := b.File("report.html")
	if err != nil {
		return err
	}
	return os.WriteFile(to, page, 0o600)
}

// copyKey keeps the public key of the demo's controller, whose folder goes away.
func copyKey(from, to string) error {
	key, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("keep the key: %w", err)
	}
	return os.WriteFile(to, key, 0o600)
}
