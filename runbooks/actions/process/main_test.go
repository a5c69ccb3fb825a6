package process_test

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// TestMain undoes what nohup(1) does to the tests: the processes that they start
// would ignore a hang-up.
func TestMain(m *testing.M) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	os.Exit(m.Run())
}
