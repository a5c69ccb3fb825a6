package main

import (
	"embed"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/internal/fault"
)

// skeletons are the first files of plugins.
//
//go:embed skeleton
var skeletons embed.FS

// goOfSkeleton is the Go that the plugin contract needs.
const goOfSkeleton = "1.26"

func pluginNew(env *environment) *cobra.Command {
	var language, dir string
	cmd := &cobra.Command{
		Use: "new NAME", Short: "Write a plugin to begin with, which verify takes as it is", Args: exactly(1),
		Long: `Writes a plugin with one probe that works: in Go with the contract of Secondline, or in Python in one file, which needs
python3-grpcio. Change what it reads, and keep trying it with "secondline plugin verify".`,
		Example: `  secondline plugin new rooms
  secondline plugin new rooms --language python --dir plugins`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&language, "language", "go", "go or python")
	cmd.Flags().StringVar(&dir, "dir", ".", "folder to write it to")
	_ = cmd.MarkFlagDirname("dir")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		name := args[0]
		if !regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`).MatchString(name) {
			return usageError{fault.New(fault.Invalid, "%q is no name of a plugin", name).WithHint("as in rooms: a small letter, then small letters, digits and _")}
		}
		switch language {
		case "go":
			folder := filepath.Join(dir, name)
			for from, to := range map[string]string{"main.go.txt": "main.go", "go.mod.txt": "go.mod"} {
				if err := writeSkeleton(from, filepath.Join(folder, to), name); err != nil {
					return err
				}
			}
			say(env.stdout, "%s is written; in there: go get github.com/secondline-ops/secondline/plugins && go build -o %s . && secondline plugin verify ./%[2]s", folder, name)
		case "python":
			file := filepath.Join(dir, name+".py")
			if err := writeSkeleton("plugin.py", file, name); err != nil {
				return err
			}
			if err := os.Chmod(file, 0o755); err != nil { //nolint:gosec // it is a program
				return err
			}
			say(env.stdout, "%s is written; try it: secondline plugin verify --plain %[1]s", file)
		default:
			return usageError{fault.New(fault.Invalid, "there is no skeleton in %q", language).WithHint("go or python")}
		}
		return nil
	}
	return cmd
}

func writeSkeleton(from, to, name string) error {
	data, err := skeletons.ReadFile("skeleton/" + from)
	if err != nil {
		return err
	}
	return writeNew(to, strings.NewReplacer("PLUGIN_NAME", name, "GO_VERSION", goOfSkeleton).Replace(string(data)))
}
