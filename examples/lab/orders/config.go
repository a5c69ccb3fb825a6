package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	prefix  = "ORDERS_"
	maxPool = 500
)

// config is what the environment says.
type config struct {
	listen   string
	database *pgxpool.Config
	cache    string // host:port
	log      string // path
	spool    string // path
	level    slog.Level
}

// parseConfig reads the variables that begin with ORDERS_. The error names every
// variable that is missing, unknown or wrong; it holds no password.
func parseConfig(environment []string) (config, error) {
	values := map[string]string{"ORDERS_LISTEN": ":8080", "ORDERS_POOL": "10", "ORDERS_LOG_LEVEL": "info"}
	required := []string{"ORDERS_DATABASE", "ORDERS_CACHE", "ORDERS_LOG", "ORDERS_SPOOL"}
	var errs []error
	for _, line := range environment {
		name, value, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if _, optional := values[name]; !optional && !slices.Contains(required, name) {
			errs = append(errs, fmt.Errorf("%s: unknown variable", name))
		}
		values[name] = value
	}
	for _, name := range required {
		if values[name] == "" {
			errs = append(errs, fmt.Errorf("%s is not set", name))
		}
	}
	c := config{listen: values["ORDERS_LISTEN"], cache: values["ORDERS_CACHE"], log: values["ORDERS_LOG"], spool: values["ORDERS_SPOOL"]}
	if _, _, err := net.SplitHostPort(c.listen); err != nil {
		errs = append(errs, fmt.Errorf("ORDERS_LISTEN: %w", err))
	}
	if _, _, err := net.SplitHostPort(c.cache); c.cache != "" && err != nil {
		errs = append(errs, fmt.Errorf("ORDERS_CACHE: %w", err))
	}
	pool, err := strconv.Atoi(values["ORDERS_POOL"])
	if err != nil || pool < 1 || pool > maxPool {
		errs = append(errs, fmt.Errorf("ORDERS_POOL: %q is no number from 1 to %d", values["ORDERS_POOL"], maxPool))
	}
	if err := c.level.UnmarshalText([]byte(values["ORDERS_LOG_LEVEL"])); err != nil {
		errs = append(errs, fmt.Errorf("ORDERS_LOG_LEVEL: %q is none of debug, info, warn, error", values["ORDERS_LOG_LEVEL"]))
	}
	if values["ORDERS_DATABASE"] != "" {
		if c.database, err = pgxpool.ParseConfig(values["ORDERS_DATABASE"]); err != nil {
			errs = append(errs, fmt.Errorf("ORDERS_DATABASE: %w", err))
		} else {
			c.database.MaxConns = int32(min(max(pool, 1), maxPool))
		}
	}
	return c, errors.Join(errs...)
}
