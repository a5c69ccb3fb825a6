package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/bundle"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
)

// pseudonymKeyBytes is how long a key of pseudonyms is made.
const pseudonymKeyBytes = 32

type redactOptions struct {
	to, keyFile, item, total string
}

func bundleRedact(env *environment) *cobra.Command {
	var o redactOptions
	cmd := &cobra.Command{
		Use: "redact FILE -o OUT", Short: "Make a bundle that may be handed on: redacted again, smaller, with pseudonyms", Args: exactly(1),
		Long: `Makes another bundle of one: redacted with all that this version knows of secrets, cut to --max-item and --max (what is cut is
said in it), and with --pseudonyms without the names of hosts and accounts and without IP addresses. The other one is verified
before it is written, every claim included; when that fails, or anything else, nothing is written. It is unsigned, since it is
another bundle.

--pseudonyms names the file with the key; one that is not there is made. The same name has the same pseudonym in all bundles of
one key. What each stands for is written to OUT.names.json (mode 0600). Keep both: neither is in the bundle. The files of causes
and runbooks stay as they are. Names are those that the records hold, as whole words; what a host calls itself elsewhere stays.`,
		Example: `  secondline bundle redact incident-12.tar.gz -o for-the-vendor.tar.gz --pseudonyms our.key
  secondline bundle redact incident-12.tar.gz -o small.tar.gz --max-item 1MiB --max 8MiB`,
	}
	f := cmd.Flags()
	f.StringVarP(&o.to, "file", "o", "", "the file to write")
	f.StringVar(&o.keyFile, "pseudonyms", "", "put pseudonyms in place of names and addresses, by the key in this file")
	f.StringVar(&o.item, "max-item", "", "how large one file from outside may be, as 1MiB")
	f.StringVar(&o.total, "max", "", "how large all files together may be, before compression, as 20MiB")
	_ = cmd.MarkFlagRequired("file")
	cmd.RunE = func(_ *cobra.Command, args []string) error { return redactBundle(env, args[0], o) }
	return cmd
}

func redactBundle(env *environment, from string, o redactOptions) error {
	again := bundle.AgainOptions{Version: version}
	var err error
	for _, size := range []struct {
		text string
		to   *int
	}{{o.item, &again.Budget.ItemBytes}, {o.total, &again.Budget.TotalBytes}} {
		if *size.to, err = sizeOf(size.text); err != nil {
			return usageError{err}
		}
	}
	old, err := bundleFrom(env, from)
	if err != nil {
		return err
	}
	if o.keyFile != "" {
		if again.PseudonymKey, err = pseudonymKey(o.keyFile); err != nil {
			return err
		}
	}
	b, names, err := bundle.Again(old, again)
	if err != nil {
		return err
	}
	if err := stillHolds(old, b); err != nil {
		return err
	}
	if names != nil {
		if err := writeNames(o.to+".names.json", names); err != nil {
			return err
		}
	}
	if err := bundle.WriteFile(o.to, b, nil); err != nil {
		return err
	}
	showRedacted(env.stdout, o.to, b, names)
	return nil
}

func showRedacted(w io.Writer, to string, b *bundle.Bundle, names map[string]string) {
	say(w, "wrote %s, unsigned", to)
	if names != nil {
		say(w, "  %d pseudonyms; what they stand for is in %s.names.json", len(names), to)
	}
	for _, left := range b.Manifest().LeftOut {
		say(w, "  left out: %s", left)
	}
}

// stillHolds returns an error if fewer claims hold of the new bundle than of the
// old one: then the pseudonyms have changed what the bytes say.
func stillHolds(old, made *bundle.Bundle) error {
	before, err := verifyBundle(old, nil)
	if err != nil {
		return err
	}
	after, err := verifyBundle(made, nil)
	if err != nil {
		return err
	}
	if len(after.Problems) > 0 || after.Held() < before.Held() && len(made.Manifest().LeftOut) == len(old.Manifest().LeftOut) {
		return fault.New(fault.Conflict, "the new bundle would not hold: %s; the old one: %s", after, before).
			WithHint("a host or an account may be called like a word of the output; nothing was written")
	}
	return nil
}

func sizeOf(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := expr.ByteSize(text)
	return int(n), err
}

// pseudonymKey reads the key, or makes one that nobody else may read.
func pseudonymKey(file string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		key := make([]byte, pseudonymKeyBytes)
		if _, err := rand.Read(key); err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		data = []byte(hex.EncodeToString(key) + "\n")
		if err := writeSecret(file, data); err != nil {
			return nil, fmt.Errorf("keep the key: %w", err)
		}
		return key, nil
	}
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, err, "read the key of pseudonyms")
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(data)))
	if err != nil {
		return nil, fault.New(fault.Invalid, "%s holds no key of pseudonyms: want one line in hexadecimal", file)
	}
	return key, nil
}

// writeSecret makes a file that only its owner may read.
func writeSecret(file string, data []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func writeNames(file string, names map[string]string) error {
	data, err := json.MarshalIndent(map[string]any{"names": names}, "", "  ")
	if err != nil {
		return fmt.Errorf("write the names: %w", err)
	}
	if err := os.WriteFile(file, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the names: %w", err)
	}
	return nil
}
