// Package main is orders, the application of the lab's company: a small web
// service on PostgreSQL and Redis, and the load on it. It is honest: what breaks
// beneath it is logged in the words of what broke, answered with 5xx, counted,
// and never hidden. It knows nothing of Secondline.
//
// The one thing to know: it lives through every dependency being away, and ends
// only for its own configuration, its log file or its port.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

const usage = `orders serve      the web service, configured by the environment:
                    ORDERS_DATABASE   address of PostgreSQL, postgres://…   (required)
                    ORDERS_CACHE      host:port of Redis                    (required)
                    ORDERS_LOG        log file, opened again on SIGHUP      (required)
                    ORDERS_SPOOL      folder of the receipts                (required)
                    ORDERS_LISTEN     where it listens                      (:8080)
                    ORDERS_POOL       connections to the database, 1 to 500 (10)
                    ORDERS_LOG_LEVEL  debug, info, warn or error            (info)
orders traffic    the load: see orders traffic --help`

// Exit statuses beside 0. systemd counts both as failures.
const (
	exitFailed = 1
	exitUsage  = 2
)

// usageError is the caller's mistake: arguments or environment.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx, os.Args[1:], os.Environ(), os.Stderr)
	stop()
	os.Exit(exitStatus(err, os.Stderr))
}

// exitStatus tells the user what went wrong and returns the status to end with.
func exitStatus(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "orders: %v\n", err)
	if _, mistake := errors.AsType[usageError](err); mistake {
		return exitUsage
	}
	return exitFailed
}

func run(ctx context.Context, args, environment []string, stderr io.Writer) error {
	if len(args) == 0 {
		return usageError{fmt.Errorf("say what to do\n%s", usage)}
	}
	switch args[0] {
	case "serve":
		if len(args) > 1 {
			return usageError{fmt.Errorf("serve takes no arguments, got %q", args[1:])}
		}
		return serveCommand(ctx, environment, stderr)
	case "traffic":
		return trafficCommand(ctx, args[1:], stderr)
	case "help", "--help", "-h":
		fmt.Fprintln(stderr, usage)
		return nil
	default:
		return usageError{fmt.Errorf("unknown command %q\n%s", args[0], usage)}
	}
}

func serveCommand(ctx context.Context, environment []string, stderr io.Writer) error {
	c, err := parseConfig(environment)
	if err != nil {
		return usageError{err}
	}
	file, err := openLog(c.log, stderr)
	if err != nil {
		return err
	}
	defer file.Close()
	rotation, stop := context.WithCancel(ctx)
	var rotating sync.WaitGroup
	rotating.Go(func() { reopenOnHangUp(rotation, file) })
	defer rotating.Wait()
	defer stop()
	log := slog.New(slog.NewTextHandler(file, &slog.HandlerOptions{Level: c.level}))
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.listen)
	if err == nil {
		err = serve(ctx, c, listener, log)
	}
	if err != nil {
		log.ErrorContext(ctx, "orders ended", "error", err)
	}
	return err
}

// reopenOnHangUp has the log opened again at every SIGHUP until ctx ends.
func reopenOnHangUp(ctx context.Context, file *logFile) {
	hangUps := make(chan os.Signal, 1)
	signal.Notify(hangUps, syscall.SIGHUP)
	defer signal.Stop(hangUps)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangUps:
			file.reopen()
		}
	}
}
