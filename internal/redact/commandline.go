package redact

import (
	"bytes"
	"strings"
)

// Bounds of how far behind a program's name its options are looked at: they
// keep a hostile text of nothing but names cheap.
const (
	maxCommandBytes = 400
	maxCommandWords = 20
)

// secretOption is how some programs take a secret: by an option of one letter,
// which means something harmless in most others (ssh -p, mkdir -p, cp -a).
type secretOption struct {
	programs   []string
	letter     byte
	attached   bool   // -pSECRET
	detached   bool   // -p SECRET
	after      byte   // of user:secret, what stands before the secret; 0: all of it is
	clustered  bool   // -su is -s and -u
	subcommand string // the first word that is no option; "" for any
	own        string // letters of options that take the next word; with them, the first other word ends the options: another program's begin
}

func secretOptions() []secretOption {
	return []secretOption{
		// -p alone asks for the password; the word behind it is a database.
		{programs: []string{
			"mysql", "mysqldump", "mysqladmin", "mysqlshow", "mysqlimport", "mysqlcheck", "mysqlsh",
			"mariadb", "mariadb-dump", "mariadb-admin", "mariadb-show", "mariadb-import", "mariadb-check",
		}, letter: 'p', attached: true},
		{programs: []string{"sshpass"}, letter: 'p', attached: true, detached: true, own: "fdP"},
		{programs: []string{"redis-cli", "valkey-cli"}, letter: 'a', detached: true},
		{programs: []string{"curl"}, letter: 'u', attached: true, detached: true, after: ':', clustered: true},
		{programs: []string{"mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport", "mongostat", "mongotop"}, letter: 'p', attached: true, detached: true},
		{programs: []string{"ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldapwhoami", "ldappasswd"}, letter: 'w', attached: true, detached: true},
		{programs: []string{"smbclient", "rpcclient"}, letter: 'U', attached: true, detached: true, after: '%'},
		{programs: []string{"docker", "podman"}, letter: 'p', attached: true, detached: true, subcommand: "login"},
	}
}

// commandLines detect the secrets of secretOptions in what a person typed, in a
// JSON array of arguments, and in /proc/PID/cmdline, where NUL separates.
func commandLines() []detector {
	var out []detector
	for _, option := range secretOptions() {
		out = append(out, detector{
			kind: "command_line", literals: option.programs, follow: " \t\"'\x00", before: wordStarts, special: option.find,
		})
	}
	return out
}

// find returns where the secret is of the command whose name is at text[at].
func (o secretOption) find(text []byte, at int) (from, to int) {
	args := arguments{text: text[:min(len(text), at+maxCommandBytes)], at: at}
	for at < len(args.text) && isWord(args.text[args.at]) {
		if args.at++; args.at == len(args.text) {
			return at, at
		}
	}
	args.begin()
	inPlace := o.subcommand == ""
	for range maxCommandWords {
		start, end, ok := args.next()
		if !ok {
			break
		}
		word := text[start:end]
		isOption := len(word) > 1 && word[0] == '-'
		switch {
		case !isOption && inPlace && o.own != "":
			return at, at
		case !isOption && !inPlace:
			if inPlace = string(word) == o.subcommand; !inPlace {
				return at, at
			}
		case isOption && len(word) == 2 && strings.IndexByte(o.own, word[1]) >= 0:
			args.next() // its value, which may be missing
		case isOption && inPlace:
			if from, to := o.value(text, start, end, &args); from < to && !isMark(text[from:to]) {
				return from, to
			}
		}
	}
	return at, at
}

// value returns the secret of the option at text[start:end], if it is the one.
func (o secretOption) value(text []byte, start, end int, args *arguments) (from, to int) {
	name := start + 1
	if o.clustered {
		for name < end-1 && isLetter(text[name]) && text[name] != o.letter {
			name++
		}
	}
	switch isIt := text[name] == o.letter; {
	case isIt && name+1 < end && o.attached:
		from, to = unquoted(text, name+1, end)
	case isIt && name+1 == end && o.detached:
		var ok bool
		if from, to, ok = args.next(); !ok {
			return start, start
		}
	default:
		return start, start
	}
	if o.after == 0 {
		return from, to
	}
	i := bytes.IndexByte(text[from:to], o.after)
	if i < 0 {
		return start, start
	}
	return from + i + 1, to
}

func isMark(secret []byte) bool {
	return bytes.HasPrefix(secret, []byte("[redacted:")) && bytes.IndexByte(secret, ']') == len(secret)-1
}

// arguments walks over the words behind a program's name.
type arguments struct {
	text  []byte
	at    int
	split string // the bytes that separate words
}

// begin tells by what follows the name how the words are separated.
func (a *arguments) begin() {
	switch a.split = " \t"; a.text[a.at] {
	case 0:
		a.split = "\x00"
	case '"', '\'':
		if rest := a.text[a.at+1:]; len(rest) > 0 && rest[0] == ',' {
			a.split = `", `
		}
		a.at++ // the quote that ends the name
	}
}

// next returns the next word without its quotes; ok is false at the end of the
// command.
func (a *arguments) next() (start, end int, ok bool) {
	for a.at < len(a.text) && strings.IndexByte(a.split, a.text[a.at]) >= 0 {
		a.at++
	}
	start = a.at
	var quote byte
	for ; a.at < len(a.text); a.at++ {
		c := a.text[a.at]
		switch {
		case c == '\n' || c == '\r' || quote == 0 && a.split[0] == '"' && c == ']':
			return a.word(start)
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case (c == '"' || c == '\'') && a.split == " \t":
			quote = c
		case a.split[0] == '"' && c == '"', a.split[0] != '"' && strings.IndexByte(a.split, c) >= 0:
			return a.word(start)
		}
	}
	return a.word(start)
}

func (a *arguments) word(start int) (from, to int, ok bool) {
	from, to = unquoted(a.text, start, a.at)
	switch string(a.text[start:a.at]) {
	case "", "|", "||", "&&", "&", ";":
		return from, from, false
	}
	return from, to, true
}

// unquoted leaves out the quotes around text[from:to], also one that was opened
// before and ends here.
func unquoted(text []byte, from, to int) (int, int) {
	if from < to && (text[from] == '"' || text[from] == '\'') {
		quote := text[from]
		from++
		if from < to && text[to-1] == quote {
			to--
		}
	}
	return from, to
}
