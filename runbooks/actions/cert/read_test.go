package cert

import "testing"

// FuzzParse reads arbitrary files: what is taken has a digest, a key and a name
// list.
func FuzzParse(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("[redacted:private_key]\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := parse(data); err == nil && (r.Digest == "" || r.Key == "" || len(r.Names) == 0) {
			t.Errorf("%+v", r)
		}
	})
}
