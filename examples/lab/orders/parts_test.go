package main

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func environment(change ...string) []string {
	return append([]string{
		"PATH=/bin", "ORDERS_DATABASE=postgres://orders:hunter2@db1:5432/orders", "ORDERS_CACHE=cache1:6379",
		"ORDERS_LOG=/var/log/orders/orders.log", "ORDERS_SPOOL=/var/spool/orders",
	}, change...)
}

func TestConfigHasDefaults(t *testing.T) {
	t.Parallel()
	c, err := parseConfig(environment())
	if err != nil {
		t.Fatal(err)
	}
	if c.listen != ":8080" || c.database.MaxConns != 10 || c.level != 0 || c.cache != "cache1:6379" {
		t.Errorf("got %+v", c)
	}
	if c, err = parseConfig(environment("ORDERS_POOL=3", "ORDERS_LOG_LEVEL=debug")); err != nil || c.database.MaxConns != 3 || c.level >= 0 {
		t.Errorf("pool and level were not taken: %+v, %v", c, err)
	}
}

func TestConfigErrorNamesTheVariables(t *testing.T) {
	t.Parallel()
	for change, want := range map[string]string{
		"ORDERS_LISTEN=8080":    "ORDERS_LISTEN",
		"ORDERS_POOL=0":         "ORDERS_POOL",
		"ORDERS_POOL=many":      "ORDERS_POOL",
		"ORDERS_POOL=":          "ORDERS_POOL",
		"ORDERS_LOG_LEVEL=loud": "ORDERS_LOG_LEVEL",
		"ORDERS_CACHE=cache1":   "ORDERS_CACHE",
		"ORDERS_CACHE=":         "ORDERS_CACHE is not set",
		"ORDERS_LOG=":           "ORDERS_LOG is not set",
		"ORDERS_SPOOL=":         "ORDERS_SPOOL is not set",
		"ORDERS_DATABASE=":      "ORDERS_DATABASE is not set",
		"ORDERS_DATABASE=postgres://o:hunter2@[db1/": "ORDERS_DATABASE",
		"ORDERS_DATABSE=postgres://db1/":             "ORDERS_DATABSE: unknown variable",
	} {
		t.Run(change, func(t *testing.T) {
			t.Parallel()
			_, err := parseConfig(environment(change))
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %s and no password", err, want)
			}
		})
	}
	_, err := parseConfig(nil)
	for _, name := range []string{"ORDERS_DATABASE", "ORDERS_CACHE", "ORDERS_LOG", "ORDERS_SPOOL"} {
		if err == nil || !strings.Contains(err.Error(), name+" is not set") {
			t.Errorf("got %v, want all that is missing, %s too", err, name)
		}
	}
}

func TestExitStatusTellsWhoseMistakeItWas(t *testing.T) {
	t.Parallel()
	taken := listen(t)
	folder := t.TempDir()
	busy := environment("ORDERS_LISTEN="+taken.Addr().String(), "ORDERS_LOG="+filepath.Join(folder, "log"), "ORDERS_SPOOL="+folder)
	for name, c := range map[string]struct {
		args, environment []string
		want              int
		says              string
	}{
		"no variables":      {[]string{"serve"}, nil, exitUsage, "ORDERS_DATABASE is not set"},
		"no command":        {nil, nil, exitUsage, "orders serve"},
		"unknown command":   {[]string{"server"}, nil, exitUsage, `unknown command "server"`},
		"port is taken":     {[]string{"serve"}, busy, exitFailed, "address already in use"},
		"no folder of logs": {[]string{"serve"}, environment("ORDERS_LOG=" + filepath.Join(folder, "gone", "log")), exitFailed, "no such file or directory"},
		"no certificates":   {[]string{"traffic", "--ca", filepath.Join(folder, "ca")}, nil, exitUsage, "--ca"},
		"no rate":           {[]string{"traffic", "--rate", "0"}, nil, exitUsage, "--rate"},
		"no address":        {[]string{"traffic", "--url", "orders"}, nil, exitUsage, "--url"},
		"help":              {[]string{"help"}, nil, 0, "ORDERS_SPOOL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			if got := exitStatus(run(t.Context(), c.args, c.environment, &stderr), &stderr); got != c.want {
				t.Errorf("exit status %d, want %d", got, c.want)
			}
			if !strings.Contains(stderr.String(), c.says) {
				t.Errorf("it says %q, want %q", stderr.String(), c.says)
			}
		})
	}
}

func TestLogIsOpenedAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "orders.log")
	var stderr bytes.Buffer
	log, err := openLog(path, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	write := func(line string) {
		if _, err := log.Write([]byte(line)); err != nil {
			t.Error(err)
		}
	}
	write("one\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write("two\n") // until the signal comes, into the old one
	log.reopen()
	write("three\n")
	wantFile(t, path+".1", "one\ntwo\n")
	wantFile(t, path, "three\n")

	// A folder in its place: nothing can be opened, the old file goes on.
	if err := os.Rename(path, path+".2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	log.reopen()
	write("four\n")
	wantFile(t, path+".2", "three\nfour\n")
	if !strings.Contains(stderr.String(), "is a directory") {
		t.Errorf("stderr has %q, want the reason", stderr.String())
	}
}

func TestLogThatIsFullGoesToStderr(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	log, err := openLog("/dev/full", &stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for range 2 {
		if n, err := log.Write([]byte("lost?\n")); n != 6 || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
	}
	if got := stderr.String(); strings.Count(got, "lost?\n") != 2 || strings.Count(got, "no space left on device") != 1 {
		t.Errorf("stderr has %q, want both lines and the reason once", got)
	}
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v, want %q", filepath.Base(path), got, err, want)
	}
}

func TestSpoolIsCleanedOfOldReceiptsOnly(t *testing.T) {
	t.Parallel()
	s := spool{t.TempDir()}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, age := range map[string]time.Duration{"order-1.json": 61 * time.Second, "order-2.json": 59 * time.Second, "keep.json": time.Hour} {
		path := filepath.Join(s.folder, name)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, time.Time{}, now.Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.clean(now); n != 1 || err != nil {
		t.Errorf("removed %d, %v, want 1", n, err)
	}
	left, _ := filepath.Glob(filepath.Join(s.folder, "*"))
	if len(left) != 2 || filepath.Base(left[0]) != "keep.json" || filepath.Base(left[1]) != "order-2.json" {
		t.Errorf("left are %q", left)
	}
	if _, err := (spool{filepath.Join(s.folder, "gone")}).clean(now); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that is gone: %v", err)
	}
}

func TestReceiptThatIsCutShortIsRemoved(t *testing.T) {
	t.Parallel()
	s := spool{t.TempDir()}
	if err := os.Symlink("/dev/full", s.path(7)); err != nil { // opens, and refuses every byte
		t.Fatal(err)
	}
	if err := s.write(7, []byte("{}")); err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Lstat(s.path(7)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the receipt is still there: %v", err)
	}
}

func TestRepliesOfRedis(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string]string{"+PONG\r\n": "PONG", "$5\r\na\r\nbc\r\n": "a\r\nbc", "$0\r\n\r\n": "", ":12\r\n": "12", "+\r\n": ""} {
		if got, err := readReply(bufio.NewReader(strings.NewReader(reply))); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v, want %q", reply, got, err, want)
		}
	}
	_, err := readReply(bufio.NewReader(strings.NewReader("-OOM command not allowed when used memory > 'maxmemory'.\r\n")))
	if _, refused := errors.AsType[replyError](err); !refused || err.Error() != "OOM command not allowed when used memory > 'maxmemory'." {
		t.Errorf("a refusal: %v", err)
	}
	if _, err := readReply(bufio.NewReader(strings.NewReader("$-1\r\n"))); !errors.Is(err, errNotCached) {
		t.Errorf("a null: %v", err)
	}
	for _, reply := range []string{"", "\n", "+PONG", "+PONG\n", "$-2\r\n", "$x\r\n", "$3\r\nab\r\n", "$1\r\nab\r\n", "$9999999\r\n", "*0\r\n", "+" + strings.Repeat("x", maxReplyLine) + "\r\n"} {
		if got, err := readReply(bufio.NewReaderSize(strings.NewReader(reply), maxReplyLine)); err == nil || errors.Is(err, errNotCached) {
			t.Errorf("%q was read as %q", reply, got)
		}
	}
}

// FuzzReadReply: whatever comes, it neither panics nor returns more than the
// limit, and what was written as a bulk string is read as it was.
func FuzzReadReply(f *testing.F) {
	for _, seed := range []string{"+OK\r\n", "-ERR x\r\n", "$2\r\nab\r\n", "$-1\r\n", "*1\r\n$1\r\na\r\n", "$\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if got, err := readReply(bufio.NewReaderSize(bytes.NewReader(input), maxReplyLine)); len(got) > maxReplyBytes || (err != nil && got != nil) {
			t.Errorf("got %d bytes and %v", len(got), err)
		}
		bulk := bytes.TrimPrefix(encodeCommand([]string{string(input)}), []byte("*1\r\n"))
		if got, err := readReply(bufio.NewReader(bytes.NewReader(bulk))); err != nil || !bytes.Equal(got, input) {
			t.Errorf("%q was read as %q, %v", input, got, err)
		}
	})
}
