package controller

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"io"
	"strings"
	"sync"
	"time"
)

// idMaker returns ids that sort by time and never repeat: 48 bits of
// milliseconds and 72 random bits, in lower-case base32. The source of
// randomness is injected, so that a simulation can repeat itself.
func idMaker(now func() time.Time, source io.Reader) func() string {
	var mu sync.Mutex // guards source
	encoding := base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)
	return func() string {
		var raw [15]byte
		var ms [8]byte
		binary.BigEndian.PutUint64(ms[:], uint64(now().UnixMilli()))
		copy(raw[:6], ms[2:])
		mu.Lock()
		_, err := io.ReadFull(source, raw[6:])
		mu.Unlock()
		if err != nil {
			_, _ = rand.Read(raw[6:]) // never fails (crypto/rand), and an id must never repeat
		}
		return encoding.EncodeToString(raw[:])
	}
}

// agentQueueTag stands before the name of the agent that a queue is for.
const agentQueueTag = "agent:"

func cutAgent(queue string) (string, bool) { return strings.CutPrefix(queue, agentQueueTag) }
