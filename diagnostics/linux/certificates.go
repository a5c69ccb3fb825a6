package linux

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
)

const (
	rawCertificate = "certificate"
	rawCertStat    = "certificate_file"
	rawPublicKey   = "public_key"
	rawClient      = "s_client"

	argAddress    = "address"
	argServerName = "server_name"
	argKey        = "key"

	maxCertificateBytes = 1 << 20
	maxChain            = 20
	maxCertNames        = 50
	secondsPerDay       = 86400
)

// certificateFields are what the probes of this file say of a leaf and its chain.
func certificateFields(more ...expr.Field) []expr.Field {
	return append([]expr.Field{
		optional(timestamp("not_before", "start of the validity of the service's own certificate (RFC 5280, 4.1.2.5)")),
		optional(timestamp("not_after", "its end")),
		optional(double("days_left", "days from the reading to not_after; negative when it has expired")),
		optional(boolean("expired", "not_after is past, by the clock of the agent's readings")),
		optional(boolean("not_yet", "not_before is still to come")),
		optional(str("subject", "distinguished name (RFC 2253)")),
		optional(str("issuer", "distinguished name (RFC 2253)")),
		optional(str("serial", "in hex")),
		optional(list("names", "DNS names and addresses that it is for, at most 50")),
		optional(boolean("self_signed", "it is its own issuer")),
		optional(integer("chain_length", "certificates, its own included")),
		optional(boolean("chain_fits", "each is signed by the next")),
		optional(boolean("chain_expired", "one that stands behind it in the chain has expired")),
	}, more...)
}

func tlsFile() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:   "tls.file",
			Title:  "The certificate in a file",
			Doc:    "The certificates of a PEM file in their order: the service's own first (RFC 8446, 4.4.2). It does not judge whether clients trust the last one.",
			Inputs: pathInput("the PEM file"),
			Outputs: certificateFields(boolean("exists", "the file is there"),
				optional(timestamp("modified_at", "last change of the file; missing when it is not there"))),
			CostSeconds: 0.02,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
			if err := checkReadable(args[argPath]); err != nil {
				return err
			}
			target := resolve(ctx, rec, args[argPath])
			if target == "" {
				return nil
			}
			if err := checkReadable(target); err != nil {
				return err
			}
			rec.Stat(ctx, rawCertStat, target)
			rec.File(ctx, rawCertificate, target, maxCertificateBytes)
			return nil
		},
		parse: parseTLSFile,
	}
}

func parseTLSFile(in readings) (diagnostics.Value, error) {
	if _, err := in.resolved(); err != nil {
		if isStatus(err, diagnostics.Absent) {
			return diagnostics.Value{"exists": false}, nil
		}
		return nil, err
	}
	info, err := in.info(rawCertStat)
	if err != nil {
		return nil, notAbsent(err)
	}
	raw, err := in.whole(rawCertificate)
	if err != nil {
		return nil, notAbsent(err)
	}
	value, err := certificates(raw)
	if err != nil {
		return nil, err
	}
	value["exists"], value["modified_at"] = true, info.ModifiedAt.UTC()
	return value, nil
}

// chain returns the certificates among the PEM blocks, in their order.
func chain(data []byte) []*x509.Certificate {
	var found []*x509.Certificate
	for len(found) < maxChain {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			break
		}
		found = append(found, cert)
	}
	return found
}

// certificates says what is in the chain, at the time of the reading, so that an
// old bundle says what was true then.
func certificates(raw diagnostics.Raw) (diagnostics.Value, error) {
	all := chain(raw.Data)
	if len(all) == 0 {
		return nil, cannotTell(diagnostics.Failed, "%s: there is no certificate that is understood", raw.Name)
	}
	leaf := all[0]
	names := []any{}
	for _, n := range leaf.DNSNames {
		names = append(names, clip(n, maxCommand))
	}
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	fits, expired := true, false
	for i, next := range all[1:] {
		fits = fits && bytes.Equal(all[i].RawIssuer, next.RawSubject) && all[i].CheckSignatureFrom(next) == nil
		expired = expired || raw.At.After(next.NotAfter)
	}
	serial := ""
	if leaf.SerialNumber != nil {
		serial = leaf.SerialNumber.Text(16)
	}
	return diagnostics.Value{
		"not_before": leaf.NotBefore.UTC(), "not_after": leaf.NotAfter.UTC(),
		"days_left": float64(leaf.NotAfter.Unix()-raw.At.Unix()) / secondsPerDay,
		"expired":   raw.At.After(leaf.NotAfter), "not_yet": raw.At.Before(leaf.NotBefore),
		"subject": clip(leaf.Subject.String(), maxLineBytes), "issuer": clip(leaf.Issuer.String(), maxLineBytes),
		"serial": serial, "names": names[:min(len(names), maxCertNames)],
		"self_signed":  bytes.Equal(leaf.RawIssuer, leaf.RawSubject) && leaf.CheckSignatureFrom(leaf) == nil,
		"chain_length": int64(len(all)), "chain_fits": fits, "chain_expired": expired,
	}, nil
}

func tlsServed() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "tls.served",
			Title: "The certificate that a service shows",
			Doc:   "openssl s_client -showcerts, see openssl-s_client(1), asked on the host itself. It does not judge whether clients trust the last one of the chain.",
			Inputs: []expr.Field{
				required(str(argAddress, "host:port to connect to, as seen from the host")),
				str(argServerName, "the name to ask for (SNI) and to compare with; or \"\""),
			},
			Outputs: certificateFields(
				boolean("answers", "a certificate was shown"),
				str("error", "why none was, \"\" when one was"),
				optional(boolean("name_matches", "the certificate is for server_name; missing without one"))),
			CostSeconds: 0.2,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
			if err := checkAddress(args[argAddress]); err != nil {
				return err
			}
			argv := []string{"openssl", "s_client", "-showcerts", "-connect", args[argAddress]}
			name := args[argServerName]
			switch {
			case name == "":
				argv = append(argv, "-noservername")
			case checkName(name) != nil:
				return checkName(name)
			default:
				argv = append(argv, "-servername", name)
			}
			rec.Run(ctx, rawClient, command(argv...))
			return nil
		},
		parse: parseTLSServed,
	}
}

// checkAddress refuses what is not host:port.
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	n, err2 := strconv.ParseUint(port, 10, 16)
	_, err3 := netip.ParseAddr(host)
	if err != nil || err2 != nil || n == 0 || err3 != nil && checkName(host) != nil {
		return fault.New(fault.Invalid, "%q is not like 127.0.0.1:443", address).WithField(argAddress)
	}
	return nil
}

func parseTLSServed(in readings) (diagnostics.Value, error) {
	raw, err := in.ran(rawClient)
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(raw.Data, []byte("-----BEGIN CERTIFICATE-----")) {
		switch text := string(raw.Data); {
		case strings.Contains(text, "no peer certificate available"):
			return diagnostics.Value{"answers": false, "error": "it answers, and not with a certificate"}, nil
		case strings.Contains(text, "onnect"):
			return diagnostics.Value{"answers": false, "error": clip(connectError(text), maxLineBytes)}, nil
		}
		return nil, cannotTell(diagnostics.Failed, "openssl: %s", unexpected(raw))
	}
	value, err := certificates(raw)
	if err != nil {
		return nil, err
	}
	value["answers"], value["error"] = true, ""
	if name := in.args[argServerName]; name != "" {
		value["name_matches"] = chain(raw.Data)[0].VerifyHostname(strings.TrimSuffix(name, ".")) == nil
	}
	return value, nil
}

// connectError is the reason in "…:BIO_connect:Connection refused:…".
func connectError(text string) string {
	_, reason, found := strings.Cut(text, "BIO_connect:")
	if reason, _, _ = strings.Cut(reason, ":"); !found || reason == "" {
		return firstText(text)
	}
	return reason
}

// firstText is the first line of a text that is not empty.
func firstText(text string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return first
}

func tlsKeyPair() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "tls.key_pair",
			Title: "Whether a certificate and a key belong together",
			Doc: "The public key of the certificate against openssl pkey -pubout of the private one, see openssl-pkey(1): the private key itself is never read. " +
				"Denied to who may not use the key.",
			Inputs: []expr.Field{required(str(argPath, "the PEM file with the certificate")), required(str(argKey, "the PEM file with its private key"))},
			Outputs: []expr.Field{
				boolean("matches", "they belong together"),
				str("certificate_key", "SHA-256 of the certificate's public key, hex"),
				str("key", "SHA-256 of the key's public half, hex"),
			},
			CostSeconds: 0.05,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
			if err := checkReadable(args[argPath]); err != nil {
				return err
			}
			if err := checkPath(argKey, args[argKey]); err != nil {
				return err
			}
			target := resolve(ctx, rec, args[argPath])
			if target == "" {
				return nil
			}
			if err := checkReadable(target); err != nil {
				return err
			}
			rec.File(ctx, rawCertificate, target, maxCertificateBytes)
			rec.Run(ctx, rawPublicKey, command("openssl", "pkey", "-in", args[argKey], "-pubout", "-outform", "PEM", "-passin", "pass:"))
			return nil
		},
		parse: parseKeyPair,
	}
}

func parseKeyPair(in readings) (diagnostics.Value, error) {
	if _, err := in.resolved(); err != nil {
		return nil, notAbsent(err)
	}
	raw, err := in.whole(rawCertificate)
	if err != nil {
		return nil, notAbsent(err)
	}
	all := chain(raw.Data)
	if len(all) == 0 {
		return nil, cannotTell(diagnostics.Failed, "%s: there is no certificate that is understood", rawCertificate)
	}
	run, err := in.ran(rawPublicKey)
	if err != nil {
		return nil, err
	}
	if run.ExitCode != 0 {
		if text := string(run.Data) + run.Error; strings.Contains(text, "ermission denied") {
			return nil, cannotTell(diagnostics.Denied, "the key may not be used")
		}
		return nil, cannotTell(diagnostics.Failed, "openssl: %s", unexpected(run))
	}
	block, _ := pem.Decode(run.Data)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, cannotTell(diagnostics.Failed, "openssl: there is no public key in what it printed")
	}
	own, other := sha256.Sum256(all[0].RawSubjectPublicKeyInfo), sha256.Sum256(block.Bytes)
	return diagnostics.Value{
		"matches": own == other, "certificate_key": hex.EncodeToString(own[:]), "key": hex.EncodeToString(other[:]),
	}, nil
}
