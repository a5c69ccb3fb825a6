package main

import (
	"encoding/json"
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
	raw, err := b.File("report.json")
	if err != nil {
		return "", verdict, err
	}
	var report bundle.Report
	if err := json.Unmarshal(raw, &report); err != nil {
		return "", verdict, fmt.Errorf("read the report: %w", err)
	}
	probes, err := builtinProbes()
	if err != nil {
		return "", verdict, err
	}
	keys, err := publicKeys([]string{keyFile})
	if err != nil {
		return "", verdict, err
	}
	return report.Terminal(defaultWidth), bundle.Verify(b, probes, keys), nil
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
