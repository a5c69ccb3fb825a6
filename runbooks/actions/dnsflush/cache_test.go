package dnsflush

import "testing"

func TestNamesAreCounted(t *testing.T) {
	t.Parallel()
	const nscd = "nscd configuration:\n\n0  server debug level\n\npasswd cache:\n\n  yes  cache is enabled\n  7  current number of cached values\n\n" +
		"hosts cache:\n\n            yes  cache is enabled\n            211  suggested size\n             12  current number of cached values\n             30  maximum number of cached values\n\nservices cache:\n\n  9  current number of cached values\n"
	for name, tt := range map[string]struct {
		count func([]byte) int
		out   string
		want  int
	}{
		"resolved 252":     {countResolved, "DNSSEC supported by current servers: no\n\nTransactions\nCurrent Transactions: 0\n  Total Transactions: 9\n\nCache\n  Current Cache Size: 12\n          Cache Hits: 3\n", 12},
		"resolved, newer":  {countResolved, "Cache\n                             Current Cache Size: 0\n", 0},
		"resolved, none":   {countResolved, "Cache Hits: 3\n", unknown},
		"resolved, absurd": {countResolved, "Current Cache Size: 99999999999999999999\n", unknown},
		"nscd":             {countNscd, nscd, 12},
		"nscd, off":        {countNscd, "x\nhosts cache:\n\n  no  cache is enabled\n\nservices cache:\n  9  current number of cached values\n", unknown},
		"nscd, none":       {countNscd, "nscd not running!\n", unknown},
		"unbound":          {countUnbound, "total.num.queries=9\nmsg.cache.count=5\nrrset.cache.count=20\ninfra.cache.count=3\n", 25},
		"unbound, short":   {countUnbound, "total.num.queries=9\n", unknown},
		"unbound, absurd":  {countUnbound, "msg.cache.count=-5\n", unknown},
	} {
		if got := tt.count([]byte(tt.out)); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
	}
}

func FuzzCount(f *testing.F) {
	f.Add([]byte("\nhosts cache:\n 12  current number of cached values\nCurrent Cache Size: 1\nmsg.cache.count=5\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		for _, c := range caches() {
			if c.count != nil && c.count(out) < unknown {
				t.Errorf("%s has fewer names than none", c.name)
			}
		}
	})
}
