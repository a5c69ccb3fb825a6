package main

import (
	"fmt"
	"io"
	"os"
	"sync"
)

// logFile is a log that logrotate may move away: reopen makes a new one. What it
// cannot write goes to the journal by stderr, with the reason once. Safe for
// concurrent use.
type logFile struct {
	path   string
	stderr io.Writer

	mu   sync.Mutex // guards below
	file *os.File
	last string // why the last write was refused; "" after one that was not
}

// openLog opens the log to append to it.
func openLog(path string, stderr io.Writer) (*logFile, error) {
	file, err := openToAppend(path)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return &logFile{path: path, stderr: stderr, file: file}, nil
}

func openToAppend(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
}

// Write writes one line. It never fails: a service does not stop for its log.
func (l *logFile) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.file.Write(line)
	if err == nil {
		l.last = ""
		return len(line), nil
	}
	if reason := err.Error(); reason != l.last {
		l.last = reason
		fmt.Fprintf(l.stderr, "orders: log: %v\n", err)
	}
	fmt.Fprintf(l.stderr, "%s", line)
	return len(line), nil
}

// reopen goes on in a new file at the same path; when that cannot be opened, in
// the old one.
func (l *logFile) reopen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	file, err := openToAppend(l.path)
	if err != nil {
		fmt.Fprintf(l.stderr, "orders: open the log again: %v\n", err)
		return
	}
	_ = l.file.Close() // every line was written without a buffer of ours
	l.file = file
}

// Close closes the file.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}
