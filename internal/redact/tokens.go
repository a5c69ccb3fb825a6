package redact

import (
	"regexp"
	"strings"
)

// vendorToken is the documented form of a token: a prefix that its vendor gave
// it so that it can be found, and what follows.
type vendorToken struct {
	prefix string // as the vendor writes it
	rest   string // a regular expression
}

// tokenForms are the prefixes that vendors document, or use in the keys of their
// own documentation.
func tokenForms() []vendorToken { //nolint:funlen // a table
	const (
		word  = `[A-Za-z0-9]`
		dash  = `[\w-]`
		hex32 = `[0-9a-f]{32,}`
	)
	return []vendorToken{
		{"ghp_", word + `{20,}`},
		{"gho_", word + `{20,}`},
		{"ghu_", word + `{20,}`},
		{"ghs_", word + `{20,}`},
		{"ghr_", word + `{20,}`},
		{"github_pat_", `\w{20,}`},
		{"glpat-", `[\w.-]{16,}`},
		{"gldt-", `[\w.-]{16,}`},
		{"glrt-", `[\w.-]{16,}`},
		{"glcbt-", `[\w.-]{16,}`},
		{"glptt-", `[\w.-]{16,}`},
		{"glft-", `[\w.-]{16,}`},
		{"glsoat-", `[\w.-]{16,}`},
		{"gloas-", `[\w.-]{16,}`},
		{"glimt-", `[\w.-]{16,}`},
		{"glagent-", `[\w.-]{16,}`},
		{"ATBB", word + `{24,}`},
		{"ATATT3", `[\w=-]{60,}`},
		{"ATCTT3", `[\w=-]{60,}`}, // Bitbucket, Atlassian
		{"xoxa-", `[\w-]{10,}`},
		{"xoxb-", `[\w-]{10,}`},
		{"xoxe", `[.\w-]{10,}`},
		{"xoxo-", `[\w-]{10,}`},
		{"xoxp-", `[\w-]{10,}`},
		{"xoxr-", `[\w-]{10,}`},
		{"xoxs-", `[\w-]{10,}`},
		{"xoxc-", `[\w-]{10,}`},
		{"xoxd-", `[\w%-]{10,}`},
		{"xapp-", `[\w-]{10,}`}, // Slack
		{"AIza", dash + `{30,}`},
		{"ya29.", dash + `{20,}`},
		{"GOCSPX-", dash + `{20,}`}, // Google
		{"sk_live_", word + `{16,}`},
		{"rk_live_", word + `{16,}`},
		{"sk_test_", word + `{16,}`},
		{"rk_test_", word + `{16,}`},
		{"whsec_", `[\w+/=]{20,}`}, // Stripe
		{"sk-", dash + `{20,}`},
		{"hf_", word + `{30,}`},
		{"gsk_", word + `{40,}`},
		{"r8_", word + `{30,}`}, // OpenAI, Anthropic, Hugging Face, Groq, Replicate
		{"npm_", word + `{30,}`},
		{"pypi-", dash + `{40,}`},
		{"rubygems_", `[0-9a-f]{40,}`},
		{"dckr_pat_", dash + `{20,}`},
		{"dckr_oat_", dash + `{20,}`},
		{"hvs.", dash + `{20,}`},
		{"hvb.", dash + `{20,}`},
		{"hvr.", dash + `{20,}`}, // Vault
		{"dop_v1_", `[a-f0-9]{40,}`},
		{"doo_v1_", `[a-f0-9]{40,}`},
		{"dor_v1_", `[a-f0-9]{40,}`}, // DigitalOcean
		{"SG.", `[\w-]{16,}\.[\w-]{16,}`},
		{"xkeysib-", `[0-9a-f]{40,}`},
		{"key-", hex32}, // SendGrid, Brevo, Mailgun
		{"glsa_", `\w{32,}`},
		{"glc_", `[\w+/=]{32,}`},
		{"NRAK-", `[A-Z0-9]{20,}`},
		{"NRII-", `[\w-]{20,}`},
		{"NRJS-", `[0-9a-f]{15,}`}, // Grafana, New Relic
		{"sntrys_", `[\w+/=]{30,}`},
		{"sntryu_", `[0-9a-f]{40,}`},
		{"dt0c01.", `[A-Z0-9]{20,}\.[A-Z0-9]{40,}`},
		{"dt0s01.", `[A-Z0-9]{8,}\.[A-Z0-9]{40,}`}, // Sentry, Dynatrace
		{"shpat_", `[0-9a-fA-F]{32,}`},
		{"shpss_", `[0-9a-fA-F]{32,}`},
		{"shpca_", `[0-9a-fA-F]{32,}`},
		{"shppa_", `[0-9a-fA-F]{32,}`}, // Shopify
		{"sq0atp-", dash + `{20,}`},
		{"sq0csp-", dash + `{20,}`},
		{"pscale_tkn_", `[\w.-]{30,}`},
		{"pscale_pw_", `[\w.-]{30,}`},
		{"pscale_oauth_", `[\w.-]{30,}`},
		{"dapi", hex32},
		{"dp.pt.", word + `{40,}`},
		{"dp.st.", `[\w.-]{40,}`},
		{"pul-", `[0-9a-f]{40}`},
		{"PMAK-", `[0-9a-f]{24}-[0-9a-f]{34}`}, // Databricks, Doppler, Pulumi, Postman
		{"lin_api_", word + `{30,}`},
		{"ntn_", word + `{40,}`},
		{"figd_", dash + `{30,}`},
		{"HRKU-", dash + `{30,}`},
		{"nfp_", word + `{30,}`},
		{"sbp_", `[0-9a-f]{40}`},
		{"sqp_", `[0-9a-f]{40}`},
		{"squ_", `[0-9a-f]{40}`},
		{"sqa_", `[0-9a-f]{40}`},
		{"tskey-", `[\w-]{16,}`},
		{"bkua_", `[0-9a-f]{40}`},
		{"CCIPAT_", dash + `{30,}`},
		{"AKCp", word + `{60,}`},
		{"LTAI", word + `{16,}`},
		{"EAACEdEose0cBA", word + `{10,}`},
		{"CFPAT-", dash + `{40,}`},
		{"fm2_", `[\w+/=]{80,}`},
		{"sgp_", `\w{32,}`},
		{"SWMTKN-1-", `[0-9a-z-]{40,}`},
		{"K10", `[0-9a-f]{50,}::\w+:\w+`},
		{"FLWSECK", `[\w-]{20,}`},
		{"oy2", `[a-z0-9]{43}\b`}, // Docker Swarm, k3s, Flutterwave, NuGet
	}
}

// vendorTokens is one detector for each prefix, so that what follows it is matched alone.
func vendorTokens() []detector {
	var out []detector
	for _, f := range tokenForms() {
		out = append(out, detector{
			kind: "token", before: wordStarts, literals: []string{strings.ToLower(f.prefix)},
			pattern: at(`(` + regexp.QuoteMeta(f.prefix) + f.rest + `)`),
		})
	}
	return append(out,
		// The id of a bot stands before the colon.
		detector{kind: "token", literals: []string{":aa"}, before: digitStands, pattern: at(`:(AA[\w-]{30,40})`)},
		detector{kind: "token", before: wordStarts, literals: twilioKeys(), pattern: at(`(SK[0-9a-f]{32})\b`)},
		// Entra ID marks its client secrets by "Q~", behind three signs and a digit.
		detector{kind: "token", literals: azureMarks(), special: azureSecret},
		detector{kind: "token", literals: []string{".atlasv1."}, special: aroundAtlas},
	)
}

// twilioKeys are the first three signs of an API key of Twilio.
func twilioKeys() []string {
	var out []string
	for _, digit := range "0123456789abcdef" {
		out = append(out, "sk"+string(digit))
	}
	return out
}

func azureMarks() []string {
	var marks []string
	for c := '0'; c <= '9'; c++ {
		marks = append(marks, string(c)+"q~")
	}
	return marks
}

// azureSecret finds the secret of which text[at:] is the fourth sign.
func azureSecret(text []byte, at int) (from, to int) {
	from, to = at-3, at+3
	if from < 0 || string(text[at+1:at+3]) != "Q~" {
		return at, at
	}
	for to < len(text) && to-from < 60 && (isWord(text[to]) || text[to] == '~') {
		to++
	}
	if to-from < 34 {
		return at, at
	}
	return from, to
}

// aroundAtlas finds a token of HCP Terraform, from the mark in its middle.
func aroundAtlas(text []byte, at int) (from, to int) {
	from, to = at, at+len(".atlasv1.")
	for from > 0 && at-from < 30 && isAlphanumeric(text[from-1]) {
		from--
	}
	for to < len(text) && to-at < 120 && isWord(text[to]) {
		to++
	}
	if at-from < 10 || to-at < 50 {
		return at, at
	}
	return from, to
}

func digitStands(text []byte, at int) bool {
	return at >= 6 && '0' <= text[at-1] && text[at-1] <= '9' && '0' <= text[at-6] && text[at-6] <= '9'
}

func isAlphanumeric(c byte) bool { return isLetter(c) || '0' <= c && c <= '9' }
