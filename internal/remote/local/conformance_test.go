package local_test

import (
	"testing"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
)

func TestConforms(t *testing.T) {
	t.Parallel()
	remotetest.Exercise(t, func(*testing.T) remote.Transport { return local.New() })
}
