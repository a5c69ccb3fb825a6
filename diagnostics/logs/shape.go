package logs

import "strings"

// isIP says whether s has the form of an IPv4 or IPv6 address, with a port or
// a prefix length or without.
func isIP(s string) bool { return isIPv4(s) || isIPv6(s) }

func isIPv4(s string) bool {
	for group := range 4 {
		n := run(s, isDigit)
		if n == 0 || n > 3 {
			return false
		}
		s = s[n:]
		if group < 3 {
			if s == "" || s[0] != '.' {
				return false
			}
			s = s[1:]
		}
	}
	if s == "" {
		return true
	}
	return (s[0] == ':' || s[0] == '/') && len(s) > 1 && run(s[1:], isDigit) == len(s)-1
}

// isIPv6 wants a digit, and all eight groups or "::", so that neither a word
// nor a time is one.
func isIPv6(s string) bool {
	if strings.Count(s, ":") < 2 {
		return false
	}
	s, _, _ = strings.Cut(s, "%") // the zone
	if addr, length, found := strings.Cut(s, "/"); found && length != "" && run(length, isDigit) == len(length) {
		s = addr
	}
	groups, digits := 1, 0
	for i, size := 0, 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ':':
			groups++
			size = 0
			continue
		case !isHex(c):
			return false
		case isDigit(c):
			digits++
		}
		if size++; size > 4 {
			return false
		}
	}
	return digits > 0 && (groups == 8 || groups < 8 && strings.Contains(s, "::"))
}

func isMAC(s string) bool {
	if len(s) != len("00:00:00:00:00:00") {
		return false
	}
	for i := range len(s) {
		if i%3 == 2 && s[i] != ':' && s[i] != '-' || i%3 != 2 && !isHex(s[i]) {
			return false
		}
	}
	return true
}

func isUUID(s string) bool {
	if len(s) != len("00000000-0000-0000-0000-000000000000") {
		return false
	}
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if !isHex(s[i]) {
				return false
			}
		}
	}
	return true
}

// isTime says whether s is a date, a time of day or both: 2026-01-31,
// 2026/01/31, 31/Jan/2026, 12:30, 1:02:03.456, and with a zone.
func isTime(s string) bool {
	if s == "" || !isDigit(s[0]) {
		return false
	}
	n := dateLength(s)
	if n == len(s) {
		return true
	}
	if n > 0 {
		if c := s[n]; c != 'T' && c != ':' && c != '-' && c != '_' {
			return false
		}
		s = s[n+1:]
	}
	return isTimeOfDay(s)
}

// dateLength returns how much of s is a date.
func dateLength(s string) int {
	shape := func(form string) bool {
		if len(s) < len(form) {
			return false
		}
		for i := range len(form) {
			switch form[i] {
			case '0':
				if !isDigit(s[i]) {
					return false
				}
			case 'a':
				if !isLetter(s[i]) {
					return false
				}
			default:
				if s[i] != form[i] {
					return false
				}
			}
		}
		return true
	}
	for _, form := range [...]string{"0000-00-00", "0000/00/00", "00/aaa/0000", "00-aaa-0000"} {
		if shape(form) {
			return len(form)
		}
	}
	return 0
}

func isTimeOfDay(s string) bool {
	groups := 0
	for ; groups < 3; groups++ {
		n := run(s, isDigit)
		if n == 0 || n > 2 || groups > 0 && n != 2 {
			return false
		}
		s = s[n:]
		if s == "" || s[0] != ':' {
			groups++
			break
		}
		s = s[1:]
	}
	if groups < 2 {
		return false
	}
	if s != "" && s[0] == '.' {
		s = s[1+run(s[1:], isDigit):]
	}
	return s == "" || s == "Z" || (s[0] == '+' || s[0] == '-') && len(s) > 1 && run(s[1:], isDigitOrColon) == len(s)-1
}

func isDigitOrColon(c byte) bool { return isDigit(c) || c == ':' }
