// Package sqlstore is the storage contract written once in SQL for SQLite and
// PostgreSQL. What differs between the engines is a Dialect and whether
// Updates share one writer; store/sqlite and store/postgres open the engine and
// hand it over. It has no clock and starts one goroutine, the writer, which
// Close waits for.
//
// The one thing to know: on an engine with a single writer the functions given
// to Update run one after the other inside one transaction, each in its own
// savepoint, and all are answered by one commit. An Update inside an Update
// would wait for itself.
package sqlstore
