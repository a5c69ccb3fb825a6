package host

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/plugins"
)

// maxHandshake bounds what is kept of the first line of a plugin.
const maxHandshake = 1000

// handshake keeps the first line that a plugin writes, on which it says which
// protocol it speaks, so that one which is too new or too old can be told from
// one that is broken.
type handshake struct {
	io.ReadCloser

	mu   sync.Mutex
	line []byte // guarded by mu; without what follows the first line feed
	done bool   // guarded by mu
}

// Read implements io.Reader.
func (h *handshake) Read(b []byte) (int, error) {
	n, err := h.ReadCloser.Read(b)
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.done {
		line, _, ended := bytes.Cut(b[:n], []byte{'\n'})
		h.line = append(h.line, line[:min(len(line), maxHandshake-len(h.line))]...)
		h.done = ended || len(h.line) >= maxHandshake
	}
	return n, err
}

// otherProtocol returns why the plugin is refused for the protocol that it
// speaks, or nil when that is not the reason. The second field is the version,
// see go-plugin's docs/internals.md.
func (h *handshake) otherProtocol(name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	fields := strings.Split(string(h.line), "|")
	if !h.done || len(fields) < 5 {
		return nil
	}
	version, err := strconv.Atoi(fields[1])
	switch {
	case err != nil || version == plugins.ProtocolVersion:
		return nil
	case version > plugins.ProtocolVersion:
		return fault.New(fault.Denied, "plugin %s speaks protocol %d, which is newer than %d, all that this Secondline knows", name, version, plugins.ProtocolVersion).
			WithHint("install a newer Secondline on the agent, or an older version of the plugin")
	}
	return fault.New(fault.Denied, "plugin %s speaks protocol %d, which this Secondline no longer does; it speaks %d", name, version, plugins.ProtocolVersion).
		WithHint("install a newer version of the plugin")
}
