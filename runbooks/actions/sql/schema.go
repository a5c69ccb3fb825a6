package sql

import "github.com/secondline-ops/secondline/runbooks"

var _ runbooks.Schemer = Action{}

// Schema implements runbooks.Schemer.
func (Action) Schema() *runbooks.Form {
	statement := func(doc string) *runbooks.Form {
		return runbooks.EitherForm(doc+": text for PostgreSQL, a list of words for Redis",
			runbooks.TextForm(""), runbooks.ListForm("", runbooks.TextForm(""), 1, 0))
	}
	return runbooks.MappingForm("gives one statement to a database, through the client on its host",
		runbooks.Need("engine", runbooks.WordForm("the database", onPostgreSQL, onRedis)),
		runbooks.May("database", runbooks.TextForm("its name; of Redis its number, 0 unless said")),
		runbooks.May("user", runbooks.TextForm("the user of the database")),
		runbooks.May("password", runbooks.TextForm("of the user: secret/NAME")),
		runbooks.May("host", runbooks.TextForm("where it is, or the folder of its socket")),
		runbooks.May("port", runbooks.TextForm("its port")),
		runbooks.Need("statement", statement("what is done, constant")),
		runbooks.May("params", runbooks.ListForm("the values of $1, $2, … in the statements", runbooks.TextForm(""), 0, maxParams)),
		runbooks.May("check", statement("what is asked to see whether it holds, constant and only reading")),
		runbooks.May("expect", runbooks.MappingForm("what must come of it",
			runbooks.May("rows", runbooks.TextForm("how many rows the statement must be of; else it is rolled back")),
			runbooks.May("value", runbooks.TextForm("what the check must answer")))))
}
