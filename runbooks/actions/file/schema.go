package file

import "github.com/secondline-ops/secondline/runbooks"

var _ runbooks.Schemer = Action{}

// Schema implements runbooks.Schemer.
func (Action) Schema() *runbooks.Form {
	return runbooks.MappingForm("edits one file: its text, a key, a line, its mode and owner, or that it is gone",
		runbooks.Need("path", runbooks.TextForm("of the file: absolute and clean")),
		runbooks.May("follow", runbooks.FlagForm("whether a link is followed to the file that it names")),
		runbooks.May("content", runbooks.TextForm("the whole text")),
		runbooks.May("set", runbooks.MappingForm("one key of a file of keys and values",
			runbooks.Need("key", runbooks.TextForm("the key; section.key in a file with sections")),
			runbooks.Need("value", runbooks.TextForm("its value, of one line")))),
		runbooks.May("line", runbooks.TextForm("a line that is there, in place of the one that match finds, or behind the one that after finds")),
		runbooks.May("match", runbooks.TextForm("regular expression (RE2): the line that line replaces")),
		runbooks.May("after", runbooks.TextForm("regular expression (RE2): the line behind which line goes")),
		runbooks.May("mode", runbooks.TextForm("three or four octal digits, as 0640")),
		runbooks.May("owner", runbooks.TextForm("user, user:group or :group")),
		runbooks.May("absent", &runbooks.Form{Doc: "true: the file is gone; its backup stays", Types: []string{"boolean"}}),
		runbooks.May("validate", runbooks.ArgvForm("a command that checks the new text before it replaces the old one; reads ${file}, its path")))
}
