package account

import (
	"testing"

	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
)

func TestEditorsKnowWhatIsRead(t *testing.T) {
	t.Parallel()
	actiontest.SameKeys(t, ".", Action{}.Schema())
}
