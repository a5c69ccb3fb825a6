// Command secondline is second-line support that works by itself: a controller,
// an agent, and the tools around them, in one binary. This package only reads
// flags, environment and files, and wires the parts; it decides nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"syscall"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

// version is stamped by the build (Makefile).
var version = "dev"

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	env := &environment{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: withHome(os.Getenv)}
	return execute(ctx, env, os.Args[1:])
}

// withHome gives HOME where there is none, as for the service of an agent: systemd
// sets it only for services with User= (systemd.exec(5)).
func withHome(getenv func(string) string) func(string) string {
	return func(name string) string {
		value := getenv(name)
		if name != "HOME" || value != "" {
			return value
		}
		if u, err := user.Current(); err == nil { // reads /etc/passwd
			return u.HomeDir
		}
		return ""
	}
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, env *environment, args []string) int {
	root := newRoot(env)
	root.SetArgs(args)
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return fault.ExitDone
	}
	if code, ok := errors.AsType[exitCode](err); ok { // the command has said what there is to say
		return int(code)
	}
	complain(env, err)
	if _, ok := errors.AsType[usageError](err); ok {
		return fault.ExitUsage
	}
	return fault.ExitCode(fault.KindOf(err))
}

// complain shows an error the way a person needs it: what, where, what next.
func complain(env *environment, err error) {
	if list := yamlx.Errors(err); len(list) > 0 {
		for _, e := range list {
			fmt.Fprintln(env.stderr, clean(e.Detail()))
		}
		return
	}
	fmt.Fprintln(env.stderr, "secondline: "+clean(err.Error()))
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Hint != "" {
		fmt.Fprintln(env.stderr, "  hint: "+clean(f.Hint))
	}
}

// exitCode ends the program with a code and without a message.
type exitCode int //nolint:errname // it is one

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// usageError is a wrong call; its exit code is 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }
