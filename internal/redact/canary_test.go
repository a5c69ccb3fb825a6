package redact_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/redact/redacttest"
)

// TestNoPlantedSecretStays: whatever stands around it, and however long the text is.
func TestNoPlantedSecretStays(t *testing.T) {
	t.Parallel()
	kinds := redacttest.Canaries()
	if len(kinds) < 60 {
		t.Fatalf("only %d kinds", len(kinds))
	}
	r := redact.New()
	for _, c := range kinds {
		t.Run(c.Kind, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(c.Text, c.Secret) {
				t.Fatalf("%q does not hold its secret", c.Text)
			}
			for where, text := range map[string]string{
				"alone":    c.Text,
				"in lines": "Jan 02 03:04:05 web1 app[1]: hello\n" + c.Text + "\nJan 02 03:04:05 web1 app[1]: bye\n",
				// What reads in blocks of 4 or 64 KiB would see halves.
				"over a block of 4 KiB":  strings.Repeat("x\n", 2048-len(c.Text)/4) + c.Text,
				"over a block of 64 KiB": strings.Repeat("x\n", 32768-len(c.Text)/4) + c.Text + "\n",
				"with Windows' ends":     strings.ReplaceAll("a\n"+c.Text+"\nb", "\n", "\r\n"),
			} {
				clean, counts := r.RedactCounted([]byte(text))
				if strings.Contains(string(clean), c.Secret) || len(counts) == 0 {
					t.Errorf("%s: %s stays in %q", where, c.Secret, tail(string(clean)))
				}
			}
		})
	}
}

func tail(s string) string { return s[max(0, len(s)-300):] }

// What a diagnosis reads must survive: none of it is a secret.
func TestWhatLooksLikeASecretStays(t *testing.T) {
	t.Parallel()
	certificate := base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE-----\nMIIDazCCAlOgAwIBAgIUYk0CMWlLqK\n-----END CERTIFICATE-----\n"))
	r := redact.New()
	for _, text := range []string{
		"commit 9fceb02d0ae598e95dc970b74767f19372d61af8", "0741456 Log templates (Drain) and their novelty", "index 83db48f..bf269f4 100644",
		"550e8400-e29b-41d4-a716-446655440000", "boot_id=2f1c9a3e-7d5b-4c1e-9a8f-3b6d2e1c0f9a", "machine-id 4bf92f3577b34da6a3ce929d0e0e4736",
		"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "md5sum d41d8cd98f00b204e9800998ecf8427e  file",
		"sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==",
		"2026-03-01T10:00:00Z", "2026-03-01 10:00:00.123456 UTC", "Sun Nov 22 13:13:45 UTC 2026", "up 13:20, load average: 2.81, 6.42, 6.50",
		"SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU ops@web1", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ops@web1",
		"fe80::1ff:fe23:4567:890a", "aa:bb:cc:dd:ee:ff", "10.0.0.5:5432", "ESTAB 0 0 10.0.0.5:5432:10.0.0.9:41234",
		"certificate-authority-data: " + certificate, "-----BEGIN CERTIFICATE-----\nMIIDazCCAlOgAwIBAgIUYk0CMWlLqK\n-----END CERTIFICATE-----",
		"Failed password for root from 10.0.0.9 port 4022 ssh2", "Accepted publickey for ops from 10.0.0.9 port 4022 ssh2: ED25519 SHA256:47DEQpj8HBSa",
		"password_encryption = scram-sha-256", `{"auth": "scram-sha-256", "method": "md5"}`, "host all all 10.0.0.0/8 scram-sha-256", "auth_basic \"login\";",
		"ALTER USER app VALID UNTIL '2026-01-01'", "linux-image-6.1.0-18-amd64 6.1.76-1", "libssl3:amd64 (3.0.11-1~deb12u2, 3.0.13-1~deb12u1)",
		"disk /dev/disk/by-uuid/550e8400-e29b-41d4-a716-446655440000", "nvme0n1: SN 21406F800431", "key-value store opened", "tskit-x", "sk-learn 1.0", "task-123456789012345678901234567890",
		"kworker/u8:2-events_unbound", "GET /static/app.9fceb02d0ae598e95dc9.js HTTP/1.1", "https://shop.example.org/hooks/list", "signature=valid", "?signal=15",
		"session opened for user deploy(uid=1000) by (uid=0)", "asset_key: page", "SKU 123", "SK123", "md5 of it", "image: registry.example.org/app@sha256:9fceb02d0ae598e95dc970b74767f193",
	} {
		if got := string(r.Redact([]byte(text))); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestBase64IsDecodedWhereverItBegins(t *testing.T) {
	t.Parallel()
	r := redact.New()
	for i := range 40 {
		source := strings.Repeat("x", i) + "\nDB_PASSWORD=hunter2hunter2\nMORE=1\n"
		for _, coded := range []string{base64.StdEncoding.EncodeToString([]byte(source)), base64.RawURLEncoding.EncodeToString([]byte(source))} {
			text := "data: " + coded + " end"
			if got := string(r.Redact([]byte(text))); got != "data: [redacted:encoded] end" {
				t.Errorf("%d: %s became %s", i, text, got)
			}
		}
	}
	wrapped := base64.StdEncoding.EncodeToString([]byte("-----BEGIN RSA PRIVATE KEY-----\n" + strings.Repeat("MIIEowIBAAKCAQEA7bq3\n", 20) + "-----END RSA PRIVATE KEY-----\n"))
	var text strings.Builder
	for len(wrapped) > 76 {
		fmt.Fprintln(&text, wrapped[:76])
		wrapped = wrapped[76:]
	}
	fmt.Fprintf(&text, "%s\nnext line\n", wrapped)
	if got := string(r.Redact([]byte(text.String()))); got != "[redacted:encoded]\nnext line\n" {
		t.Errorf("wrapped: %q", got)
	}
	harmless := base64.StdEncoding.EncodeToString([]byte("the password is asked for, and a secret is no secret here"))
	if got := string(r.Redact([]byte(harmless))); got != harmless {
		t.Errorf("harmless: %q", got)
	}
	if got := string(r.Redact([]byte("q=" + url.QueryEscape("host=a&sort=b")))); got != "q=host%3Da%26sort%3Db" {
		t.Errorf("harmless: %q", got)
	}
}
