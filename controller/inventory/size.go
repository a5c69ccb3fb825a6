package inventory

import (
	"path"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

// size is a number of bytes, written plainly or with a unit: 512, 20MiB, 2GB.
type size int64

// DecodeYAML implements yamlx.Decoder.
func (s *size) DecodeYAML(n *yamlx.Node) error {
	text, ok := n.Scalar()
	if !ok {
		return n.Errorf("a size such as 20MiB is needed")
	}
	digits := strings.TrimRight(text, "KMGTiB")
	factor, known := map[string]int64{
		"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	}[text[len(digits):]]
	v, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if err != nil || !known || v <= 0 || v > (1<<62)/factor {
		return n.Errorf("size %q: a positive number of bytes, KiB, MiB, GiB, TiB (or KB, MB, GB, TB) is needed", text)
	}
	*s = size(v * factor)
	return nil
}

func cleanAbsolute(p string) bool {
	return strings.HasPrefix(p, "/") && path.Clean(p) == p && !strings.ContainsAny(p, "\x00\n")
}
