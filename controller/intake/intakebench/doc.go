// Package intakebench measures durable alert intake over loopback HTTP into
// SQLite with synchronous=FULL, beside Debian's prometheus-alertmanager taking
// the same alerts into memory:
//
//	go test -run '^$' -bench . ./controller/intake/intakebench
//
// It ends within a minute and prints alerts/s, p50-ms, p99-ms and worst-ms for
// each batch size and number of connections. Sender and our server share one
// process and its cores; the peer has a process of its own. There is nothing in
// it to import.
package intakebench
