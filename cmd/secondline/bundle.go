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
	"github.com/secondline-ops/secondline/internal/sshsig"
)

// defaultWidth is that of a page on which nobody knows the terminal's.
const defaultWidth = 100

func bundleCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "bundle", Short: "Fetch, read and verify root-cause bundles",
		Long: `A bundle is the root-cause report with its evidence, as one archive. show and verify need no controller.`,
	}
	return group(cmd, bundleShow(env), bundleVerify(env), bundleGet(env))
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
	cmd := &cobra.Command{
		Use: "show FILE", Short: "Show the report in a bundle", Args: exactly(1),
		Long: `Shows what the report says; whether it is so, "bundle verify" says. report.html in the archive is the whole of it.`,
		Example: `  secondline bundle show incident-12.tar.gz
  secondline bundle show incident-12.tar.gz -o json | jq .answer`,
	}
	out := addOutput(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		b, err := bundleFrom(env, args[0])
		if err != nil {
			return err
		}
		data, err := b.File("report.json")
		if err != nil {
			return err
		}
		var r bundle.Report
		if err := json.Unmarshal(data, &r); err != nil {
			return fault.Wrap(fault.Invalid, err, "read report.json")
		}
		return out.write(env.stdout, r, func(w io.Writer) { fmt.Fprintln(w, strings.TrimRight(clean(r.Terminal(width(w))), "\n")) })
	}
	return cmd
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
	cmd := &cobra.Command{
		Use: "verify FILE", Short: "Check a bundle: every digest, every claim, the signature", Args: exactly(1),
		Long: `Recomputes the digest of each file, understands the raw bytes again and asks every claim of the diagnosis again. --key names
the public key of the controller that is trusted (bundle-key.pub in its data folder); without it the signature only says that the
bundle fits itself. With a key, a bundle that is not signed by it fails.

Exit code 0 when everything holds, else 1.`,
		Example: `  secondline bundle verify incident-12.tar.gz --key bundle-key.pub`,
	}
	out := addOutput(cmd)
	cmd.Flags().StringArrayVar(&keyFiles, "key", nil, "file with OpenSSH public keys (Ed25519) that are trusted; may be given several times")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		keys, err := publicKeys(keyFiles)
		if err != nil {
			return err
		}
		b, err := bundleFrom(env, args[0])
		if err != nil {
			return err
		}
		// Causes of the bundle may ask for probes of plugins.
		probes, err := declaredProbes(cmd.Context(), bundledPlugins(), env.unusable)
		if err != nil {
			return err
		}
		result := bundle.Verify(b, probes, keys)
		good := result.Intact() && (len(keys) == 0 || result.Signature == bundle.SignatureValid)
		if err := out.write(env.stdout, result, func(w io.Writer) { showVerified(w, env.paints(w), result, good) }); err != nil {
			return err
		}
		if !good {
			return exitCode(fault.ExitFailed)
		}
		return nil
	}
	return cmd
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

func showVerified(w io.Writer, p paint, r bundle.Result, good bool) {
	colour := red
	if good {
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
