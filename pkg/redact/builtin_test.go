package redact_test

import (
	"strings"
	"testing"

	"loom.internal/pkg/redact"
)

func compile(tb testing.TB, rules redact.Rules) *redact.Redactor {
	tb.Helper()
	r, err := redact.Compile(rules)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// allBuiltins are the names of every builtin.
var allBuiltins = []string{
	"private_key", "jwt", "api_key", "bearer_token", "email", "iban", "credit_card", "us_ssn", "phone", "ip_address",
}

// secretLike joins what would be taken for a secret of this repository's if it stood
// in one piece.
func secretLike(parts ...string) string { return strings.Join(parts, "") }

func TestBuiltins(t *testing.T) {
	t.Parallel()
	const b62 = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0U1v2W3x4Y5z6"
	begin, end := secretLike("-----BEGIN RSA ", "PRIVATE KEY-----"), secretLike("-----END RSA ", "PRIVATE KEY-----")
	token := secretLike("eyJhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiIxMjM0NTY3ODkwIn0", ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U")
	for _, c := range []struct {
		name string
		full []string          // found as a whole
		part map[string]string // found in part
		none []string
	}{
		{
			name: "email",
			full: []string{"a@b.co", "first.last+tag@sub.example.com", "o'brien@example.ie", "_x@example.org", "a@xn--mnchen-3ya.xn--p1ai"},
			part: map[string]string{
				"write to a@b.co.": "write to •.", "<a@b.co>": "<•>", "'a@b.co'": "'•'", "a@b.co,c@d.org": "•,•", "a@b.co...": "•...",
				"https://x.co/?m=a@b.co&n": "https://x.co/?m=•&n", "请写a@b.co。": "请写•。", `{"m":"a@b.co"}`: `{"m":"•"}`, "a@b.co.1": "•.1",
			},
			none: []string{"@handle", "a@b", "react@18.2.0", "a @ b.co", "a@.co", "a@b.c", "x@-a.co", "pkg@1.0.0-beta", "@@@@", "foo@"},
		},
		{
			name: "credit_card",
			full: []string{
				"4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "378282246310005", "3782 822463 10005", "5555555555554444",
				"2223003122003222", "30569309025904", "6011111111111117", "3530111333300000", "4222222222222", "6200000000000005",
			},
			part: map[string]string{
				"pay 4111111111111111, now": "pay •, now", "4111 1111 1111 1111 12/30": "• 12/30", "4111 1111 1111 1111 123": "• 123", "no-4111111111111111": "no-•",
				"x.4111111111111111": "x.•",
			},
			none: []string{
				"4111111111111112", "1700000000000", "0.4111111111111111", "9111111111111111", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "a4111111111111111",
				"41111111111111110000", "550e8400-e29b-41d4-a716-446655440000", "4111  1111  1111  1111", "4111111111111111a", "411111111111",
			},
		},
		{
			name: "iban",
			full: []string{"DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819", "NO9386011117947", "FR1420041010050500013M02606"},
			part: map[string]string{"IBAN DE89370400440532013000.": "IBAN •.", "to GB29 NWBK 6016 1331 9268 19 today": "to • today"},
			none: []string{"DE88370400440532013000", "DE8937040044053201300", "DE893704004405320130001", "XX89370400440532013000", "de89370400440532013000", "DE89  370400440532013000"},
		},
		{
			name: "us_ssn",
			full: []string{"123-45-6789", "899-99-9999"},
			part: map[string]string{"SSN: 123-45-6789.": "SSN: •."},
			none: []string{"000-45-6789", "666-45-6789", "900-45-6789", "123-00-6789", "123-45-0000", "1123-45-6789", "123-45-67890", "123-45-6789-1", "2024-01-1234", "123456789", "-45-6789", "123-45-678"},
		},
		{
			name: "phone",
			full: []string{"+14155552671", "+1 (415) 555-2671", "+49 30 1234567", "+442071838750", "+7 495 123-45-67", "+1.415.555.2671"},
			part: map[string]string{"tel:+14155552671;": "tel:•;", "call +1 415 555 2671 42": "call • 42", "p=+4930123456": "p=•"},
			none: []string{"415-555-2671", "+0100", "+1234567", "+1234567890123456", "1+4930123456", "+1 015 555 2671", "+49301234abc", "+", "++4930123456", "2024-01-01T00:00:00+01:00", "1e+123456789"},
		},
		{
			name: "ip_address",
			full: []string{"192.168.1.10", "8.8.8.8", "2001:db8::1", "fe80::1ff:fe23:4567:890a", "2001:0db8:85a3:0000:0000:8a2e:0370:7334", "1:2:3:4:5:6:7:8", "64:ff9b:1:2:3:4:10.1.2.3"},
			part: map[string]string{
				"from 10.0.0.1:8080": "from •:8080", "10.0.0.1.": "•.", "10.0.0.0/8": "•/8", "[2001:db8::1]:443": "[•]:443", "at fe80::1: no": "at •: no",
				"10.0.0.1, 10.0.0.2": "•, •",
			},
			none: []string{"v1.2.3.4", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "12:30:45", "a::b", "std::vector", "x[1::2]", "::1", "aa:bb:cc:dd:ee:ff", "1.2.3.4a", "...."},
		},
		{
			name: "jwt",
			full: []string{token, token[:strings.LastIndexByte(token, '.')]},
			part: map[string]string{"token " + token + ".": "token •.", `{"t":"` + token + `"}`: `{"t":"•"}`},
			none: []string{"eyJ", "eyJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJIUzI1NiJ9.x", "a.eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0", "eyJ.eyJ.eyJ"},
		},
		{
			name: "private_key",
			full: []string{
				begin + "\nMIIEow+/=\n" + end, begin + `\nMIIEow\n` + end, begin + "\nProc-Type: 4,ENCRYPTED\n\nMIIE\n" + end,
				secretLike("-----BEGIN OPENSSH ", "PRIVATE KEY-----\nb3Bl\n-----END OPENSSH ", "PRIVATE KEY-----"),
				secretLike("-----BEGIN PGP ", "PRIVATE KEY BLOCK-----\nlQ\n-----END PGP ", "PRIVATE KEY BLOCK-----"),
				begin + "\nMIIEowIBAAKCAQ",
			},
			part: map[string]string{"k:\n" + begin + "\nMII\n" + end + "\nend": "k:\n•\nend", begin + "\nMII\"}": "•\"}"},
			none: []string{"-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----\nMII\n-----END PUBLIC KEY-----", "-----BEGIN ", "a private key", "-----BEGIN PRIVATE"},
		},
		{
			name: "api_key",
			full: []string{
				secretLike("sk-", b62[:40]), secretLike("sk-proj-", b62[:40]), secretLike("sk-ant-", "api03-", b62[:40], "-", b62[:30]), secretLike("sk-", strings.Repeat("0a1b", 8)),
				secretLike("loom_sk_", b62[:46]), secretLike("loom_adm_", b62[:46]), secretLike("AKIA", "IOSFODNN7EXAMPLE"), secretLike("ghp_", b62[:36]),
				secretLike("github_pat_", b62[:22], "_", b62[:40]), secretLike("xoxb-", "123456789012-", b62[:24]), secretLike("AIza", b62[:35]),
			},
			part: map[string]string{secretLike("key=sk-", b62[:40], ";"): "key=•;", secretLike("'ghp_", b62[:36], "'"): "'•'"},
			none: []string{
				"sk-", "sk-short", "sk-a-class-name-with-many-words-in-it", "task-" + b62[:30], "loom_sk_short", "loom_sk_" + b62[:47], "AKIA", "AKIAlower7890123456", "ghp_short",
				"xox-and-hugs-for-you", "xoxb-no-digits-in-it", "AIza" + b62[:36], "disk-" + b62[:30],
			},
		},
		{
			name: "bearer_token",
			part: map[string]string{
				"Authorization: Bearer abcdef0123456789": "Authorization: Bearer •", "bearer   abcdef0123456789==": "bearer   •", "BEARER abcdef0123456789,": "BEARER •,",
				"Bearer Bearer abcdef0123456789": "Bearer Bearer •",
			},
			none: []string{"Bearer token", "the bearer of good news", "Bearer authentication-is-required", "Bearer", "Bearer ", "forebearer abcdef0123456789", "bearerabcdef0123456789"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := compile(t, redact.Rules{Builtin: []string{c.name}})
			check := func(in, want string) {
				if got := r.Text(in); got != want {
					t.Errorf("%s: got %s, want %s", in, got, want)
				}
			}
			mark := "[redacted:" + c.name + "]"
			for _, in := range c.full {
				check(in, mark)
				check("("+in+")", "("+mark+")")
			}
			for in, want := range c.part {
				check(in, strings.ReplaceAll(want, "•", mark))
			}
			for _, in := range c.none {
				check(in, in)
			}
		})
	}
}
