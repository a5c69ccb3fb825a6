// Package tls is the bundled plugin that reads X.509 certificates: the one a
// server presents, asked from the target itself, or the one in a file. It says
// what is in the certificate; it does not judge the chain, since which roots a
// client trusts is not known on the target.
package tls

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/plugins"
)

const (
	maxFileBytes  = 1 << 20
	maxBlocks     = 100 // of PEM, looked through for a certificate
	maxNames      = 200
	secondsPerDay = 86400
	connectBudget = 10 * time.Second
)

// Plugin returns what plugins.Serve wants.
func Plugin() (plugins.Info, []plugins.Probe) {
	info := plugins.Info{Name: "tls", Version: "1", Capabilities: plugins.Capabilities{
		plugins.CapabilityRead, plugins.MayRun("openssl"), plugins.MayRead("/**"), // the caller names the file
	}}
	return info, []plugins.Probe{newCertificate()}
}

// certificate reads one certificate.
type certificate struct {
	host *regexp.Regexp
}

var _ plugins.Probe = (*certificate)(nil)

func newCertificate() *certificate {
	// Never a leading dash: the name is an argument of openssl.
	return &certificate{host: regexp.MustCompile(`^[A-Za-z0-9_:*][A-Za-z0-9_:.-]{0,252}$`)}
}

// Spec implements plugins.Probe.
func (c *certificate) Spec() plugins.Spec {
	return plugins.Spec{
		Name: "certificate", Title: "TLS certificate", CostSeconds: 0.2,
		Doc: "The certificate that a server presents (openssl-s_client(1), asked on the target), or the first one in a PEM file. Give address or path.",
		Inputs: []plugins.Field{
			{Name: "address", Type: plugins.String, Doc: "host:port to connect to, as seen from the target"},
			{Name: "server_name", Type: plugins.String, Doc: "name to ask for (SNI) and to match; the host of address when empty"},
			{Name: "path", Type: plugins.String, Doc: "absolute path of a PEM file on the target"},
		},
		Outputs: []plugins.Field{
			{Name: "not_before", Type: plugins.Timestamp, Doc: "start of validity (RFC 5280, 4.1.2.5)"},
			{Name: "not_after", Type: plugins.Timestamp, Doc: "end of validity"},
			{Name: "days_left", Type: plugins.Double, Doc: "days from the reading to not_after; negative when it has expired"},
			{Name: "valid_now", Type: plugins.Bool, Doc: "the time of the reading lies within the validity"},
			{Name: "subject", Type: plugins.String, Doc: "distinguished name (RFC 2253)"},
			{Name: "issuer", Type: plugins.String, Doc: "distinguished name (RFC 2253)"},
			{Name: "names", Type: plugins.List, Doc: "DNS names and addresses of subjectAltName"},
			{Name: "name_matches", Type: plugins.Bool, Doc: "the certificate is for server_name; missing when no name is known", Optional: true},
		},
	}
}

// Read implements plugins.Probe.
func (c *certificate) Read(ctx context.Context, h plugins.Host, args plugins.Args) ([]plugins.Raw, error) {
	rec := plugins.NewRecorder(h)
	address, file := args["address"], args["path"]
	switch {
	case (address == "") == (file == ""):
		return nil, errors.New("give either address or path")
	case file != "":
		if !path.IsAbs(file) {
			return nil, fmt.Errorf("path %q is not absolute", file)
		}
		rec.ReadFile(ctx, "certificate", file, maxFileBytes)
		return rec.Raws(), nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("address %q is not host:port", address)
	}
	name := args["server_name"]
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || !c.host.MatchString(host) || name != "" && !c.host.MatchString(name) {
		return nil, fmt.Errorf("address %q or server name %q is malformed", address, name)
	}
	argv := []string{"openssl", "s_client", "-connect", net.JoinHostPort(host, port)}
	switch {
	case name != "":
		argv = append(argv, "-servername", name)
	case net.ParseIP(host) == nil:
		argv = append(argv, "-servername", host)
	default:
		argv = append(argv, "-noservername") // no address in SNI (RFC 6066, 3)
	}
	rec.Run(ctx, "certificate", plugins.Command{Argv: argv, Timeout: connectBudget, MaxOutputBytes: maxFileBytes})
	return rec.Raws(), nil
}

// Parse implements plugins.Probe. Now is the time of the reading, so that an
// old bundle parses to what was true then.
func (c *certificate) Parse(raws []plugins.Raw, args plugins.Args) (plugins.Value, plugins.Status, error) {
	raw, ok := plugins.Find(raws, "certificate")
	if !ok {
		return nil, plugins.Failed, errors.New("nothing was read")
	}
	if raw.Status == plugins.Absent && args["path"] == "" {
		return nil, plugins.Failed, errors.New("openssl is not there: " + raw.Error)
	}
	// The certificate stands first, so a cut output that holds it is enough.
	if raw.Status != plugins.OK && raw.Status != plugins.Truncated {
		return nil, raw.Status, nil
	}
	cert, err := firstCertificate(raw.Data)
	if err != nil {
		if raw.Error != "" {
			err = fmt.Errorf("%w: %s", err, raw.Error)
		}
		return nil, plugins.Failed, err
	}
	names := append([]string{}, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	v := plugins.Value{
		"not_before": cert.NotBefore.UTC(), "not_after": cert.NotAfter.UTC(),
		"days_left": float64(cert.NotAfter.Unix()-raw.At.Unix()) / secondsPerDay,
		"valid_now": !raw.At.Before(cert.NotBefore) && !raw.At.After(cert.NotAfter),
		"subject":   cert.Subject.String(), "issuer": cert.Issuer.String(), "names": names[:min(len(names), maxNames)],
	}
	if name := expectedName(args); name != "" {
		v["name_matches"] = cert.VerifyHostname(name) == nil
	}
	return v, plugins.OK, nil
}

func expectedName(args plugins.Args) string {
	if args["server_name"] != "" {
		return args["server_name"]
	}
	host, _, _ := net.SplitHostPort(args["address"]) // "" when there is none
	return strings.Trim(host, "[]")
}

// firstCertificate returns the leaf: the first certificate in a file is the
// server's own (RFC 8446, 4.4.2), and s_client prints no other.
func firstCertificate(data []byte) (*x509.Certificate, error) {
	for range maxBlocks {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
	return nil, errors.New("no certificate in what was read")
}
