package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/sshsig"
	"github.com/secondline-ops/secondline/runbooks"
)

func runbookSign(env *environment) *cobra.Command {
	var keyFile string
	cmd := &cobra.Command{
		Use: "sign FILE…", Short: "Sign runbooks with an SSH key", Args: atLeastOne(),
		Long: `Writes FILE.sig beside each FILE: what "ssh-keygen -Y sign -n secondline-runbook" writes. The key is an Ed25519 key of OpenSSH.
One with a passphrase, and one of which only KEY.pub is there, signs by the SSH agent (SSH_AUTH_SOCK).

A controller with runbook_signers in its configuration loads from folders and commits only what one of these signers has
signed.`,
		Example: `  secondline runbook sign --key ~/.ssh/id_ed25519 my-runbooks/rotate.yaml
  ssh-keygen -Y sign -n secondline-runbook -f ~/.ssh/id_ed25519 my-runbooks/rotate.yaml    # the same`,
		ValidArgsFunction: completeYAML,
	}
	cmd.Flags().StringVar(&keyFile, "key", "", "private key to sign with")
	_ = cmd.MarkFlagRequired("key")
	_ = cmd.MarkFlagFilename("key")
	out := addOutput(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		key, err := sshsig.ReadKey(keyFile, env.getenv("SSH_AUTH_SOCK"))
		if err != nil {
			return err
		}
		var list signatures
		for _, file := range args {
			data, err := readRunbookFile(env, file)
			if err != nil {
				return err
			}
			armored, err := key.Sign(runbookNamespace, data)
			if err != nil {
				return err
			}
			if err := replaceFile(file+signatureSuffix, armored); err != nil {
				return err
			}
			list.Files = append(list.Files, signature{File: file, Signature: file + signatureSuffix, Key: key.Public().Fingerprint()})
		}
		return out.write(env.stdout, list, func(w io.Writer) {
			for _, s := range list.Files {
				say(w, "%s signs %s with %s", s.Signature, s.File, s.Key)
			}
		})
	}
	return cmd
}

func completeYAML(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return []cobra.Completion{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// signatures is what sign wrote, and what verify found.
type signatures struct {
	Files []signature `json:"files"`
}

// signature is that of one file.
type signature struct {
	File      string `json:"file"`
	Signature string `json:"signature"`
	Key       string `json:"key,omitempty"`    // fingerprint
	Signer    string `json:"signer,omitempty"` // as the allowed signers have it
	// ValidAfter and ValidBefore bound the key; zero does not.
	ValidAfter  time.Time `json:"valid_after,omitzero"`
	ValidBefore time.Time `json:"valid_before,omitzero"`
	Problem     string    `json:"problem,omitempty"` // why it is not accepted
}

func readRunbookFile(env *environment, file string) ([]byte, error) {
	if file == "-" {
		return nil, usageError{fault.New(fault.Invalid, "a signature lies beside its file, and standard input has no place")}
	}
	data, err := readInput(env, file)
	if err == nil && len(data) > runbooks.MaxFileBytes {
		return nil, fault.New(fault.TooLarge, "%s has more than %d bytes", file, runbooks.MaxFileBytes)
	}
	return data, err
}

// replaceFile writes the file whole or not at all.
func replaceFile(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".signature-*")
	if err != nil {
		return fmt.Errorf("write the signature: %w", err)
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close()) // for everybody, as its runbook
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the signature: %w", err), os.Remove(tmp.Name()))
	}
	return nil
}

func runbookVerify(env *environment) *cobra.Command {
	var signersFile string
	cmd := &cobra.Command{
		Use: "verify FILE…", Short: "Check the signatures of runbooks: who signed, and whether they may", Args: atLeastOne(),
		Long: `Reads FILE.sig beside each FILE. --signers is a file of allowed signers as ssh-keygen(1) describes it; its namespaces and dates
count, and only keys of the kind Ed25519.

Exit code 0 when an allowed signer signed each file as it is; 1 when a signature is for other bytes or another purpose, or is
damaged; 4 when a file is not signed, or by somebody who may not or not now; 2 when the allowed signers cannot be read.`,
		Example: `  secondline runbook verify --signers allowed_signers my-runbooks/*.yaml
  ssh-keygen -Y verify -n secondline-runbook -f allowed_signers -I ada@example.com -s rotate.yaml.sig < rotate.yaml    # the same`,
		ValidArgsFunction: completeYAML,
	}
	cmd.Flags().StringVar(&signersFile, "signers", "", "file of allowed signers")
	_ = cmd.MarkFlagRequired("signers")
	_ = cmd.MarkFlagFilename("signers")
	out := addOutput(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		signers, err := readSigners(signersFile)
		if err != nil {
			return err
		}
		var list signatures
		code := fault.ExitDone
		for _, file := range args {
			data, err := readRunbookFile(env, file)
			if err != nil {
				return err
			}
			s := signature{File: file, Signature: file + signatureSuffix}
			found, err := signerOf(os.DirFS(filepath.Dir(file)), filepath.Base(file), data, signers, time.Now())
			switch _, unvouched := errors.AsType[unvouchedError](err); {
			case err == nil:
				s.Key, s.Signer, s.ValidAfter, s.ValidBefore = found.Key.Fingerprint(), found.Principals, found.ValidAfter.UTC(), found.ValidBefore.UTC()
			case unvouched && code != fault.ExitFailed:
				s.Problem, code = err.Error(), fault.ExitRefused
			default:
				s.Problem = err.Error()
				if !unvouched {
					code = fault.ExitFailed
				}
			}
			list.Files = append(list.Files, s)
		}
		if err := out.write(env.stdout, list, func(w io.Writer) { showSignatures(w, env.paints(w), list) }); err != nil {
			return err
		}
		if code != fault.ExitDone {
			return exitCode(code)
		}
		return nil
	}
	return cmd
}

func showSignatures(w io.Writer, p paint, list signatures) {
	for _, s := range list.Files {
		if s.Problem != "" {
			fmt.Fprintln(w, p.as(red, oneLine("refused: "+s.Problem)))
			continue
		}
		text := fmt.Sprintf("%s is signed by %s with %s", s.File, s.Signer, s.Key)
		if !s.ValidAfter.IsZero() {
			text += ", valid from " + clock(s.ValidAfter)
		}
		if s.ValidBefore.IsZero() {
			text += ", which does not expire"
		} else {
			text += ", valid until " + clock(s.ValidBefore)
		}
		fmt.Fprintln(w, p.as(green, oneLine(text)))
	}
}
