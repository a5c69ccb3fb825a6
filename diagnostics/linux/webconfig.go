package linux

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// webConfigScript prints the directives that matter here, each behind its file,
// with the complaints of grep among them: they say what could not be read.
const webConfigScript = `LC_ALL=C exec grep -RHE "$@" 2>&1`

// webDirectives are what webConfigScript looks for: where servers, upstreams
// and virtual hosts begin, and what they show.
const webDirectives = `^[[:space:]]*(server[[:space:]]*\{|server[[:space:]]+[^{]*;|upstream[[:space:]]|listen[[:space:]]|server_name[[:space:]]|ssl_certificate(_key)?[[:space:]]|` +
	`<VirtualHost[[:space:]]|</VirtualHost|ServerName[[:space:]]|SSLCertificate(Key)?File[[:space:]])`

const (
	rawWebConfig = "config"
	maxSites     = 30
	maxBackends  = 50
)

// webPlaces are where Debian and the Red Hat family keep the configuration of
// nginx and Apache.
func webPlaces() []string {
	return []string{
		"/etc/nginx/nginx.conf", "/etc/nginx/conf.d", "/etc/nginx/sites-enabled",
		"/etc/apache2/sites-enabled", "/etc/apache2/conf-enabled", "/etc/httpd/conf.d",
	}
}

func webConfig() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "web.config",
			Title: "Certificates and backends in the configuration of nginx and Apache",
			Doc:   "grep of their directives in /etc/nginx, /etc/apache2 and /etc/httpd: what is written there, whether it is loaded or not. Files that others include from elsewhere are not seen.",
			Outputs: []expr.Field{
				list("sites", "servers with TLS, at most 30",
					str("unit", "nginx.service, apache2.service or httpd.service"),
					str("file", "where it is configured"),
					str("certificate", "path of its certificate"),
					str("key", "path of its key; \"\" when it is not said"),
					str("name", "the first of its names that is a plain one; \"\" when it has none"),
					list("names", "all its plain names"),
					str("address", "host:port of it on this host")),
				list("backends", "servers of nginx's upstreams, at most 50",
					str("file", "where it is configured"),
					str("upstream", "of which it is one"),
					str("server", "as its line names it: app2.example.com:8080"),
					boolean("down", "marked so that it gets no request"),
					boolean("backup", "gets requests only when the others do not answer")),
				boolean("complete", "all that is there could be read"),
			},
			CostSeconds: 0.05,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			rec.Run(ctx, rawWebConfig, command(append([]string{"sh", "-c", webConfigScript, "sh", webDirectives, "--"}, webPlaces()...)...))
			return nil
		},
		parse: parseWebConfig,
	}
}

// site is one server or virtual host as it is read.
type site struct {
	unit, file, certificate, key, address string
	names                                 []string
}

// webReader follows the directives of one file.
type webReader struct {
	sites    []site
	backends []map[string]any
	open     *site // the server that is being read
	upstream string
	file     string
}

// flush ends the server that is being read.
func (w *webReader) flush() {
	if s := w.open; s != nil && s.certificate != "" && s.address != "" {
		w.sites = append(w.sites, *s)
	}
	w.open = nil
}

func (w *webReader) line(file, text string) {
	if file != w.file {
		w.flush()
		w.file, w.upstream = file, ""
	}
	text, _, _ = strings.Cut(strings.TrimSpace(text), "#")
	if strings.HasPrefix(file, "/etc/nginx/") {
		w.nginx(text)
		return
	}
	w.apache(text)
}

// nginx reads the directives of one line; each is ended by ";" or begins a
// block by "{".
func (w *webReader) nginx(text string) {
	text = strings.NewReplacer("{", " {;", "}", ";", `"`, "", "'", "").Replace(text)
	for directive := range strings.SplitSeq(text, ";") {
		if words := strings.Fields(directive); len(words) > 1 {
			w.directive(words)
		}
	}
}

func (w *webReader) directive(words []string) {
	switch {
	case words[0] == "server" && words[1] == "{":
		w.flush()
		w.open, w.upstream = &site{unit: "nginx.service", file: w.file}, ""
	case words[0] == "upstream":
		w.flush()
		w.upstream = words[1]
	case words[0] == "server" && w.upstream != "":
		w.backend(words)
	case w.open == nil:
	case words[0] == "listen" && slices.Contains(words[2:], "ssl") && w.open.address == "":
		w.open.address = reachable(words[1])
	case words[0] == "server_name":
		w.open.names = plainNames(words[1:])
	case words[0] == "ssl_certificate" && w.open.certificate == "":
		w.open.certificate = filePath("/etc/nginx", words[1])
	case words[0] == "ssl_certificate_key" && w.open.key == "":
		w.open.key = filePath("/etc/nginx", words[1])
	}
}

// backend takes "server ADDRESS parameters".
func (w *webReader) backend(words []string) {
	if len(words) < 2 {
		return
	}
	w.backends = append(w.backends, map[string]any{
		"file": clip(w.file, maxPathBytes), "upstream": clip(w.upstream, maxCommand), "server": clip(words[1], maxCommand),
		"down": slices.Contains(words[2:], "down"), "backup": slices.Contains(words[2:], "backup"),
	})
}

func (w *webReader) apache(text string) {
	words := strings.Fields(strings.NewReplacer(">", " ", `"`, "").Replace(text))
	if len(words) == 0 {
		return
	}
	first := strings.ToLower(words[0])
	if first == "</virtualhost" {
		w.flush()
		return
	}
	if len(words) < 2 {
		return
	}
	unit, base := "apache2.service", "/etc/apache2"
	if strings.HasPrefix(w.file, "/etc/httpd/") {
		unit, base = "httpd.service", "/etc/httpd"
	}
	switch {
	case first == "<virtualhost":
		w.flush()
		w.open = &site{unit: unit, file: w.file, address: reachable(words[1])}
	case w.open == nil:
	case first == "servername":
		host, _, _ := strings.Cut(words[1], ":")
		w.open.names = plainNames([]string{host})
	case first == "sslcertificatefile":
		w.open.certificate = filePath(base, words[1])
	case first == "sslcertificatekeyfile":
		w.open.key = filePath(base, words[1])
	}
}

// filePath is the clean path of a file; "" for one with a variable in it, and
// for one that can be no path.
func filePath(base, p string) string {
	if !strings.HasPrefix(p, "/") {
		p = path.Join(base, p)
	}
	if p = path.Clean(p); strings.ContainsAny(p, "$") || checkPath("", p) != nil {
		return ""
	}
	return p
}

// plainNames leaves out patterns, variables, and names that match nothing.
func plainNames(names []string) []string {
	var plain []string
	for _, n := range names {
		if checkName(n) == nil && strings.Contains(n, ".") {
			plain = append(plain, n)
		}
	}
	return plain
}

// reachable is where a server that listens so can be reached from its own host;
// "" when it listens on no port.
func reachable(listen string) string {
	if !strings.Contains(listen, ":") && strings.Trim(listen, "0123456789") == "" {
		listen = "*:" + listen
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return ""
	}
	if address, err := netip.ParseAddr(host); err != nil || address.IsUnspecified() {
		host = "127.0.0.1"
	}
	address := net.JoinHostPort(host, port)
	if checkAddress(address) != nil {
		return ""
	}
	return address
}

func parseWebConfig(in readings) (diagnostics.Value, error) {
	raw, err := in.ran(rawWebConfig)
	if err != nil {
		return nil, err
	}
	const noMatch, trouble = 1, 2 // grep(1)
	if raw.ExitCode > trouble {
		return nil, cannotTell(diagnostics.Failed, "grep: exit status %d", raw.ExitCode)
	}
	w, complete, explained := &webReader{}, true, raw.ExitCode != trouble
	for line := range bytes.Lines(raw.Data) {
		text := strings.TrimRight(string(line), "\n")
		if said, isWord := strings.CutPrefix(text, "grep: "); isWord {
			explained = true
			complete = complete && strings.HasSuffix(said, ": No such file or directory")
			continue
		}
		file, directive, ok := strings.Cut(text, ":")
		if !ok || !slices.ContainsFunc(webPlaces(), func(p string) bool { return within(file, p) }) {
			return nil, cannotTell(diagnostics.Failed, "grep: a line is not understood")
		}
		w.line(file, directive)
	}
	w.flush()
	if !explained || raw.ExitCode == noMatch && len(raw.Data) > 0 {
		return nil, cannotTell(diagnostics.Failed, "grep: exit status %d without a word", raw.ExitCode)
	}
	sites, backends := []any{}, []any{}
	for _, s := range w.sites[:min(len(w.sites), maxSites)] {
		name := ""
		if len(s.names) > 0 {
			name = s.names[0]
		}
		names := []any{}
		for _, n := range s.names {
			names = append(names, n)
		}
		sites = append(sites, map[string]any{
			"unit": s.unit, "file": clip(s.file, maxPathBytes), "certificate": s.certificate, "key": s.key,
			"name": name, "names": names, "address": s.address,
		})
	}
	for _, b := range w.backends[:min(len(w.backends), maxBackends)] {
		backends = append(backends, b)
	}
	return diagnostics.Value{"sites": sites, "backends": backends, "complete": complete}, nil
}
