package servers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// LimitMemory bounds the memory of the whole host from outside, as a hypervisor
// does; 0 takes the bound away.
func (h *Host) LimitMemory(bytes int64) error {
	if bytes <= 0 {
		return h.limit("memory", map[string]string{"memory.limit_in_bytes": "-1", "memory.max": "max"})
	}
	text := strconv.FormatInt(bytes, 10)
	return h.limit("memory", map[string]string{"memory.limit_in_bytes": text, "memory.max": text})
}

// LimitTasks bounds the number of processes and threads of the whole host from
// outside; 0 takes the bound away.
func (h *Host) LimitTasks(n int) error {
	if n <= 0 {
		return h.limit("pids", map[string]string{"pids.max": "max"})
	}
	return h.limit("pids", map[string]string{"pids.max": strconv.Itoa(n)})
}

// limit writes to whichever of the files the host's control groups have: the
// names differ between the two versions of control groups.
func (h *Host) limit(what string, values map[string]string) error {
	written := false
	for _, group := range h.groups {
		for name, value := range values {
			file := filepath.Join(group, name)
			if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err := os.WriteFile(file, []byte(value), 0o600); err != nil {
				return fmt.Errorf("limit the %s of %s: %w", what, h.Name, err)
			}
			written = true
		}
	}
	if !written {
		return fmt.Errorf("this machine cannot limit the %s of a host: no control group has %s", what, what)
	}
	return nil
}
