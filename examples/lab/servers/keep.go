package servers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// keptFile says that the lab outlives who made it, and what is in it.
const keptFile = "kept"

type kept struct {
	Image string     `json:"image"`
	Hosts []keptHost `json:"hosts"`
}

type keptHost struct {
	Name    string   `json:"name"`
	Address string   `json:"address"`
	Leader  int      `json:"leader"`
	Groups  []string `json:"groups"`
}

// Keep lets the lab go on when this process has ended, until somebody attaches
// to it and closes it. To be said again after a change of hosts.
func (l *Lab) Keep() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := kept{Image: l.image}
	for _, h := range l.hosts {
		k.Hosts = append(k.Hosts, keptHost{Name: h.Name, Address: h.Address, Leader: h.leader, Groups: h.groups})
	}
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	// Put in place whole: another command may be reading it.
	next, err := os.CreateTemp(l.Dir, keptFile+"-")
	if err != nil {
		return fmt.Errorf("keep the lab: %w", err)
	}
	_, err = next.Write(text)
	if err = errors.Join(err, next.Close()); err == nil {
		err = os.Rename(next.Name(), filepath.Join(l.Dir, keptFile))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keep the lab: %w", err), os.Remove(next.Name()))
	}
	return nil
}

// Kept returns the names of the labs that were kept, running or not. Only root
// is told: to others their folder looks empty.
func Kept(cache string) ([]string, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("labs belong to root: run it as root")
	}
	files, err := filepath.Glob(filepath.Join(labsDir(cache), prefix+"*", keptFile))
	var out []string
	for _, f := range files {
		out = append(out, filepath.Base(filepath.Dir(f)))
	}
	return out, err
}

// Attach returns a lab that was kept. Its hosts can be entered and given disks
// and limits, and the whole be closed; they cannot be frozen or renewed.
func Attach(cache, name string) (*Lab, error) {
	l := &Lab{Name: name, Dir: filepath.Join(labsDir(cache), name)}
	text, err := os.ReadFile(filepath.Join(l.Dir, keptFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no lab %q", name)
	}
	if err != nil {
		return nil, err
	}
	var k kept
	if err := json.Unmarshal(text, &k); err != nil {
		return nil, fmt.Errorf("read lab %s: %w", name, err)
	}
	l.image, l.sshKey = k.Image, filepath.Join(l.Dir, "id_ed25519")
	for _, h := range k.Hosts {
		l.hosts = append(l.hosts, &Host{
			Name: h.Name, Address: h.Address, Root: filepath.Join(l.Dir, h.Name, "root"), lab: l, leader: h.Leader, groups: h.Groups,
		})
	}
	return l, nil
}

// Hosts returns the hosts in the order of their making.
func (l *Lab) Hosts() []*Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*Host(nil), l.hosts...)
}

// Host returns the host of the name.
func (l *Lab) Host(name string) (*Host, error) {
	for _, h := range l.Hosts() {
		if h.Name == name {
			return h, nil
		}
	}
	return nil, fmt.Errorf("the lab has no host %q", name)
}

// Running says whether process 1 of the host is alive.
func (h *Host) Running() bool {
	pid, err := recordedPID(filepath.Join(h.lab.Dir, pidsDir, fmt.Sprint(h.leader)))
	return err == nil && pid == h.leader
}
