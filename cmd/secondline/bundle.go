package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/bundle"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/sshsig"
)

// defaultWidth is that of a page on which nobody knows the terminal's.
const defaultWidth = 100

func bundleCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "bundle", Short: "Fetch, read, verify and compare root-cause bundles",
		Long: `A bundle is the root-cause report with its evidence, as one archive. Only get needs a controller, and none asks a host.`,
	}
	return group(cmd, bundleShow(env), bundleVerify(env), bundleGet(env), bundleAnalyze(env), bundleDiff(env), bundleReplay(env), bundleRedact(env))
}

func bundleFrom(env *environment, path string) (b *bundle.Bundle, err error) {
	in := env.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fault.Wrap(fault.NotFound, err, "read bundle")
		}
		defer f.Close()
		in = f
	}
	return bundle.Read(bufio.NewReader(in))
}

func bundleShow(env *environment) *cobra.Command {
	var keyFiles []string
	cmd := &cobra.Command{
		Use: "show FILE", Short: "Show the report in a bundle", Args: exactly(1),
		Long: `Shows what the report says, and on top whether it can be relied on: a bundle that "bundle verify" would not pass is shown
with a warning (on standard error with -o json and -o yaml). Whether it verifies does not change the exit code; ask "bundle
verify" for that. report.html in the archive is the whole of the report.`,
		Example: `  secondline bundle show incident-12.tar.gz --key bundle-key.pub
  secondline bundle show incident-12.tar.gz -o json | jq .answer`,
	}
	out := addOutput(cmd)
	addKeys(cmd, &keyFiles)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		keys, err := publicKeys(keyFiles)
		if err != nil {
			return err
		}
		b, err := bundleFrom(env, args[0])
		if err != nil {
			return err
		}
		report, err := reportIn(b)
		if err != nil {
			return err
		}
		result, err := verifyBundle(b, keys)
		if err != nil {
			return err
		}
		warnings := warningsOf(result, args[0])
		if out.word != "table" {
			for _, warning := range warnings {
				say(env.stderr, "%s", warning)
			}
		}
		return out.write(env.stdout, report, func(w io.Writer) {
			for _, warning := range warnings {
				fmt.Fprintln(w, env.paints(w).as(red, oneLine(warning)))
			}
			if len(warnings) > 0 {
				fmt.Fprintln(w)
			}
			fmt.Fprintln(w, strings.TrimRight(clean(report.Terminal(width(w))), "\n"))
		})
	}
	return cmd
}

func reportIn(b *bundle.Bundle) (report bundle.Report, err error) {
	data, err := b.File("report.json")
	if err != nil {
		return report, err
	}
	if err := json.Unmarshal(data, &report); err != nil {
		return report, fault.Wrap(fault.Invalid, err, "read report.json")
	}
	return report, nil
}

// warningsOf is what somebody must know before they read the report in file.
func warningsOf(r bundle.Result, file string) []string {
	switch {
	case !r.Intact():
		return []string{"This bundle does not verify: " + r.String() + ".", "Do not rely on what it says. What is wrong: secondline bundle verify " + remote.Quote([]string{file})}
	case !r.Verified():
		return append([]string{"This bundle is not verified: " + r.String() + "."}, unvouched(r)...)
	}
	return nil
}

// unvouched says why nobody vouches for a bundle that is intact, and what to do.
func unvouched(r bundle.Result) []string {
	const where = "--key takes the controller's public key: bundle-key.pub in its data folder. Get it from those who run the controller, not from who sent the bundle."
	lines := []string{}
	switch r.Signature {
	case bundle.SignatureNone:
		lines = append(lines, "It is not signed: anybody may have made or changed it. What a controller writes is signed; fetch it again with: secondline bundle get N")
	case bundle.SignatureNoKey:
		lines = append(lines, "It is signed by "+r.Signer+", and that key was not given. "+where)
	case bundle.SignatureValid, bundle.SignatureBad:
		return lines
	}
	if len(r.Uncompared) > 0 {
		return append(lines, fmt.Sprintf("It was written by version %s, this is %s: %s could not be compared, and nothing else vouches for it. Verify it with a key, or with that version.",
			r.WrittenBy, version, strings.Join(r.Uncompared, ", ")))
	}
	return append(lines, "To accept that it only fits itself: secondline bundle verify --unsigned")
}

// width is how wide w is, if it is a terminal.
func width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n
		}
	}
	return defaultWidth
}

func bundleVerify(env *environment) *cobra.Command {
	var keyFiles []string
	var unsigned bool
	cmd := &cobra.Command{
		Use: "verify FILE", Short: "Check a bundle: the signature, every digest, every word of the report, every claim", Args: exactly(1),
		Long: `Checks the signature and the digest of each file, makes the report, the plans and the transcripts again of the records in the
bundle and compares them byte by byte, understands the raw bytes again, and asks every claim of the diagnosis again.

--key names the public key of the controller that is trusted: bundle-key.pub in its data folder. Get it from those who run the
controller, not from who sent the bundle. Everything else shows only that the bundle fits itself, and so can one that somebody
made up; without a signature by a given key it passes only with --unsigned, which is for bundles of "diagnose --bundle".

A bundle that makes no claim, since no diagnosis was made, passes when it is intact and signed; it says that nothing in it is
proven. What another version of Secondline wrote is compared in what it says, and not in how that is worded, which is said;
then only the signature vouches for the words, and --unsigned does not pass it.

Exit code 0 when it holds and is signed by a given key (or --unsigned), 1 when something does not hold, 2 when it cannot be
read, 4 when it holds and nobody who is trusted signed it.`,
		Example: `  secondline bundle verify incident-12.tar.gz --key bundle-key.pub
  secondline bundle verify found.tar.gz --unsigned`,
	}
	out := addOutput(cmd)
	addKeys(cmd, &keyFiles)
	cmd.Flags().BoolVar(&unsigned, "unsigned", false, "ask for no signature: pass whatever fits itself")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if unsigned && len(keyFiles) > 0 {
			return usageError{fault.New(fault.Invalid, "--key asks for a signature, --unsigned for none").WithHint("give one of them")}
		}
		keys, err := publicKeys(keyFiles)
		if err != nil {
			return err
		}
		b, err := bundleFrom(env, args[0])
		if err != nil {
			return err
		}
		result, err := verifyBundle(b, keys)
		if err != nil {
			return err
		}
		code := verifiedCode(result, unsigned)
		if err := out.write(env.stdout, result, func(w io.Writer) { showVerified(w, env.paints(w), result, code) }); err != nil {
			return err
		}
		if code != fault.ExitDone {
			return exitCode(code)
		}
		return nil
	}
	return cmd
}

func addKeys(cmd *cobra.Command, files *[]string) {
	cmd.Flags().StringArrayVar(files, "key", nil, "file with OpenSSH public keys (Ed25519) that are trusted; may be given several times")
}

func verifyBundle(b *bundle.Bundle, keys []sshsig.PublicKey) (bundle.Result, error) {
	// Causes of the bundle may ask for probes of plugins.
	probes, err := declaredProbes(bundledPlugins())
	if err != nil {
		return bundle.Result{}, err
	}
	return bundle.Verify(b, bundle.Check{Probes: probes, Keys: keys, Version: version}), nil
}

// verifiedCode is the exit code for what was found.
func verifiedCode(r bundle.Result, unsigned bool) int {
	switch {
	case !r.Intact():
		return fault.ExitFailed
	case r.Verified(), unsigned && r.VerifiedUnsigned():
		return fault.ExitDone
	}
	return fault.ExitRefused
}

func publicKeys(files []string) ([]sshsig.PublicKey, error) {
	var keys []sshsig.PublicKey
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fault.Wrap(fault.NotFound, err, "read public key")
		}
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			key, err := sshsig.ParsePublicKey([]byte(line))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			keys = append(keys, key)
		}
	}
	if len(files) > 0 && len(keys) == 0 {
		return nil, fault.New(fault.Invalid, "there is no public key in %s", strings.Join(files, ", "))
	}
	return keys, nil
}

func showVerified(w io.Writer, p paint, r bundle.Result, code int) {
	colour := red
	if code == fault.ExitDone {
		colour = green
	}
	fmt.Fprintln(w, p.as(colour, oneLine(r.String())))
	if r.Signer != "" {
		say(w, "  signed by %s", r.Signer)
	}
	for _, problem := range r.Problems {
		say(w, "  problem: %s", problem)
	}
	for _, c := range r.Claims {
		if !c.Holds {
			say(w, "  does not hold: %s", claimText(c))
		}
	}
	for _, name := range r.Uncompared {
		say(w, "  not compared, worded by version %s: %s", r.WrittenBy, name)
	}
	if code == fault.ExitRefused {
		for _, line := range unvouched(r) {
			say(w, "  %s", line)
		}
	}
}

func claimText(c diagnostics.Claim) string {
	text := c.Cause
	if c.Evidence != "" {
		text += "/" + c.Evidence
	}
	if c.That != "" {
		text += ": " + c.That
	}
	text += fmt.Sprintf("; stated %s, found %s", c.Stated, orDash(c.Found))
	if c.Why != "" {
		text += " (" + c.Why + ")"
	}
	return text
}

func bundleGet(env *environment) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "get N", Short: "Fetch the bundle of an incident from the controller", Args: exactly(1),
		Long: `A bundle is written when an incident is escalated. It is written to FILE whole or not at all; - is standard output.`,
		Example: `  secondline bundle get 12 -o incident-12.tar.gz
  secondline bundle get 12 -o - | secondline bundle show -`,
	}
	conn := addConnection(env, cmd)
	cmd.ValidArgsFunction = conn.completeIncidents()
	cmd.Flags().StringVarP(&path, "file", "o", "", "the file to write (incident-N.tar.gz when not given)")
	cmd.RunE = conn.ask(func(ctx context.Context, client *api.Client, args []string) error {
		if path == "-" {
			return client.Bundle(ctx, args[0], env.stdout)
		}
		in, err := client.FindIncident(ctx, args[0])
		if err != nil {
			return err
		}
		file := path
		if file == "" {
			file = fmt.Sprintf("incident-%d.tar.gz", in.Number)
		}
		if err := fetchBundle(ctx, client, in.ID, file); err != nil {
			return err
		}
		say(env.stdout, "wrote %s; read it: secondline bundle show %s", file, file)
		return nil
	})
	return cmd
}

func fetchBundle(ctx context.Context, client *api.Client, id, file string) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".bundle-*")
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	err = errors.Join(client.Bundle(ctx, id, tmp), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}
