package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
)

// linted is what lint found, for programs.
type linted struct {
	Files    int            `json:"files"`
	Mistakes []*yamlx.Error `json:"mistakes"`
}

// filesToLint puts in place of each folder the files in it that the controller
// would read, and names each file once.
func filesToLint(args []string, inFolder func(dir string) ([]string, error)) ([]string, error) {
	var files []string
	for _, arg := range args {
		found := []string{arg}
		if info, err := os.Stat(arg); err == nil && info.IsDir() {
			if found, err = inFolder(arg); err != nil {
				return nil, err
			}
			if len(found) == 0 {
				return nil, fault.New(fault.NotFound, "the folder %s has no YAML files", arg)
			}
		}
		for _, file := range found {
			if !slices.Contains(files, file) {
				files = append(files, file)
			}
		}
	}
	return files, nil
}

// topFiles are those of a folder of causes or checks.
func topFiles(dir string) ([]string, error) { return filepath.Glob(filepath.Join(dir, "*.yaml")) }

// runbookFiles are those of a folder of runbooks, at any depth.
func runbookFiles(dir string) ([]string, error) {
	files, err := runbooks.ListFiles(os.DirFS(dir))
	for i := range files {
		files[i] = filepath.Join(dir, files[i])
	}
	return files, err
}

// names refuses a name that is there already, among the files before and in
// what this binary ships, as the controller would.
type names struct {
	env    *environment
	what   string            // "cause" or "runbook"
	files  map[string]string // by the name in them
	source map[string][]byte // of the shipped ones, by file
}

func newNames(env *environment, what string) *names {
	return &names{env: env, what: what, files: map[string]string{}, source: map[string][]byte{}}
}

// ships notes what is in this binary.
func (n *names) ships(name, file string, source []byte) {
	n.files[name], n.source[file] = file, source
}

// add takes the name of one more file. The very file that was built into this
// binary is right where it was built from, and of no use elsewhere.
func (n *names) add(name, file string, data []byte) error {
	first, taken := n.files[name]
	source, shipped := n.source[first]
	switch {
	case taken && shipped && bytes.Equal(source, data):
		say(n.env.stderr, "%s is in this binary already, as it is; a controller takes no copy of it from a folder", file)
		return nil
	case taken && shipped:
		return fault.New(fault.Conflict, "%s %q is already in this binary, as %s", n.what, name, first).WithHint("give yours a name of its own")
	case taken:
		return fault.New(fault.Conflict, "%s %q is already in %s", n.what, name, first)
	}
	n.files[name] = file
	return nil
}

// lint checks each file and shows every mistake of all of them. Exit code 1
// says that there are some.
func lint(env *environment, out *format, files []string, check func(file string, data []byte) error) error {
	result := linted{Files: len(files), Mistakes: []*yamlx.Error{}}
	for _, file := range files {
		data, err := readInput(env, file)
		if err != nil {
			return err
		}
		if err := check(file, data); err != nil {
			found := yamlx.Errors(err)
			if len(found) == 0 { // it has no place in the file
				found = []*yamlx.Error{{File: file, Line: 1, Column: 1, Message: err.Error(), Hint: hintOf(err)}}
			}
			result.Mistakes = append(result.Mistakes, found...)
		}
	}
	if err := out.write(env.stdout, result, func(w io.Writer) {
		for _, e := range result.Mistakes {
			if _, err := io.WriteString(w, clean(e.Detail())+"\n"); err != nil {
				return
			}
			if e.Rule != "" {
				say(w, "rule: %s", e.Rule)
			}
		}
		if len(result.Mistakes) == 0 {
			say(w, "%d files, no mistakes", result.Files)
			return
		}
		say(w, "%d files, %d mistakes", result.Files, len(result.Mistakes))
	}); err != nil {
		return err
	}
	if len(result.Mistakes) > 0 {
		return exitCode(fault.ExitFailed)
	}
	return nil
}

// parsedRunbook is what became of a text.
type parsedRunbook struct {
	data []byte
	rb   *runbooks.Runbook
	err  error
}

// parseAhead parses the files on all processors, and returns what gives the
// results: for one that has changed since, or was no file, it parses anew.
func parseAhead(files []string, o runbooks.ParseOptions) func(file string, data []byte) (*runbooks.Runbook, error) {
	ahead := make([]parsedRunbook, len(files))
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range next {
				if data, err := os.ReadFile(files[i]); err == nil {
					rb, err := runbooks.Parse(files[i], data, o)
					ahead[i] = parsedRunbook{data, rb, err}
				}
			}
		})
	}
	for i := range files {
		next <- i
	}
	close(next)
	workers.Wait()
	return func(file string, data []byte) (*runbooks.Runbook, error) {
		if i := slices.Index(files, file); i >= 0 && (ahead[i].rb != nil || ahead[i].err != nil) && bytes.Equal(ahead[i].data, data) {
			return ahead[i].rb, ahead[i].err
		}
		return runbooks.Parse(file, data, o)
	}
}
