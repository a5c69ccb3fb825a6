package company

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Access writes what another tool needs to reach the hosts: an ssh_config(5) and
// the inventory. It returns their paths.
func (c *Company) Access() (sshConfig, inventory string, err error) {
	known, err := os.ReadFile(c.Lab.KnownHosts())
	if err != nil {
		return "", "", err
	}
	names := string(known)
	var config strings.Builder
	for _, r := range roles() {
		names = strings.ReplaceAll(names, r.address+" ", r.host+","+r.address+" ")
		fmt.Fprintf(&config, "Host %s\n\tHostName %s\n\tHostKeyAlias %s\n", r.host, r.address, r.host)
		if r.host == "db1" {
			fmt.Fprintf(&config, "\tProxyJump jump1\n")
		}
	}
	knownFile := filepath.Join(c.Lab.Dir, "known_hosts_by_name")
	fmt.Fprintf(&config, "Host *\n\tUser root\n\tIdentityFile %s\n\tUserKnownHostsFile %s\n\tStrictHostKeyChecking yes\n\tBatchMode yes\n", c.Lab.SSHKey(), knownFile)
	text, err := fs.ReadFile(files, "files/mon/inventory.yaml")
	if err != nil {
		return "", "", err
	}
	sshConfig, inventory = filepath.Join(c.Lab.Dir, "ssh_config"), filepath.Join(c.Lab.Dir, "inventory.yaml")
	for name, text := range map[string]string{knownFile: names, sshConfig: config.String(), inventory: string(text)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return "", "", err
		}
	}
	return sshConfig, inventory, nil
}
