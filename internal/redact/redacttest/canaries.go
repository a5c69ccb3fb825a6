// Package redacttest has planted secrets of every kind that a redactor must
// find, for the tests of whatever writes text that leaves. None of them opens
// anything: they were made up, in the documented forms.
package redacttest

import (
	"encoding/base64"
	"net/url"
	"strings"
)

// Canary is a made-up secret in a text as it stands on servers.
type Canary struct {
	Kind   string
	Secret string // what must not be left, as it stands in Text
	Text   string
}

// Canaries returns one of each kind. They are assembled here from parts, so that
// scanners of source code do not take them for real ones.
func Canaries() []Canary {
	all := []Canary{}
	// plant puts the secret where the text has "§".
	plant := func(kind, secret, text string) {
		all = append(all, Canary{Kind: kind, Secret: secret, Text: strings.ReplaceAll(text, "§", secret)})
	}
	encode := func(kind, plain, around string) {
		coded := base64.StdEncoding.EncodeToString([]byte(plain))
		all = append(all, Canary{Kind: kind, Secret: coded, Text: strings.ReplaceAll(around, "§", coded)})
	}
	keys(plant)
	tokens(plant)
	headers(plant)
	connections(plant)
	files(plant)
	hashes(plant)
	webhooks(plant)
	encode("Kubernetes Secret", "password: Canary1Base64Yaml\n", "apiVersion: v1\nkind: Secret\ndata:\n  config.yaml: §\n")
	encode(".env in base64", "A=1\nDB_PASSWORD=Canary2Base64Env\n", "cloud-init: §")
	encode("key in base64", "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEICanary3\n-----END EC PRIVATE KEY-----\n", "client-key-data: §")
	encode("DSN in base64", "postgres://app:Canary4Base64Dsn@db1/x", "url=§")
	plant("URL-encoded DSN", "Canary5UrlDsn", "GET /?dsn="+url.QueryEscape("mysql://app:")+"§"+url.QueryEscape("@db1/x")+" HTTP/1.1")
	plant("URL-encoded form", "Canary6UrlForm", "body=user%3Dbob%26password%3D§%26x%3D1")
	plant("URL-encoded JSON", "Canary7UrlJson", "q=%7B%22api_key%22%3A%22§%22%7D")
	plant("JSON in JSON", "Canary8JsonJson", `{"body":"{\"user\":\"u\",\"password\":\"§\"}"}`)
	plant("JSON in JSON in JSON", "Canary9Json3", `{"a":"{\"b\":\"{\\\"password\\\":\\\"§\\\"}\"}"}`)
	return all
}

func keys(plant func(kind, secret, text string)) {
	body := "MIIEowIBAAKCAQEAcanary0\nq8yXPlantedKeyMaterial"
	for _, sort := range []string{"RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "PGP PRIVATE KEY BLOCK"} {
		plant(sort, body, "-----BEGIN "+sort+"-----\n§\n-----END "+sort+"-----")
	}
	plant("SSH2 key", body, "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n§\n---- END SSH2 ENCRYPTED PRIVATE KEY ----")
	plant("OpenVPN key", "0123456789abcdef\nfedcba9876543210", "-----BEGIN OpenVPN Static key V1-----\n§\n-----END OpenVPN Static key V1-----")
	plant("PuTTY key", "AAAAgQCanaryPutty0\nAAAAgQCanaryPutty1", "PuTTY-User-Key-File-2: ssh-rsa\nPrivate-Lines: 2\n§\nPrivate-MAC: 00")
	plant("WireGuard key", "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", "[Interface]\nPrivateKey = §\nAddress = 10.0.0.1/24")
	plant("age key", "AGE-SECRET-KEY-1"+"CANARYQQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", "# created\n§")
	plant("JSON Web Key", "canaryX4cTteJY_gn4FYPsXB8rdXix5vwsg1FLN5E3EaG6", `{"kty":"OKP","crv":"Ed25519","d":"§","x":"11qYAYKx"}`)
	plant("key in one line", "MIIEcanaryOneLine", `KEY="-----BEGIN PRIVATE KEY-----\n§\n-----END PRIVATE KEY-----\n"`)
}

func tokens(plant func(kind, secret, text string)) {
	const a20, a36, hex32 = "Canary0123456789ABcd", "Canary0123456789ABcdefghijKLMNOPqrst", "ca0a2b3c4d5e6f708192a3b4c5d6e7f8"
	for kind, token := range map[string]string{
		"AWS access key": "AKIA" + "CANARYCANARY1234", "AWS temporary key": "ASIA" + "CANARYCANARY1234", "GitHub": "ghp_" + a36, "GitHub app": "ghs_" + a36,
		"GitHub fine-grained": "github_pat_" + a36, "GitLab": "glpat-" + a20, "GitLab runner": "glrt-" + a20, "Slack bot": "xoxb-" + "123456789012-canary", "Slack app": "xapp-1-" + a20,
		"Google API key": "AIza" + "SyCanary0123456789ABcdefghijKLMNOPq", "Google OAuth": "ya29." + a36, "Google client secret": "GOCSPX-" + a20 + "abcdefgh",
		"Stripe": "sk_live_" + a20, "Stripe restricted": "rk_live_" + a20, "Stripe webhook": "whsec_" + a36, "OpenAI": "sk-proj-" + a36, "Anthropic": "sk-ant-" + a36, "Hugging Face": "hf_" + a36,
		"npm": "npm_" + a36, "PyPI": "pypi-" + "AgEIcHlwaS5vcmcC" + a36, "RubyGems": "rubygems_" + hex32 + "01234567", "Docker Hub": "dckr_pat_" + a20 + "abcdefg", "Vault": "hvs." + a36,
		"DigitalOcean": "dop_v1_" + hex32 + hex32, "SendGrid": "SG." + a20 + "." + a36, "Mailgun": "key-" + hex32, "Twilio": "SK" + hex32, "Grafana": "glsa_" + a36 + "_0a1b2c3d",
		"New Relic": "NRAK-" + "CANARY0123456789ABCDEFGHIJK", "Sentry": "sntrys_" + a36, "Dynatrace": "dt0c01." + "CANARY0123456789ABCDEFGH." + strings.Repeat("CANARY01", 8),
		"Shopify": "shpat_" + hex32, "Databricks": "dapi" + hex32, "Pulumi": "pul-" + hex32 + "01234567", "Postman": "PMAK-" + "0123456789abcdef01234567-0123456789abcdef0123456789abcdef01",
		"Linear": "lin_api_" + a36, "SonarQube": "sqp_" + hex32 + "01234567", "Tailscale": "tskey-auth-" + a20, "Atlassian": "ATATT3" + a36 + a36, "Bitbucket": "ATBB" + a36,
		"Terraform": "Canary01234567.atlasv1." + a36 + a36, "Entra ID": "abc8Q~" + a36, "Docker Swarm": "SWMTKN-1-" + "canary0123456789abcdefghij0123456789abcdefghij0123-canary", "k3s": "K10" + hex32 + hex32 + "::server:canary",
		"Telegram": "AAHcanary0123456789ABcdefghijKLMNOPq", "NuGet": "oy2" + "canary0123456789abcdefghijklmnopqrstuvwxyz0",
	} {
		text := "app[1]: used § to sign in"
		if kind == "Telegram" {
			text = "GET https://api.telegram.org/bot123456789:§/getMe"
		}
		plant(kind, token, text)
	}
	plant("JWT", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.Q2FuYXJ5U2lnbmF0dXJl", "token §, valid")
	plant("Vault unseal key", "Canary0UnsealKey+/abcdefghijkl=", "Unseal Key 1: §\nInitial")
}

func headers(plant func(kind, secret, text string)) {
	plant("bearer header", "canaryBearer0123", "> Authorization: Bearer §\n> Host: x")
	plant("basic header", "Y2FuYXJ5OmJhc2lj", "> Authorization: Basic §\n> Host: x")
	plant("proxy header", "Y2FuYXJ5OnByb3h5", "Proxy-Authorization: Basic §")
	plant("API key header", "canary-x-api-key", "X-Api-Key: §")
	plant("cookie", "canaryCookie01", "Cookie: theme=dark; sid=§")
	plant("set-cookie", "canaryCookie02", "Set-Cookie: sid=§; Path=/; HttpOnly")
	plant("session id", "canarySession03", "GET /a?PHPSESSID=§ HTTP/1.1")
	plant("signed URL of Azure", "canarySig%2BQQ01234567", "https://a.blob.core.windows.net/c/f?sv=2022&sig=§&se=2026")
	plant("signed URL of AWS", "canary0123456789abcdefSig", "https://b.s3.amazonaws.com/f?X-Amz-Date=1&X-Amz-Signature=§")
}

func connections(plant func(kind, secret, text string)) {
	for _, scheme := range []string{"postgres", "mysql", "mongodb+srv", "redis", "amqp", "mssql", "clickhouse", "ldap", "smtp", "ftp", "https"} {
		plant(scheme+" DSN", "canary-"+scheme, "dial "+scheme+"://app:§@db1:1234/orders")
	}
	plant("Go MySQL DSN", "canaryGoDsn", "dsn app:§@tcp(db1:3306)/x")
	plant("ADO string", "canaryAdo;", "Server=db1;Database=x;User Id=sa;Password=§Encrypt=yes")
	plant("libpq string", "canaryLibpq", "host=db1 user=app password=§ dbname=x")
	plant("JDBC Oracle", "canaryOra", "jdbc:oracle:thin:scott/§@//db1:1521/x")
	plant("JDBC parameters", "canaryJdbc", "jdbc:mysql://db1/x?user=app&password=§")
	plant("Azure storage", "canaryStorage0123456789==", "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=§")
	plant("Azure Service Bus", "canaryBus0123456789=", "Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=§")
	plant("sqlplus", "canarySqlplus", "sqlplus -s scott/§@orcl")
	plant("SQL", "canarySqlPw", "ALTER USER app WITH PASSWORD '§';")
	plant("MySQL grant", "canaryGrant", "CREATE USER a@b IDENTIFIED BY '§'")
	plant("Redis MONITOR", "canaryMonitor", `1700000000.1 [0 10.0.0.5:1] "AUTH" "default" "§"`)
	plant("command line", "canaryArgv", "/usr/bin/mysqldump -u root -p§ shop")
}

func files(plant func(kind, secret, text string)) {
	plant(".env", "canaryEnv,&x", "DEBUG=1\nAPP_SECRET=§\nPORT=80")
	plant("YAML", "canary yaml", "db:\n  password: \"§\"\n  host: db1")
	plant("INI", "canaryIni", "[db]\npasswd = §\n")
	plant("XML element", "canaryXml", "<server><id>x</id><password>§</password></server>")
	plant("XML attribute", "canaryXmlAttr", `<add key="DbPassword" value="§"/>`)
	plant("container's environment", "canaryK8sEnv", "env:\n  - name: DB_PASSWORD\n    value: \"§\"\n  - name: X")
	plant("container's environment in JSON", "canaryK8sJson", `{"Env":[{"name":"API_TOKEN","value":"§"}]}`)
	plant("kubeconfig", "canaryKubeToken", "users:\n- name: admin\n  user:\n    token: §")
	plant("docker config", "Y2FuYXJ5OmRvY2tlcg==", `{"auths":{"registry.example.org":{"auth":"§"}}}`)
	plant("npmrc", "canaryNpmrc", "//registry.npmjs.org/:_authToken=§")
	plant("npmrc basic", "Y2FuYXJ5Om5wbXJj", "_auth=§\nemail=x")
	plant("pypirc", "canaryPypirc", "[pypi]\nusername = __token__\npassword = §")
	plant("git credentials", "canaryGitCred", "https://bob:§@git.example.org")
	plant("netrc", "canaryNetrc", "machine h\n  login bob\n  password §\n")
	plant("pgpass", "canaryPgpass", "db1:5432:orders:app:§")
	plant("pgpass with stars", "canaryPgpass2", "*:*:*:app:§")
	plant("Postfix", "canaryPostfix", "[smtp.example.org]:587 bob:§")
	plant("redis.conf", "canaryRequirepass", "port 6379\nrequirepass §\n")
	plant("SNMP", "canaryCommunity", "rocommunity § 10.0.0.0/8")
	plant("Wi-Fi", "canaryPsk01", "ssid=\"x\"\npsk=\"§\"")
	plant("TOTP", "CANARYTOTPQQ", "otpauth://totp/x?secret=§&issuer=y")
	plant("PagerDuty key", "canaryRouting0123456789", `{"routing_key": "§"}`)
	plant("Terraform variables", "canaryTfvars", "db_password = \"§\"")
}

func hashes(plant func(kind, secret, text string)) {
	plant("shadow yescrypt", "$y$j9T$canary/DEF$0123456789", "root:§:19000:0:99999:7:::")
	plant("shadow sha512", "$6$canary$hashhashhash", "bob:§:19000:0:99999:7:::")
	plant("htpasswd", "$apr1$canary0$hashhashhash", "bob:§")
	plant("htpasswd SHA", "Y2FuYXJ5Y2FuYXJ5Y2FuYXI=", "bob:{SHA}§")
	plant("LDAP", "Y2FuYXJ5Y2FuYXJ5Y2FuYXI=", "userPassword: {SSHA}§")
	plant("PostgreSQL SCRAM", "SCRAM-SHA-256$4096:Y2FuYXJ5==$c3RvcmVk=:c2VydmVy=", "app | §")
	plant("PostgreSQL md5", "md5ca0a2b3c4d5e6f708192a3b4c5d6e7f8", "app | §")
	plant("MySQL hash", "*CA0A2B3C4D5E6F708192A3B4C5D6E7F801234567", "root\t§\n")
	plant("bcrypt", "$2b$12$canaryCanaryCanaryCanaryu", "hash=§")
	plant("argon2", "$argon2id$v=19$m=65536,t=3,p=4$Y2FuYXJ5$Y2FuYXJ5Y2FuYXJ5", "hash §")
}

func webhooks(plant func(kind, secret, text string)) {
	plant("Slack webhook", "T00CANARY/B00CANARY/xyzcanary", "url: https://hooks.slack.com/services/§")
	plant("Discord webhook", "canaryDiscord0123456789", "https://discord.com/api/webhooks/123456789012345678/§")
	plant("Teams webhook", "canary-0123-4567@8901/IncomingWebhook/abc", "https://x.webhook.office.com/webhookb2/§")
	plant("Mattermost webhook", "canary0123456789abcdefghij", "https://chat.example.org/hooks/§")
}
